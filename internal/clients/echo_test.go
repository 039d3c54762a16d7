package clients

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gollava/gollava/connector/serve"
)

// echo is a model that repeats the last question, after the number and sizes of the images it was shown.
type echo struct{ pause time.Duration }

type words []string

func (w words) Tokens() int { return len(w) }

func (echo) Context() int { return 4096 }
func (echo) Images() bool { return true }

func (echo) Prepare(_ context.Context, c serve.Conversation) (serve.Prompt, error) {
	w := words(strings.SplitAfter(c.Text, " "))
	for _, m := range c.Messages {
		if m.Role != "user" {
			continue
		}
		w = nil
		for _, p := range m.Parts {
			if p.Image != nil {
				w = append(w, fmt.Sprintf("[%d×%d] ", p.Image.W, p.Image.H))
				continue
			}
			w = append(w, strings.SplitAfter(p.Text, " ")...)
		}
	}
	return w, nil
}

func (e echo) Generate(
	ctx context.Context,
	p serve.Prompt,
	s serve.Sampling,
	each func(serve.Token) error,
) (serve.Finish, error) {
	for i, w := range p.(words) {
		if i == s.MaxTokens {
			return serve.Finish{Reason: "length"}, nil
		}
		select {
		case <-ctx.Done():
			return serve.Finish{}, ctx.Err()
		case <-time.After(e.pause):
		}
		if err := each(serve.Token{ID: int32(i), Text: w, Bytes: []byte(w)}); err != nil {
			return serve.Finish{}, err
		}
	}
	return serve.Finish{Reason: "stop"}, nil
}

func (echo) Embed(_ context.Context, texts []serve.Input) ([][]float32, int, error) {
	var vs [][]float32
	for _, t := range texts {
		vs = append(vs, []float32{0.6, float32(len(t.Text)%2) * 0.8})
	}
	return vs, len(texts), nil
}

// start serves an echo.
func start(t *testing.T, pause time.Duration) *httptest.Server {
	s := serve.New(serve.Config{Log: t.Logf})
	s.Add("echo", echo{pause})
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}
