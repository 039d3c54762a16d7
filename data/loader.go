package data

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/gollava/gollava/data/imaging"
)

// Faults that only the Loader can find, as they depend on the tokenizer and the length of the model.
const (
	TextFailed     Kind = "text_failed"      // LoaderConfig.Text returns an error
	NothingToLearn Kind = "nothing_to_learn" // no label remains, perhaps after cutting to MaxLength: the loss would be 0/0
	ImageCutOff    Kind = "image_cut_off"    // a picture does not fit in MaxLength
)

// LoaderConfig says how samples become batches.
type LoaderConfig struct {
	Batch int   // samples in a batch; the last of an epoch may have fewer
	Order Order // nil: as they lie
	Drop  bool  // leave out a last batch that is not full

	// Text tokenizes a sample, as chat.Template.Samples does. ids has ImageID where a picture goes; labels are as long, Ignore where nothing is learnt.
	Text      func(s Sample) (ids, labels []int32, err error)
	Pad       int32 // the id that fills up
	MaxLength int   // positions, pictures' included; 0: no limit
	Left      bool  // pad at the left

	Images    Source             // nil: for sets without pictures
	Limits    imaging.Limits     // of a picture; zero: DefaultLimits
	Orient    bool               // turn pictures by their EXIF orientation; LLaVA does not
	Processor *imaging.Processor // nil: pictures are not decoded, only measured, as where the features come from a cache
	// Picture says what the language model sees of a picture of that size: Flat(1, 576) for LLaVA-1.5, Tiled for 1.6.
	Picture func(size imaging.Size) Picture

	// Skip leaves faulty samples out, and counts them in the Report. Else the first is the error of its batch.
	Skip bool
}

// Validate returns an error where something is missing.
func (c *LoaderConfig) Validate() error {
	switch {
	case c.Batch < 1:
		return fmt.Errorf("data: loader: Batch is %d", c.Batch)
	case c.Text == nil:
		return fmt.Errorf("data: loader: Text is nil: say how samples are tokenized")
	case c.Images != nil && c.Picture == nil:
		return fmt.Errorf("data: loader: Picture is nil: say how many positions a picture takes")
	case c.MaxLength < 0:
		return fmt.Errorf("data: loader: MaxLength is %d", c.MaxLength)
	}
	return nil
}

// Loader makes batches of a set. Batch n depends on n alone, so training can go on from any n, and any number of goroutines may ask
// for batches: see Prefetch.
type Loader struct {
	set Set
	c   LoaderConfig
	per int // batches in an epoch

	mu     sync.Mutex
	orders map[int][]int // of the last epoch and its neighbours: around its end, batches of two are made at a time
	report Report
	bad    map[int]bool
}

// NewLoader makes a loader. The set must not change its length.
func NewLoader(set Set, c LoaderConfig) (*Loader, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Order == nil {
		c.Order = InOrder(set.Len())
	}
	if c.Limits == (imaging.Limits{}) {
		c.Limits = DefaultLimits()
	}
	l := &Loader{set: set, c: c, per: (set.Len() + c.Batch - 1) / c.Batch, orders: map[int][]int{}, bad: map[int]bool{}}
	if c.Drop {
		l.per = set.Len() / c.Batch
	}
	if l.per == 0 {
		return nil, fmt.Errorf("data: loader: %d samples do not make a batch of %d", set.Len(), c.Batch)
	}
	return l, nil
}

// Len is the number of batches in an epoch.
func (l *Loader) Len() int { return l.per }

// Records returns which records of the set make batch n.
func (l *Loader) Records(n int) []int {
	if n < 0 {
		panic(fmt.Sprintf("data: batch %d", n))
	}
	epoch, k := n/l.per, n%l.per
	l.mu.Lock()
	defer l.mu.Unlock()
	order, known := l.orders[epoch]
	if !known {
		if order = l.c.Order(epoch); len(order) != l.set.Len() {
			panic(fmt.Sprintf("data: loader: the order of epoch %d has %d records, the set %d", epoch, len(order), l.set.Len()))
		}
		maps.DeleteFunc(l.orders, func(e int, _ []int) bool { return e != epoch-1 && e != epoch+1 })
		l.orders[epoch] = order
	}
	return slices.Clone(order[k*l.c.Batch : min((k+1)*l.c.Batch, len(order))])
}

// Batch makes batch n, counted from 0 through all epochs. With Skip it may hold fewer samples than others, even none at all (B is
// 0). An error is a *Fault with file and record, or that of ctx.
func (l *Loader) Batch(ctx context.Context, n int) (Batch, error) {
	b := Batch{N: n, Epoch: n / l.per}
	var ids, labels [][]int32
	var pictures []Picture
	for _, i := range l.Records(n) {
		if err := ctx.Err(); err != nil {
			return Batch{}, fmt.Errorf("data: batch %d: %w", n, err)
		}
		x, f := l.item(i)
		if f != nil {
			l.count(i, f)
			if !l.c.Skip {
				return Batch{}, f
			}
			continue
		}
		l.count(i, nil)
		ids, labels = append(ids, x.ids), append(labels, x.labels)
		pictures = append(pictures, x.pictures...)
		b.Images, b.Names, b.Records = append(b.Images, x.images), append(b.Names, x.name), append(b.Records, i)
	}
	p, err := Splice(ids, labels, nil, pictures, SpliceOptions{MaxLength: l.c.MaxLength, Left: l.c.Left})
	if err != nil {
		return Batch{}, fmt.Errorf("data: batch %d: %w", n, err) // item has held each sample against this
	}
	b.B, b.T, b.IDs, b.Labels, b.Positions = p.B, p.T, p.IDs(l.c.Pad), p.Labels, p.Positions
	b.Mask = make([]int32, 0, p.B*p.T)
	for _, row := range p.Rows {
		for _, x := range row {
			v := int32(1)
			if x.Kind == Padding {
				v = 0
			}
			b.Mask = append(b.Mask, slices.Repeat([]int32{v}, x.Count)...)
		}
	}
	return b, nil
}

