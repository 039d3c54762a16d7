package llm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// ErrClosed is what requests to a closed [Engine] end in.
var ErrClosed = errors.New("llm: the engine is closed")

// EngineConfig bounds what an [Engine] does at once.
type EngineConfig struct {
	// sequences that grow at the same time, the others wait; 0: tensor.DecodeRows, with which one pass of the weights
	// serves all
	MaxRows   int
	MaxTokens int // positions, prompts and MaxNewTokens together, of the sequences that grow; 0: no limit

	// KeepTokens is the number of positions of finished prompts whose keys and values stay, the latest used, for the
	// same prompt, which is not computed again, and for prompts that begin alike: an image or instructions asked about
	// again. These share whole chunks of 512 positions. Logits, which stay too, count as the positions that need as
	// much memory. 0: none stay.
	KeepTokens int
}

// Request is one sequence to continue.
type Request struct {
	Prompt  Prompts // of one row; nothing changes its tensors until the request ends
	Options Options // Beams and NoCache do not go with an engine

	// Session, if not nil, is continued by the request: see [Session.Generate]. It belongs to the request until that
	// ends.
	Session *Session
}

// Engine continues many sequences in one batch, which they join and leave at any token: continuous batching, as in Yu
// et al. 2022, "Orca". Every answer is that of [Generate] alone with the same options, bit for bit, whatever else
// runs. Prompts are computed chunk by chunk between the tokens of the others. All methods are safe for concurrent
// use. An idle engine holds no goroutine.
type Engine struct {
	m Model
	c EngineConfig

	mu      sync.Mutex
	waiting []*stream
	rows    []*stream
	running bool // the loop
	closed  bool

	kept kept // of the loop
}

// NewEngine returns an engine for m, whose parameters nobody changes while it runs.
func NewEngine(m Model, c EngineConfig) *Engine {
	if c.MaxRows <= 0 {
		c.MaxRows = tensor.DecodeRows
	}
	return &Engine{m: m, c: c}
}

// EngineStats is what an engine holds at a moment.
type EngineStats struct {
	Running, Waiting int
	Tokens           int // positions reserved by those that run
	Kept             int // positions kept of finished prompts
}

// Stats returns the engine's load.
func (e *Engine) Stats() EngineStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return EngineStats{Running: len(e.rows), Waiting: len(e.waiting), Tokens: e.reserved(), Kept: e.kept.size()}
}

// Close ends all requests with [ErrClosed] within a token, and refuses new ones.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.wake()
	e.mu.Unlock()
}

// stream is a request on its way.
type stream struct {
	ctx  context.Context
	r    Request
	row  *row
	size int // positions, at most

	mu     sync.Mutex
	tokens []Token
	err    error
	done   bool
	ready  chan struct{} // holds an item when there is news
}

func (s *stream) put(t *Token, done bool, err error) {
	s.mu.Lock()
	if t != nil {
		s.tokens = append(s.tokens, *t)
	}
	s.done, s.err = s.done || done, err
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// Stream continues a request and yields its tokens as they are chosen. The error, of the request or of ctx, comes
// last, alone. The sequence leaves the batch within a token when ctx ends or the loop is left. A slow reader slows
// nobody else down. Options.OnToken is called as well.
func (e *Engine) Stream(ctx context.Context, r Request) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := e.add(ctx, r)
		if err != nil {
			yield(Token{}, err)
			return
		}
		defer func() { // the session is the caller's again
			for cancel(); r.Session != nil && !s.over(); {
				<-s.ready
			}
		}()
		at := 0
		for {
			select {
			case <-s.ready:
			case <-ctx.Done():
				yield(Token{}, ctx.Err())
				return
			}
			s.mu.Lock()
			tokens, done, err := s.tokens[at:], s.done, s.err
			s.mu.Unlock()
			for _, t := range tokens {
				if err := ctx.Err(); err != nil { // many may have come since
					yield(Token{}, err)
					return
				}
				at++
				if r.Options.OnToken != nil {
					if err := r.Options.OnToken(0, t.ID); err != nil {
						yield(Token{}, err)
						return
					}
				}
				if !yield(t, nil) {
					return
				}
			}
			if done {
				if err != nil {
					yield(Token{}, err)
				}
				return
			}
		}
	}
}

// Generate continues a request to its end. With an error it returns what there is until then.
func (e *Engine) Generate(ctx context.Context, r Request) (Generated, error) {
	out := Generated{IDs: make([][]int32, 1)}
	var tokens []Token
	for t, err := range e.Stream(ctx, r) {
		if err != nil {
			return out, err
		}
		out.IDs[0], tokens = append(out.IDs[0], t.ID), append(tokens, t)
		if r.Options.LogProbs || r.Options.TopLogProbs > 0 {
			out.Tokens = [][]Token{tokens}
		}
	}
	return out, nil
}

