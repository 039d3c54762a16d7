package data

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/gollava/gollava/internal/misuse"
)

// Faults that depend on the tokenizer and the model.
const (
	TextFailed Kind = "text_failed" // the sample cannot be tokenized
	// no label remains, perhaps after cutting to MaxLength: the loss would be 0/0
	NothingToLearn Kind = "nothing_to_learn"
	ImageCutOff    Kind = "image_cut_off" // a picture does not fit in MaxLength
)

// LoaderConfig says which samples make a batch, and what each becomes.
type LoaderConfig[X any] struct {
	Batch int   // samples in a batch; the last of an epoch may have fewer
	Order Order // of an epoch; nil: that of the set
	Drop  bool  // leave out a last batch that is not full

	// Prepare tokenizes a sample, reads its images, and so on. It is called from several goroutines.
	Prepare func(ctx context.Context, s Sample) (X, error)

	// Skip leaves faulty samples out, and counts them in the Report. Else the first is the error of its batch.
	Skip bool
}

// Loader prepares the samples of a set's batches. Batch n depends on n alone, so that training can resume at any n. It
// is safe for concurrent use.
type Loader[X any] struct {
	set Set
	c   LoaderConfig[X]
	per int // batches in an epoch

	mu     sync.Mutex
	orders map[int][]int // of the last epoch and its neighbours: around its end, batches of two are made at a time
	report Report
	bad    map[int]bool
}

// NewLoader makes a loader. The set must not change its length.
func NewLoader[X any](set Set, c LoaderConfig[X]) (*Loader[X], error) {
	switch {
	case c.Batch < 1:
		return nil, fmt.Errorf("data: loader: Batch is %d", c.Batch)
	case c.Prepare == nil:
		return nil, fmt.Errorf("data: loader: Prepare is nil: what does a sample become?")
	}
	if c.Order == nil {
		c.Order = InOrder(set.Len())
	}
	l := &Loader[X]{set: set, c: c, per: (set.Len() + c.Batch - 1) / c.Batch, orders: map[int][]int{},
		bad: map[int]bool{}}
	if c.Drop {
		l.per = set.Len() / c.Batch
	}
	if l.per == 0 {
		return nil, fmt.Errorf("data: loader: %d samples do not make a batch of %d", set.Len(), c.Batch)
	}
	return l, nil
}

// Len is the number of batches in an epoch.
func (l *Loader[X]) Len() int { return l.per }

// Records returns which records of the set make batch n.
func (l *Loader[X]) Records(n int) []int {
	if n < 0 {
		panic(misuse.Errorf("data", "batch %d", n))
	}
	epoch, k := n/l.per, n%l.per
	l.mu.Lock()
	defer l.mu.Unlock()
	order, known := l.orders[epoch]
	if !known {
		if order = l.c.Order(epoch); len(order) != l.set.Len() {
			panic(misuse.Errorf("data", "loader: the order of epoch %d has %d records, the set %d", epoch, len(order),
				l.set.Len()))
		}
		maps.DeleteFunc(l.orders, func(e int, _ []int) bool { return e != epoch-1 && e != epoch+1 })
		l.orders[epoch] = order
	}
	return slices.Clone(order[k*l.c.Batch : min((k+1)*l.c.Batch, len(order))])
}

// Batch prepares the samples of batch n, counted from 0 through all epochs. With Skip there may be fewer than in other
// batches, even none. An error is a *Fault with file and record, or that of ctx.
func (l *Loader[X]) Batch(ctx context.Context, n int) ([]X, error) {
	var all []X
	for _, i := range l.Records(n) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("data: batch %d: %w", n, err)
		}
		x, err := l.prepare(ctx, i)
		if err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("data: batch %d: %w", n, ctx.Err())
		}
		if err == nil {
			all = append(all, x)
			l.count(i, nil)
			continue
		}
		f := l.locate(i, err)
		if l.count(i, f); !l.c.Skip {
			return nil, f
		}
	}
	return all, nil
}

// prepare reads, checks and prepares one sample.
func (l *Loader[X]) prepare(ctx context.Context, i int) (x X, err error) {
	s, err := l.set.Sample(i)
	if err != nil {
		return x, AsFault(err, FileUnreadable)
	}
	for _, f := range s.Faults() {
		if f.Severity == Error {
			f.ID = s.ID
			return x, &f
		}
	}
	if x, err = l.c.Prepare(ctx, s); err != nil {
		f := AsFault(err, TextFailed)
		f.ID = s.ID
		return x, f
	}
	return x, nil
}

// locate makes err a fault of record i.
func (l *Loader[X]) locate(i int, err error) *Fault {
	f := AsFault(err, FileUnreadable)
	if f.Record < 0 {
		f.Record = i
	}
	if f.File == "" {
		f.File = fileOf(l.set, i)
	}
	return f
}

// fileOf finds the file that record i of a set comes from.
func fileOf(set Set, i int) string {
	switch s := set.(type) {
	case *File:
		return s.path
	case *Tar:
		return s.path
	case Subset:
		return fileOf(s.Set, s.Records[i])
	case *Mixture:
		return s.path
	}
	return ""
}

// Report is what a Loader has met.
type Report struct {
	Samples int          // that went into batches, each as often as it did
	Skipped int          // different records that were faulty
	Kinds   map[Kind]int // of those
	Faults  []Fault      // the first hundred of them
}

func (r Report) String() string {
	s := fmt.Sprintf("%d samples, %d skipped", r.Samples, r.Skipped)
	kinds := slices.SortedFunc(maps.Keys(r.Kinds), func(a, b Kind) int {
		return cmp.Or(r.Kinds[b]-r.Kinds[a], cmp.Compare(a, b))
	})
	for i, k := range kinds {
		s += [...]string{": ", ", "}[min(i, 1)] + fmt.Sprintf("%d %s", r.Kinds[k], k)
	}
	return s
}

func (l *Loader[X]) count(i int, f *Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.report
	switch {
	case f == nil:
		r.Samples++
	case !l.bad[i]:
		l.bad[i] = true
		r.Skipped++
		if r.Kinds == nil {
			r.Kinds = map[Kind]int{}
		}
		r.Kinds[f.Kind]++
		if len(r.Faults) < 100 {
			r.Faults = append(r.Faults, *f)
		}
	}
}

// Report returns the counts so far.
func (l *Loader[X]) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Kinds, r.Faults = maps.Clone(r.Kinds), slices.Clone(r.Faults)
	return r
}
