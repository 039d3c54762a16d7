package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gollava/gollava/data/imaging"
)

// Errors of a [Model].
var (
	ErrBusy         = errors.New("serve: the model has no room for another answer")
	ErrTooLong      = errors.New("serve: the prompt is longer than the model's context")
	ErrNoEmbeddings = errors.New("serve: the model has no embeddings")
)

// Config says how a [Server] treats its clients. The zero value is safe: no key, requests for this machine's own
// addresses only, images in the request only, nothing of what is said in the log.
type Config struct {
	APIKey       string   // clients must send it as "Authorization: Bearer …"; "": anybody may ask
	Hosts        []string // names that a Host header may hold besides this machine's own; "*": any
	Origins      []string // origins of pages elsewhere that may use the server, such as "https://example.org"
	Fetch        []string // hosts that images may be fetched from; "*": any public one
	FetchPrivate bool     // also from private addresses
	Limits       Limits
	Log          func(format string, args ...any) // nil: silence. It sees no prompt, no image and no answer

	// Adapters opens an adapter of a model, by the names that a client wrote, for POST /v1/models/{model}/adapters. An
	// adapter that it does not know is an fs.ErrNotExist. nil: no adapters are loaded while serving.
	Adapters func(ctx context.Context, model, adapter string) (Model, error)
}

// Limits bound what a request can take. A zero field has the default.
type Limits struct {
	Body     int64          // bytes of a request; 64 MiB
	Messages int            // 1,000
	Images   int            // of a request, videos included; 16
	Frames   int            // of a video; 64
	Image    imaging.Limits // of each: 20 MiB and 50 million pixels
	Choices  int            // n; 8
	Drawn    int            // pixels of an image that is drawn; 1,048,576
	Stops    int            // 4
	Tokens   int            // new ones, where the client names no number; 1,024
	Inputs   int            // of one request for embeddings or completions; 256
	Adapters int            // loaded while serving, of each model; 8

	Requests int           // answers in progress or waiting; beyond it clients are told to come back; 256
	Answer   time.Duration // for one answer, waiting included; 10 minutes
	Write    time.Duration // until a reader that takes nothing is given up; 30 s
	Fetch    time.Duration // for an image on the web; 10 s
	Header   time.Duration // until a client has sent the header of a request; 10 s
	Read     time.Duration // until it has sent all of it; 2 minutes
	Drain    time.Duration // for answers in progress when the server stops; 30 s
}

func (l Limits) filled() Limits {
	fill(&l.Body, 64<<20)
	fill(&l.Messages, 1000)
	fill(&l.Images, 16)
	fill(&l.Frames, 64)
	fill(&l.Image.Bytes, 20<<20)
	fill(&l.Image.Pixels, 50_000_000)
	fill(&l.Image.Aspect, 1000)
	fill(&l.Choices, 8)
	fill(&l.Drawn, 1<<20)
	fill(&l.Stops, 4)
	fill(&l.Tokens, 1024)
	fill(&l.Inputs, 256)
	fill(&l.Adapters, 8)
	fill(&l.Requests, 256)
	fill(&l.Answer, 10*time.Minute)
	fill(&l.Write, 30*time.Second)
	fill(&l.Fetch, 10*time.Second)
	fill(&l.Header, 10*time.Second)
	fill(&l.Read, 2*time.Minute)
	fill(&l.Drain, 30*time.Second)
	return l
}

