package generate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Endpoint is a language model behind a service that speaks OpenAI's chat completions, as llama.cpp, vLLM, ollama and
// gollava serve do too. It is safe for concurrent use.
type Endpoint struct {
	URL     string        // of the interface, such as http://localhost:8080/v1
	Key     string        // sent as a bearer token, if not empty; never logged
	Timeout time.Duration // of one request; 0: two minutes
	Client  *http.Client  // nil: one of the endpoint's own

	RequestsPerMinute float64 // 0: no limit
	TokensPerMinute   float64 // 0: no limit

	pace pace
	once sync.Once
	own  *http.Client
}

// maxReply limits what is read of a service's answer.
const maxReply = 16 << 20

// completion is an answer of the service. Fields that may be null or of another type are read by themselves.
type completion struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Choices []struct {
		Message struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"message"`
		Finish *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *Usage `json:"usage"`
	Error *struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    any    `json:"code"`
	} `json:"error"`
}

// Ask sends one request. Every outcome but a cancelled context is a reply.
func (e *Endpoint) Ask(ctx context.Context, r *Request) (Reply, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Reply{}, fmt.Errorf("generate: %w", err)
	}
	if err := e.pace.wait(ctx, e); err != nil {
		return Reply{}, err
	}
	timeout := e.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	// A request that is under way is finished when the run is stopped: its answer is paid for.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	url := strings.TrimRight(e.URL, "/") + "/chat/completions"
	request, err := http.NewRequestWithContext(limited, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Reply{}, fmt.Errorf("generate: endpoint %q: %w", e.URL, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if e.Key != "" {
		request.Header.Set("Authorization", "Bearer "+e.Key)
	}
	response, err := e.client().Do(request)
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return Reply{}, ctx.Err() // by the transport: nothing is known of the request
	}
	if err != nil {
		e.pace.done(e, Reply{})
		return Reply{Error: clip(err.Error())}, nil
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	reply := Reply{Status: response.StatusCode, RetryAfter: retryAfter(response.Header, time.Now())}
	if err != nil {
		reply.Error = clip(err.Error())
	} else {
		reply.read(content)
	}
	e.pace.done(e, reply)
	return reply, nil
}

// AskUntil asks up to attempts times for a reply that is a text of the assistant, waiting between as the service
// wishes.
func (e *Endpoint) AskUntil(ctx context.Context, r *Request, attempts int) (Reply, error) {
	c := Config{Model: r.Model}
	for n := 1; ; n++ {
		reply, err := e.Ask(ctx, r)
		if err != nil {
			return reply, err
		}
		f, again, _ := reply.fault(&c)
		if f == "" {
			return reply, nil
		}
		if !again || n >= attempts {
			return reply, fmt.Errorf(
				"%s: %s: the endpoint answers %d %s %s",
				e.URL,
				f,
				reply.Status,
				reply.Code,
				reply.Error,
			)
		}
		if err := sleep(ctx, max(reply.RetryAfter, time.Second<<min(n-1, 6))); err != nil {
			return reply, err
		}
	}
}

func (e *Endpoint) client() *http.Client {
	if e.Client != nil {
		return e.Client
	}
	e.once.Do(func() {
		e.own = &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConnsPerHost: 256,
				IdleConnTimeout:     time.Minute,
			},
		}
	})
	return e.own
}

// read reads the body of an answer. What cannot be read leaves the text nil and says so.
func (r *Reply) read(body []byte) {
	var c completion
	if err := json.Unmarshal(body, &c); err != nil {
		r.Error = clip("not a chat completion: " + string(bytes.TrimSpace(body)))
		return
	}
	r.ID, r.Model, r.Usage = c.ID, c.Model, c.Usage
	if c.Error != nil {
		r.Error, r.Code = clip(c.Error.Message), c.Error.Type
		if code, ok := c.Error.Code.(string); ok && code != "" {
			r.Code = code
		}
	}
	if len(c.Choices) == 0 {
		if r.Error == "" {
			r.Error = clip("no choices: " + string(bytes.TrimSpace(body)))
		}
		return
	}
	first := c.Choices[0]
	r.Role = first.Message.Role
	if first.Finish != nil {
		r.Finish = *first.Finish
	}
	var text string
	if len(first.Message.Content) > 0 && first.Message.Content[0] == '"' &&
		json.Unmarshal(first.Message.Content, &text) == nil {
		r.Text = &text
	} else {
		r.Error = "the answer has no text"
	}
}

// clip shortens a message from outside.
func clip(s string) string {
	if len(s) > 300 {
		return strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// retryAfter reads how long a service wants to be left alone: milliseconds, seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("retry-after-ms"), 64); err == nil && ms >= 0 {
		return min(time.Duration(ms*float64(time.Millisecond)), time.Hour)
	}
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s >= 0 {
		return min(time.Duration(s*float64(time.Second)), time.Hour)
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), time.Hour)
	}
	return 0
}

// pace spaces requests: by the limits that are given, and further apart after the service has said that it is too
// much.
type pace struct {
	mu    sync.Mutex
	next  time.Time     // before this nobody asks
	extra time.Duration // between requests, learnt from 429
}

// wait returns when the next request may be sent.
func (p *pace) wait(ctx context.Context, e *Endpoint) error {
	p.mu.Lock()
	gap := p.extra
	if e.RequestsPerMinute > 0 {
		gap = max(gap, time.Duration(float64(time.Minute)/e.RequestsPerMinute))
	}
	at := time.Now()
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(gap)
	p.mu.Unlock()
	return sleep(ctx, time.Until(at))
}

// done takes an answer into account.
func (p *pace) done(e *Endpoint, r Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Status == 429:
		p.extra = min(max(2*p.extra, 2*time.Millisecond), time.Minute)
		if until := time.Now().Add(r.RetryAfter); until.After(p.next) {
			p.next = until
		}
	case r.Status == 200:
		p.extra = p.extra * 9 / 10
	}
	if r.Usage != nil && e.TokensPerMinute > 0 {
		tokens := float64(r.Usage.Prompt + r.Usage.Completion)
		if now := time.Now(); now.After(p.next) {
			p.next = now
		}
		p.next = p.next.Add(time.Duration(tokens / e.TokensPerMinute * float64(time.Minute)))
	}
}

// sleep waits unless the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
