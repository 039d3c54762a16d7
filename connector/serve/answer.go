package serve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/gollava/gollava/data/chat"
)

// answer is one choice while it is made.
type answer struct {
	text   strings.Builder
	tokens []Token
	finish string
}

// errStopped ends the generation of an answer in which a stop string came.
var errStopped = errors.New("serve: a stop string came")

// piece is a part of an answer that can be sent: text, and the tokens that became known.
type piece struct {
	index  int
	text   string
	tokens []Token
	finish string // at the end
}

// generate makes one choice of an answer and passes it on in pieces. An error of send, as when the client has gone,
// ends it.
func (s *Server) generate(
	ctx context.Context,
	m Model,
	p Prompt,
	o Sampling,
	index int,
	send func(piece) error,
) (tokens int, err error) {
	defer func() { // it may run in a goroutine of its own, where a panic would end the process
		if fault := caught(recover()); fault != nil {
			err = fault
		}
	}()
	until := chat.NewUntil(o.Stop...)
	var waiting []Token
	end, err := m.Generate(ctx, p, o, func(t Token) error {
		tokens++
		s.metrics.tokens.Add(1)
		waiting = append(waiting, t)
		text := until.Add(t.Text)
		if until.Stopped() {
			if err := send(piece{index, text, waiting, ""}); err != nil {
				return err
			}
			waiting = nil
			return errStopped
		}
		if text == "" {
			return nil
		}
		out := piece{index, text, waiting, ""}
		waiting = nil
		return send(out)
	})
	if errors.Is(err, errStopped) {
		return tokens, send(piece{index, "", waiting, "stop"})
	}
	if err != nil {
		return tokens, err
	}
	text := until.Add(end.Rest)
	if until.Stopped() {
		end.Reason = "stop"
	}
	return tokens, send(piece{index, text + until.Rest(), waiting, end.Reason})
}

// choices makes n answers to each prompt at once: those of the first prompt are 0 to n−1, and so on.
func (s *Server) choices(
	ctx context.Context,
	m Model,
	prompts []Prompt,
	o Sampling,
	n int,
	send func(piece) error,
) (tokens int, err error) {
	if !o.Seeded {
		o.Seed = randomSeed()
	}
	if n*len(prompts) == 1 {
		return s.generate(ctx, m, prompts[0], o, 0, send)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lock sync.Mutex
	var group sync.WaitGroup
	for i := range n * len(prompts) {
		o := o
		o.Seed += uint64(i % n)
		if o.Constraint != nil {
			o.Constraint = o.Constraint.Fresh()
		}
		group.Go(func() {
			k, e := s.generate(ctx, m, prompts[i/n], o, i, func(x piece) error {
				lock.Lock()
				defer lock.Unlock()
				return send(x)
			})
			lock.Lock()
			defer lock.Unlock()
			if tokens += k; e != nil && err == nil {
				err = e
				cancel()
			}
		})
	}
	group.Wait()
	return tokens, err
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// failure is what a client is told of an error of a model. Causes inside stay in the log.
func (s *Server) failure(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled):
		return refused(499, "", "the request was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return refused(
			http.StatusGatewayTimeout,
			"deadline_exceeded",
			"the answer took longer than the server allows",
		)
	case errors.Is(err, ErrBusy):
		return busy(http.StatusTooManyRequests, "rate_limit_exceeded", "the server is busy: try again in a second", 1)
	}
	s.log("generation failed: %v", err)
	return refused(http.StatusInternalServerError, "", "the model failed; the server's log says more")
}