func fill[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server is an http.Handler that answers from models. It is safe for concurrent use.
type Server struct {
	config Config

	lock    sync.RWMutex
	models  []served      // never changed: replaced by another list
	loading chan struct{} // of the one adapter that is being loaded

	mux     http.Handler
	web     *http.Client
	metrics metrics
	slots   chan struct{}
	closing atomic.Bool
	reading atomic.Int64 // bytes of bodies that are being answered
}

// New returns a server without models; see [Server.Add].
func New(c Config) *Server {
	c.Limits = c.Limits.filled()
	s := &Server{config: c, slots: make(chan struct{}, c.Limits.Requests),
		loading: make(chan struct{}, 1)}
	s.web = s.newWeb()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("POST /v1/completions", s.complete)
	mux.HandleFunc("POST /v1/embeddings", s.embed)
	mux.HandleFunc("POST /v1/images/generations", s.generateImages)
	mux.HandleFunc("POST /v1/attention", s.attention)
	mux.HandleFunc("GET /v1/models", s.listModels)
	mux.HandleFunc("GET /v1/models/{name...}", s.describe)
	mux.HandleFunc("GET /v1/models/{model}/adapters", s.adapters)
	mux.HandleFunc("POST /v1/models/{model}/adapters", s.loadAdapter)
	mux.HandleFunc("DELETE /v1/models/{model}/adapters/{name}", s.unloadAdapter)
	mux.HandleFunc("POST /api/chat", s.ollamaChat)
	mux.HandleFunc("POST /api/generate", s.ollamaGenerate)
	mux.HandleFunc("POST /api/embed", s.ollamaEmbed)
	mux.HandleFunc("POST /api/embeddings", s.ollamaEmbeddings)
	mux.HandleFunc("POST /api/show", s.ollamaShow)
	mux.HandleFunc("GET /api/tags", s.ollamaTags)
	mux.HandleFunc("GET /api/ps", s.ollamaTags)
	mux.HandleFunc("GET /api/version", s.ollamaVersion)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /metrics", s.metrics.write)
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /page/{file}", page)
	s.mux = s.Guard(errorObjects(mux))
	return s
}

// ServeHTTP answers one request. A panic, which would be a fault of this package or of a model, is answered with an
// error object, if nothing was answered yet.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if err := caught(recover()); err != nil {
			s.failure(err).write(w)
		}
	}()
	s.metrics.requests.Add(1)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // that of the connection's last answer
	s.mux.ServeHTTP(w, r)
}

// caught is a panic as an error; nil: there was none.
func caught(v any) error {
	switch v {
	case nil:
		return nil
	case http.ErrAbortHandler:
		panic(v)
	}
	return fmt.Errorf("panic: %v\n%s", v, debug.Stack())
}

// Serve answers on a listener until ctx ends. Then it refuses new requests, lets answers in progress finish for
// Limits.Drain, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.config.Limits.Header,
		ReadTimeout:       s.config.Limits.Read,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	end := make(chan error, 1)
	go func() { end <- h.Serve(l) }()
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
	}
	s.closing.Store(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Limits.Drain)
	defer cancel()
	if err := h.Shutdown(last); err != nil {
		return errors.Join(h.Close(), nil)
	}
	return nil
}

// enter takes one of the places for answers. leave gives it back.
func (s *Server) enter(ctx context.Context) (leave func(), p *problem) {
	if s.closing.Load() {
		return nil, busy(http.StatusServiceUnavailable, "shutting_down", "the server is stopping", 5)
	}
	select {
	case s.slots <- struct{}{}:
		s.metrics.active.Add(1)
		return func() { s.metrics.active.Add(-1); <-s.slots }, nil
	default:
		s.metrics.turnedAway.Add(1)
		return nil, busy(
			http.StatusTooManyRequests,
			"rate_limit_exceeded",
			"the server has as many requests as it can take: try again in a second",
			1,
		)
	}
}

// begin takes a place for an answer, which is to be there before the deadline that ctx gets. leave gives it back.
func (s *Server) begin(ctx context.Context) (_ context.Context, leave func(), p *problem) {
	free, p := s.enter(ctx)
	if p != nil {
		return ctx, nil, p
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.Answer)
	return ctx, func() { cancel(); free() }, nil
}

// quote bounds and quotes what a client wrote.
func quote(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return `"` + s + `"`
}

// unfit is the problem of a prompt that a model does not take.
func (s *Server) unfit(m Model, field string, err error) *problem {
	if errors.Is(err, ErrTooLong) {
		p := invalid(field, "%v (%d positions)", err, m.Context())
		p.code = "context_length_exceeded"
		return p
	}
	var p *problem
	if errors.As(err, &p) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ErrBusy) {
		return s.failure(err)
	}
	return invalid(field, "%v", err)
}

func (s *Server) log(format string, args ...any) {
	if s.config.Log != nil {
		s.config.Log(format, args...)
	}
}

// newID is an identifier that nobody guesses.
func newID(prefix string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// listModels answers GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) {
	data := []any{}
	for _, m := range s.list() {
		data = append(data, m.object())
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

// describe answers GET /v1/models/{name}.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	m, p := s.named(r.PathValue("name"))
	if p != nil {
		p.write(w)
		return
	}
	writeJSON(w, http.StatusOK, m.object())
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.closing.Load() {
		busy(http.StatusServiceUnavailable, "shutting_down", "the server is stopping", 5).write(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
}

// errorObjects gives unknown paths and wrong methods error objects.
func errorObjects(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "" {
				w.Header().Set("Allow", method)
				refused(http.StatusMethodNotAllowed, "method_not_allowed", "this path wants %s", method).write(w)
				return
			}
		}
		refused(http.StatusNotFound, "not_found", "there is nothing at this path").write(w)
	})
}