// item is a sample on its way into a batch.
type item struct {
	name        string
	ids, labels []int32
	images      []Image
	pictures    []Picture
}

// item reads, checks and prepares one sample.
func (l *Loader) item(i int) (item, *Fault) {
	s, err := l.set.Sample(i)
	where := func(f *Fault) *Fault {
		if f.Record < 0 {
			f.Record, f.ID = i, s.ID
		}
		if f.File == "" {
			f.File = fileOf(l.set, i)
		}
		return f
	}
	if err != nil {
		return item{}, where(asFault(err, FileUnreadable))
	}
	for _, f := range s.Faults() {
		if f.Severity == Error {
			return item{}, where(&f)
		}
	}
	x := item{name: s.ID}
	if x.ids, x.labels, err = l.c.Text(s); err != nil {
		return x, where(asFault(err, TextFailed))
	}
	if len(x.ids) != len(x.labels) {
		panic(fmt.Sprintf("data: loader: Text gives %d ids and %d labels for %s", len(x.ids), len(x.labels), s.ID))
	}
	for _, name := range s.Images {
		m, f := l.image(name)
		if f != nil {
			return x, where(f)
		}
		x.images = append(x.images, m)
		x.pictures = append(x.pictures, l.c.Picture(m.Size))
	}
	return x, l.fits(x, where)
}

// fits checks what the sample looks like once it is spliced and cut.
func (l *Loader) fits(x item, where func(*Fault) *Fault) *Fault {
	p, err := Splice([][]int32{x.ids}, [][]int32{x.labels}, nil, x.pictures, SpliceOptions{MaxLength: l.c.MaxLength})
	if err != nil {
		return where(faulty(ImageTokenCount, "%d pictures, but Text gives %d places", len(x.pictures), count(x.ids, ImageID)))
	}
	want, got := 0, 0
	for _, m := range x.pictures {
		want += m.Len()
	}
	for _, y := range p.Rows[0] {
		if y.Kind != Text {
			got += y.Count
		}
	}
	if got < want {
		return where(faulty(ImageCutOff, "%d positions with its pictures, %d are possible (MaxLength)", p.T+p.Cut[0], l.c.MaxLength))
	}
	if count(p.Labels, Ignore) == len(p.Labels) {
		return where(faulty(NothingToLearn, "no label among %d positions; %d were cut off by MaxLength", p.T, p.Cut[0]))
	}
	return nil
}

func count(s []int32, v int32) int {
	n := 0
	for _, x := range s {
		if x == v {
			n++
		}
	}
	return n
}

func (l *Loader) image(name string) (Image, *Fault) {
	m := Image{Name: name}
	if l.c.Images == nil {
		f := faulty(FileMissing, "the loader has no source of pictures (LoaderConfig.Images)")
		f.Image = name
		return m, f
	}
	fail := func(err error) (Image, *Fault) {
		f := asFault(err, FileUnreadable)
		f.File, f.Image = "", name
		return m, f
	}
	b, err := l.c.Images.Load(name)
	if err != nil {
		return fail(err)
	}
	if l.c.Processor == nil {
		h, err := imaging.Header(b, l.c.Limits)
		if err != nil {
			return fail(err)
		}
		m.Size = imaging.Size{W: h.W, H: h.H}
		if l.c.Orient && h.Orientation > 4 {
			m.Size = imaging.Size{W: h.H, H: h.W}
		}
		return m, nil
	}
	rgb, err := imaging.Decode(b, imaging.Options{Limits: l.c.Limits, Orient: l.c.Orient})
	if err != nil {
		return fail(err)
	}
	m.Size = imaging.Size{W: rgb.W, H: rgb.H}
	if m.Pixels, err = l.c.Processor.Process(rgb); err != nil {
		return fail(err)
	}
	return m, nil
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
	kinds := slices.SortedFunc(maps.Keys(r.Kinds), func(a, b Kind) int { return cmp.Or(r.Kinds[b]-r.Kinds[a], cmp.Compare(a, b)) })
	for i, k := range kinds {
		s += [...]string{": ", ", "}[min(i, 1)] + fmt.Sprintf("%d %s", r.Kinds[k], k)
	}
	return s
}

func (l *Loader) count(i int, f *Fault) {
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
func (l *Loader) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Kinds, r.Faults = maps.Clone(r.Kinds), slices.Clone(r.Faults)
	return r
}