// add checks a request and lets it wait for its turn.
func (e *Engine) add(ctx context.Context, r Request) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.Options.complete(e.m); err != nil {
		return nil, err
	}
	s := &stream{ctx: ctx, r: r, ready: make(chan struct{}, 1)}
	var rows []*row
	var err error
	if caught := tensor.Catch(func() {
		switch {
		case r.Session != nil && r.Session.m != e.m:
			err = fmt.Errorf("llm: the session is one of another model")
		case r.Session != nil:
			s.row, err = r.Session.begin(r.Prompt, r.Options)
		case r.Options.Beams > 1 || r.Options.NoCache:
			err = fmt.Errorf("llm: an engine has neither beam search nor NoCache")
		default:
			if rows, err = newRows(e.m, r.Prompt, r.Options); err == nil && len(rows) != 1 {
				err = fmt.Errorf("llm: %d prompts in a request, which has one sequence", len(rows))
			}
			if err == nil {
				s.row = rows[0]
			}
		}
	}); caught != nil {
		err = caught
	}
	if err != nil {
		return nil, err
	}
	s.size = s.row.choice.prompt + r.Options.MaxNewTokens
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		err = ErrClosed
	} else if e.c.MaxTokens > 0 && s.size > e.c.MaxTokens {
		err = fmt.Errorf("llm: a prompt of %d positions and %d new tokens exceed the engine's %d tokens",
			s.row.choice.prompt, r.Options.MaxNewTokens, e.c.MaxTokens)
	}
	if err != nil {
		s.release()
		return nil, err
	}
	e.waiting = append(e.waiting, s)
	e.wake()
	return s, nil
}

// release hands the row back to its session.
func (s *stream) release() {
	if s.r.Session != nil {
		s.r.Session.end(s.row)
	}
}

// wake starts the loop if there is work. e.mu is held.
func (e *Engine) wake() {
	if !e.running && len(e.waiting)+len(e.rows) > 0 {
		e.running = true
		go e.loop()
	}
}

func (e *Engine) reserved() int {
	n := 0
	for _, s := range e.rows {
		n += s.size
	}
	return n
}

// loop runs while there are sequences.
func (e *Engine) loop() {
	for e.admit() {
		e.step()
	}
}

// admit drops requests that have ended and lets others join, first come first served. It reports false, for the last
// time, when none is left.
func (e *Engine) admit() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := func(s *stream) bool {
		err := s.ctx.Err()
		if err == nil && e.closed {
			err = ErrClosed
		}
		done := s.over()
		if err != nil && !done {
			s.release()
			s.put(nil, true, err)
		}
		return done || err != nil
	}
	e.rows, e.waiting = slices.DeleteFunc(e.rows, gone), slices.DeleteFunc(e.waiting, gone)
	for len(e.waiting) > 0 && len(e.rows) < e.c.MaxRows {
		s := e.waiting[0]
		if e.c.MaxTokens > 0 && e.reserved()+s.size > e.c.MaxTokens {
			break
		}
		s.row.cache.reserve(s.size)
		e.rows, e.waiting = append(e.rows, s), e.waiting[1:]
	}
	e.running = len(e.rows) > 0
	return e.running
}

// step computes a chunk of the prompt that came first, and a token of every sequence whose prompt is done.
func (e *Engine) step() {
	var ready []*stream
	var rows []*row
	for _, s := range e.rows {
		if len(s.row.ids) > 0 {
			ready, rows = append(ready, s), append(rows, s.row)
		}
	}
	for _, s := range e.rows {
		if len(s.row.ids) > 0 {
			continue
		}
		if s.r.Session == nil {
			e.kept.begin(s.row)
		}
		known := s.row.logits != nil
		var z []float32
		if err := tensor.Catch(func() { z = s.row.prefill(e.m) }); err != nil {
			s.finish(nil, err)
		} else if z != nil {
			if s.r.Session == nil && rope(e.m) == nil {
				e.kept.add(s.row, z, e.c.KeepTokens)
			}
			s.choose(z)
		}
		if !known { // it took time
			break
		}
	}
	if len(rows) == 0 {
		return
	}
	err := tensor.Catch(func() {
		decode(e.m, rows, tensor.DecodeRows, func(at []int, z [][]float32) {
			var choosing sync.WaitGroup // with a large vocabulary it takes as long as a layer
			for i, row := range at {
				choosing.Go(func() { ready[row].choose(z[i]) })
			}
			choosing.Wait()
		})
	})
	if err != nil {
		for _, s := range ready {
			if !s.over() {
				s.finish(nil, err)
			}
		}
	}
}

// choose picks the next token of a sequence, and ends it if it is the last.
func (s *stream) choose(z []float32) {
	_, err := s.row.choose(z)
	switch {
	case err != nil:
		s.finish(nil, err)
	case s.row.ended:
		s.finish(&s.row.tokens[len(s.row.tokens)-1], nil)
	default:
		s.put(&s.row.tokens[len(s.row.tokens)-1], false, nil)
	}
}

// finish ends a sequence with its last token or an error.
func (s *stream) finish(t *Token, err error) {
	s.release()
	s.put(t, true, err)
}
