package generate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options say how a run goes; nothing of them changes what is written.
type Options struct {
	Teacher Teacher
	Out     string // folder of the output and of the log of replies
	Workers int    // requests at once; 0: 4
	// before the first retry where the service does not say, doubled for each other one; 0: a second
	Wait     time.Duration
	Judge    *Judge         // nil: none
	Comm     Comm           // processes that share the run out; nil: this one alone
	Progress func(Progress) // called after each request; nil: nobody looks
}

// Progress is how far a run is.
type Progress struct {
	Done, Total int // samples
	Requests    int // sent in this run
	Usage       Usage
	USD         float64
	Elapsed     time.Duration
	ETA         time.Duration // 0 while nothing is known
	Slowest     time.Duration // of the requests
}

// sample is one picture in one kind.
type sample struct {
	scene   *Scene
	kind    Kind
	request *Request
	hash    string
}

// samples are all that is to be written, in the order of the pictures and the kinds.
func (c *Config) samples(set *Set, f func(s sample) error) error {
	for _, scene := range set.Scenes {
		if scene.Missing {
			continue
		}
		for _, k := range c.Kinds {
			context, ok := scene.Context(k)
			if !ok || !c.wants(k, scene.ID) {
				continue
			}
			r := &Request{
				Kind:        k,
				Scene:       scene,
				Model:       c.Model,
				Temperature: c.Temperature,
				MaxTokens:   c.MaxTokens,
				Messages:    c.Messages(k, context),
			}
			if err := f(sample{scene, k, r, r.Hash()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// run is a run under way.
type run struct {
	*Config
	Options
	set  *Set
	log  *log
	stop context.CancelFunc

	mu       sync.Mutex
	asking   map[string]*asking // by the request's hash
	unasked  map[int]FaultKind  // by the sample's number
	flight   Usage              // estimated tokens of requests under way
	waiting  *sync.Cond
	progress Progress
	began    time.Time
	fatal    error
}

// asking is what this run knows of a request besides its replies.
type asking struct {
	sync.Mutex               // one attempt at a time
	last       int           // the last attempt of this run; 0: replies are of an earlier one
	after      time.Duration // what the service said after it
}

// Run asks about every picture of a set and writes into o.Out: LLaVA's json for each kind (conversation.json,
// detail.json, reasoning.json) and all.json, provenance.jsonl, report.json, and replies.jsonl, the log. The same log
// gives the same bytes at any number of workers. When ctx ends, requests under way are finished and logged, nothing
// else is written, and the error says so; running again goes on. A budget that is spent ends the asking, and what is
// there is written. Of several processes, each asks its share; rank 0 merges what they have and writes, and all return
// the same report. A budget is one process's alone.
func Run(ctx context.Context, set *Set, c Config, o Options) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if o.Comm == nil {
		o.Comm = alone{}
	}
	if o.Comm.Size() > 1 && (c.BudgetUSD > 0 || c.BudgetTokens > 0) {
		return nil, errors.New("generate: a budget is counted by one process: run without a launcher, or without " +
			"a budget")
	}
	_, err := o.together(func() (*Report, error) {
		if err := os.MkdirAll(o.Out, 0o777); err != nil {
			return nil, err
		}
		return nil, o.merge()
	})
	if err != nil {
		return nil, err
	}
	l, err := openLog(filepath.Join(o.Out, logName))
	if err == nil && o.Comm.Size() > 1 {
		err = l.divert(o.logPath(o.Comm.Rank()))
	}
	if err != nil {
		return nil, o.agree(err)
	}
	defer func() { l.close() }()
	if err := o.agree(nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{
		Config:  &c,
		Options: o,
		set:     set,
		log:     l,
		stop:    cancel,
		asking:  map[string]*asking{},
		unasked: map[int]FaultKind{},
		began:   time.Now(),
	}
	r.waiting = sync.NewCond(&r.mu)
	if r.Workers <= 0 {
		r.Workers = 4
	}
	if r.Wait <= 0 {
		r.Wait = time.Second
	}
	if err := o.agree(r.ask(ctx)); err != nil {
		return nil, err
	}
	return o.together(func() (*Report, error) {
		if o.Comm.Size() > 1 {
			if err := errors.Join(r.log.close(), o.merge()); err != nil {
				return nil, err
			}
			merged, err := openLog(filepath.Join(o.Out, logName))
			if err != nil {
				return nil, err
			}
			l, r.log = merged, merged
		}
		return r.write()
	})
}

// ask works through all samples.
func (r *run) ask(ctx context.Context) error {
	type job struct {
		n int
		sample
	}
	err := r.Config.samples(r.set, func(s sample) error {
		if r.mine(s.hash) {
			r.progress.Total++
		}
		return nil
	})
	if err != nil {
		return err
	}
	jobs := make(chan job)
	var group sync.WaitGroup
	for range r.Workers {
		group.Go(func() {
			for j := range jobs {
				why, err := r.settle(ctx, j.sample)
				r.mu.Lock()
				if err != nil && r.fatal == nil && ctx.Err() == nil {
					r.fatal = fmt.Errorf("generate: picture %d, %s: %w", j.scene.ID, j.kind, err)
					r.stop()
				}
				if why != "" {
					r.unasked[j.n] = why
				}
				r.progress.Done++
				r.mu.Unlock()
			}
		})
	}
	n := -1
	err = r.Config.samples(r.set, func(s sample) error {
		if n++; !r.mine(s.hash) {
			return nil
		}
		select {
		case jobs <- job{n, s}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(jobs)
	group.Wait()
	if r.fatal != nil {
		return r.fatal
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("generate: stopped after %d of %d samples; every reply is kept in %s, run the same "+
			"again to go on: %w",
			r.progress.Done, r.progress.Total, filepath.Join(r.Out, "replies.jsonl"), err)
	}
	return nil
}

// verdict is what a request's replies come to.
type verdict struct {
	turns   []Turn
	reply   Reply       // the one that was accepted
	faults  []FaultKind // of the replies before it, or of all
	replies int
	usage   Usage
	open    bool // another attempt may help
	fatal   error
}

// evaluate goes through replies: the first that is usable counts.
func (r *run) evaluate(s sample, replies []Reply) (verdict, error) {
	v := verdict{replies: len(replies)}
	for i, x := range replies {
		if x.Usage != nil && x.Status == 200 {
			v.usage.Prompt += x.Usage.Prompt
			v.usage.Completion += x.Usage.Completion
		}
		f, again, fatal := x.fault(r.Config)
		if v.fatal = nil; fatal {
			v.fatal = fmt.Errorf("the endpoint answers %d %s: %s", x.Status, x.Code, x.Error)
			again = true
		}
		if f == "" {
			again = true
			v.turns, f = r.Parse(s.kind, *x.Text, x.Finish == "length")
			if f == "" {
				f = r.check(s, v.turns)
			}
			if f == "" && r.Judge != nil {
				ok, usage, err := r.judged(s, v.turns)
				if err != nil {
					return v, err
				}
				v.usage.Prompt += usage.Prompt
				v.usage.Completion += usage.Completion
				switch ok {
				case unknown:
					v.open = true
					return v, nil
				case refused:
					f = Judged
				}
			}
		}
		if f == "" {
			v.reply, v.replies = x, i+1
			return v, nil
		}
		v.turns = nil
		v.faults = append(v.faults, f)
		if !again {
			return v, nil
		}
	}
	v.open = len(replies) < r.MaxAttempts
	return v, nil
}

// settle asks until a sample has an answer or cannot have one. It returns why it was not asked, if it was not.
func (r *run) settle(ctx context.Context, s sample) (FaultKind, error) {
	r.mu.Lock()
	one := r.asking[s.hash]
	if one == nil {
		one = &asking{}
		r.asking[s.hash] = one
	}
	r.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	for {
		replies, err := r.log.replies(s.hash)
		if err != nil {
			return "", err
		}
		v, err := r.evaluate(s, replies)
		if err != nil {
			return "", err
		}
		if v.fatal != nil && one.last == 0 { // what a key or a quota forbade an earlier run may be allowed now
			v.open, v.fatal = len(replies) < r.MaxAttempts, nil
		}
		if v.fatal != nil {
			return "", v.fatal
		}
		if !v.open {
			return "", nil
		}
		request, hash := s.request, s.hash
		teacher := r.Teacher
		if v.turns != nil { // an answer that the judge has not seen
			request = r.Judge.request(s, v.turns)
			hash, teacher = request.Hash(), r.Judge.Teacher
			if replies, err = r.log.replies(hash); err != nil {
				return "", err
			}
		}
		if len(replies) > 0 {
			if err := sleep(ctx, r.pause(one, hash)); err != nil {
				return Unasked, err
			}
		}
		reply, why, err := r.once(ctx, teacher, request, hash, len(replies)+1)
		if why != "" || err != nil {
			return why, err
		}
		one.last, one.after = reply.Attempt, reply.RetryAfter
	}
}

// once sends one request within the budget and logs the reply.
func (r *run) once(
	ctx context.Context,
	t Teacher,
	request *Request,
	hash string,
	attempt int,
) (Reply, FaultKind, error) {
	if ctx.Err() != nil {
		return Reply{}, Unasked, ctx.Err()
	}
	cost := r.guess(request)
	if !r.reserve(cost) {
		return Reply{}, Budget, nil
	}
	began := time.Now()
	reply, err := t.Ask(ctx, request)
	took := time.Since(began)
	if err == nil {
		reply.Request, reply.Attempt = hash, attempt
		err = r.log.add(reply)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flight.Prompt -= cost.Prompt
	r.flight.Completion -= cost.Completion
	r.waiting.Broadcast()
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return reply, Unasked, err
		}
		return reply, "", err
	}
	p := &r.progress
	p.Requests++
	p.Usage = r.log.spent()
	p.USD, p.Elapsed, p.Slowest = r.Price.usd(p.Usage), time.Since(r.began), max(p.Slowest, took)
	if p.Done > 0 {
		p.ETA = time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Total-p.Done))
	}
	if r.Progress != nil {
		r.Progress(*p)
	}
	return reply, "", nil
}

// reserve waits until it is certain whether the budget allows one more request: what is spent must be below it, and
// with what is under way it must not be passed by a request that would not have been sent otherwise.
func (r *run) reserve(cost Usage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		u := r.log.spent()
		usd, tokens := r.Price.usd(u), u.Prompt+u.Completion
		if r.BudgetUSD > 0 && usd >= r.BudgetUSD || r.BudgetTokens > 0 && tokens >= r.BudgetTokens {
			return false
		}
		with := Usage{u.Prompt + r.flight.Prompt, u.Completion + r.flight.Completion}
		passed := r.BudgetUSD > 0 && r.Price.usd(with) >= r.BudgetUSD ||
			r.BudgetTokens > 0 && with.Prompt+with.Completion >= r.BudgetTokens
		if !passed || r.flight == (Usage{}) {
			r.flight.Prompt += cost.Prompt
			r.flight.Completion += cost.Completion
			return true
		}
		r.waiting.Wait()
	}
}

// guess is how many tokens a request may take: four characters a token, and half of the answer's limit.
func (r *run) guess(q *Request) Usage {
	n := 0
	for _, m := range q.Messages {
		n += len(m.Content)/4 + 4
	}
	return Usage{n, q.MaxTokens / 2}
}

// pause is how long to wait before the next attempt: as long as the service said, else twice as long as before, by a
// share from one half to one and a half that depends on the seed, the request and the attempt alone.
func (r *run) pause(a *asking, hash string) time.Duration {
	if a.last == 0 || a.after > 0 {
		return a.after // nothing after replies of an earlier run
	}
	_, n := r.draw(Kind(fmt.Sprintf("wait/%d", a.last)), int64(binary.BigEndian.Uint64([]byte(hash[:8]))))
	return time.Duration(float64(r.Wait<<min(a.last-1, 6)) * (0.5 + float64(n)/(1<<32)))
}
