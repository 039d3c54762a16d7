package live

import (
	"context"
	"embed"
	"fmt"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gollava/gollava/internal/origin"
	"github.com/gollava/gollava/train"
)

//go:embed page
var files embed.FS

// ServeHTTP answers one request.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	if !origin.Host(r.Host, p.config.Hosts) || !origin.Page(r, nil) {
		http.Error(w, "this host or page may not look at the run", http.StatusForbidden)
		return
	}
	get, post := r.Method == http.MethodGet || r.Method == http.MethodHead, r.Method == http.MethodPost
	switch path := r.URL.Path; {
	case get && path == "/":
		http.ServeFileFS(w, r, files, "page/index.html")
	case get && (path == "/live.js" || path == "/live.css"):
		http.ServeFileFS(w, r, files, "page"+path)
	case get && path == "/events":
		p.events(w, r)
	case get && strings.HasPrefix(path, "/probe/"):
		p.probe(w, r, strings.TrimPrefix(path, "/probe/"))
	case post && (path == "/save" || path == "/stop"):
		p.ask(w, r)
	case path == "/" || path == "/events" || path == "/save" || path == "/stop":
		http.Error(w, "this path wants another method", http.StatusMethodNotAllowed)
	default:
		http.NotFound(w, r)
	}
}

// probe sends the image of a probe by its number: nothing else of a request becomes part of a file's name.
func (p *Page) probe(w http.ResponseWriter, r *http.Request, number string) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || p.config.Dir == "" || strconv.FormatUint(n, 10) != number {
		http.NotFound(w, r)
		return
	}
	f, err := os.Open(train.ProbeFile(p.config.Dir, int(n)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "image/png")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// ask passes on what a button asks for. The type keeps forms of other pages away.
func (p *Page) ask(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/json":
		http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return
	case p.config.Control == nil:
		http.Error(w, "the run is over, or takes no orders", http.StatusConflict)
		return
	case r.URL.Path == "/save":
		p.config.Control.Save()
	default:
		p.config.Control.Stop()
	}
	w.WriteHeader(http.StatusAccepted)
}

// events sends all events, and then each as it comes, as server-sent events whose ids are their numbers.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	if err := p.read(); err != nil {
		http.Error(w, "the run's files cannot be read", http.StatusNotFound)
		return
	}
	from := 0
	if n, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil && n >= 0 {
		from = n + 1
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	name := "run"
	if dir, err := filepath.Abs(p.config.Dir); err == nil && p.config.Dir != "" {
		name = filepath.Base(dir)
	}
	if _, err := fmt.Fprintf(w, "event: hello\ndata: {\"name\": %q, \"live\": %t}\n\n", name,
		p.config.Control != nil); err != nil {
		return
	}
	pulse := time.NewTicker(20 * time.Second) // that a reader who has gone is noticed
	defer pulse.Stop()
	for {
		rows, more := p.since(from)
		_ = control.SetWriteDeadline(time.Now().Add(30 * time.Second)) // not every ResponseWriter has deadlines
		for _, x := range rows {
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", x.number, x.data); err != nil {
				return
			}
			from = x.number + 1
		}
		if control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-pulse.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
		select { // a few pictures a second are enough
		case <-r.Context().Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Serve shows the page on a listener until ctx ends.
func (p *Page) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	err := s.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
