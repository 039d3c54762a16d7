package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/gollava/gollava/data/generate"
)

// scriptEntry is a line of the script: a request, and what is answered to it in turn.
type scriptEntry struct {
	Key struct {
		Image int64         `json:"image_id"`
		Kind  generate.Kind `json:"kind"`
	}
	Fault   string
	Request struct {
		Model       string
		Temperature float64
		MaxTokens   int `json:"max_tokens"`
		Messages    []generate.Message
	}
	Responses []scriptResponse
}

// scriptResponse is one answer: a status with a body, bytes as they are, or a connection that is cut.
type scriptResponse struct {
	Status  int
	Headers map[string]string
	Body    json.RawMessage
	Raw     *string
	Close   bool
}

// script is an endpoint that answers by a script.
type script struct {
	*httptest.Server
	mu      sync.Mutex
	entries map[string]*scriptEntry // by their messages
	at      map[*scriptEntry]int
	served  int
	wrong   []string // requests that the script does not have
}

func messagesKey(m []generate.Message) string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings alone
	}
	return string(b)
}

func newScript(entries []scriptEntry) *script {
	s := &script{entries: map[string]*scriptEntry{}, at: map[*scriptEntry]int{}}
	for i := range entries {
		s.entries[messagesKey(entries[i].Request.Messages)] = &entries[i]
	}
	s.Server = httptest.NewServer(s)
	return s
}

// mortal is a transport whose program is killed before its k-th request leaves: nothing is sent from there on, and no
// answer comes.
type mortal struct {
	http.RoundTripper
	mu   sync.Mutex
	left int
	kill context.CancelFunc
}

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.left--
	dead := m.left < 0
	m.mu.Unlock()
	if dead {
		m.kill()
		return nil, context.Canceled
	}
	return m.RoundTripper.RoundTrip(r)
}

func (s *script) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	var body struct {
		Model       string
		Temperature float64
		MaxTokens   int `json:"max_tokens"`
		Messages    []generate.Message
	}
	err := json.NewDecoder(in.Body).Decode(&body)
	s.mu.Lock()
	e := s.entries[messagesKey(body.Messages)]
	refuse := func(format string, args ...any) {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
		s.mu.Unlock()
		http.Error(w, "not in the script", http.StatusTeapot)
	}
	switch {
	case err != nil || in.Method != http.MethodPost || !strings.HasSuffix(in.URL.Path, "/chat/completions"):
		refuse("%s %s: %v", in.Method, in.URL.Path, err)
		return
	case e == nil:
		refuse("no scriptEntry for the messages %.200s", messagesKey(body.Messages))
		return
	case body.Model != e.Request.Model || body.Temperature != e.Request.Temperature ||
		body.MaxTokens != e.Request.MaxTokens:
		refuse("picture %d, %s: model %q, temperature %v, max_tokens %d", e.Key.Image, e.Key.Kind, body.Model,
			body.Temperature, body.MaxTokens)
		return
	case s.at[e] >= len(e.Responses):
		refuse("picture %d, %s: one request too many", e.Key.Image, e.Key.Kind)
		return
	}
	r := e.Responses[s.at[e]]
	s.at[e]++
	s.served++
	s.mu.Unlock()
	if r.Close && r.Raw == nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range r.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(r.Status)
	if r.Raw != nil {
		fmt.Fprint(w, *r.Raw)
	} else {
		_, _ = w.Write(r.Body) // a client that is gone does not matter
	}
	if r.Close {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}
