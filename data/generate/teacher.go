package generate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gollava/gollava/internal/misuse"
)

// Request is one thing to be written.
type Request struct {
	Kind        Kind      `json:"-"`
	Scene       *Scene    `json:"-"`
	Model       string    `json:"model"`
	Temperature float64   `json:"temperature"`
	MaxTokens   int       `json:"max_tokens"`
	Messages    []Message `json:"messages"`
}

// Hash names a request by all that its answer depends on.
func (r *Request) Hash() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(misuse.Errorf("generate", "temperature %v is no number", r.Temperature)) // nothing else can fail
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Reply is what came of one attempt to ask: a line of the log.
type Reply struct {
	Request string  `json:"request"`          // hash of what was asked
	Attempt int     `json:"attempt"`          // from 1
	Status  int     `json:"status"`           // of HTTP; 0: no answer came
	Error   string  `json:"error,omitempty"`  // what was said of a failure
	Code    string  `json:"code,omitempty"`   // the service's name for it
	Role    string  `json:"role,omitempty"`   // who speaks
	Text    *string `json:"text,omitempty"`   // nil: no text, or no readable answer
	Finish  string  `json:"finish,omitempty"` // stop, length, content_filter…
	Model   string  `json:"model,omitempty"`  // that says to have answered
	ID      string  `json:"id,omitempty"`     // the service's name for the answer
	Usage   *Usage  `json:"usage,omitempty"`

	RetryAfter time.Duration `json:"-"` // how long the service wants to be left alone; 0: it does not say
}

// Usage is how many tokens an answer took.
type Usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// Teacher writes about pictures that it knows from a context only. It must be safe for concurrent use. What it
// returns has the form that [Config.Parse] reads; failures are replies too, and an error means that the context was
// cancelled.
type Teacher interface {
	Ask(ctx context.Context, r *Request) (Reply, error)
}

// fault says what is wrong with a reply, apart from its text; whether the same request may succeed later; and whether
// no request can.
func (r *Reply) fault(c *Config) (f FaultKind, again, fatal bool) {
	switch {
	case r.Status == 0:
		return Connection, true, false
	case r.Status == 401, r.Status == 403, r.Code == "insufficient_quota":
		return HTTP, false, true
	case slices.Contains([]int{408, 409, 429, 500, 502, 503, 504, 529}, r.Status):
		return HTTP, true, false
	case r.Status != 200:
		return HTTP, false, false
	case r.Finish == "content_filter":
		return Filter, false, false
	case r.Role != "assistant" || r.Text == nil:
		return BadReply, true, false
	case !c.answers(r.Model):
		return WrongModel, true, false
	}
	return "", false, false
}

// answers reports whether a model's name may be that of the one asked: services add dates and quantisations behind
// it.
func (c *Config) answers(name string) bool {
	return name == "" || strings.HasPrefix(strings.ToLower(name), strings.ToLower(c.Model)) ||
		slices.Contains(c.AnswersAs, name) ||
		strings.HasSuffix(strings.ToLower(c.Model), "/"+strings.ToLower(name))
}

// usd is what tokens cost.
func (p Price) usd(u Usage) float64 {
	return (float64(u.Prompt)*p.Prompt + float64(u.Completion)*p.Completion) / 1e6
}
