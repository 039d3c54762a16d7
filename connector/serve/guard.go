package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/origin"
)

// Guard is a handler of a program's own behind the server's checks: it refuses requests that a page of another site, a
// rebound name or, below /v1/ and /api/, somebody without the key sends, and bodies that are too large or not JSON.
func (s *Server) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := s.check(r); p != nil {
			s.metrics.refused.Add(1)
			p.write(w)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if s.permit(w, r) {
			return
		}
		body := &counted{ReadCloser: r.Body, server: s}
		defer body.free()
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

// permit tells a browser that an allowed page of another origin may read the answer. It reports true if the browser
// only asked whether it may.
func (s *Server) permit(w http.ResponseWriter, r *http.Request) (asked bool) {
	o := r.Header.Get("Origin")
	if o == "" || !slices.Contains(s.config.Origins, o) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", o)
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	h.Add("Vary", "Origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// bodies is how many bodies of the largest size there may be at once, in bytes.
const bodies = 8

// counted is a request's body. What is read of all bodies together is bounded until they are answered.
type counted struct {
	io.ReadCloser
	server *Server
	n      int64
}

func (b *counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if b.server.reading.Add(int64(n)) > bodies*b.server.config.Limits.Body {
		return n, busy(http.StatusTooManyRequests, "rate_limit_exceeded",
			"the server has as many large requests as it can take: try again in a second", 1)
	}
	return n, err
}

func (b *counted) free() { b.server.reading.Add(-b.n) }

func (s *Server) check(r *http.Request) *problem {
	if !origin.Host(r.Host, s.config.Hosts) {
		return refused(
			http.StatusForbidden,
			"host_not_allowed",
			"host %.100q is not one this server answers for: use its own address, or add the name to the allowed hosts",
			r.Host,
		)
	}
	if !origin.Page(r, s.config.Origins) {
		return refused(http.StatusForbidden, "origin_not_allowed", "origin %.100q may not use this server",
			r.Header.Get("Origin"))
	}
	if s.config.APIKey != "" && r.Method != http.MethodOptions && needsKey(r.URL.Path) && !s.hasKey(r) {
		return &problem{status: http.StatusUnauthorized, kind: "invalid_request_error", code: "invalid_api_key",
			message: "the API key is missing or wrong: send it as Authorization: Bearer KEY"}
	}
	if r.Method == http.MethodPost {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/json" {
			return refused(
				http.StatusUnsupportedMediaType,
				"unsupported_media_type",
				"Content-Type must be application/json",
			)
		}
		if r.ContentLength > s.config.Limits.Body {
			return tooLarge(s.config.Limits.Body)
		}
	}
	return nil
}

func tooLarge(limit int64) *problem {
	return refused(
		http.StatusRequestEntityTooLarge,
		"request_too_large",
		"the request is larger than %d bytes",
		limit,
	)
}

// needsKey reports whether a path gives access to a model.
func needsKey(path string) bool {
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/api/") || path == "/metrics"
}

// hasKey compares digests, so that neither length nor content of the key shows in the time it takes.
func (s *Server) hasKey(r *http.Request) bool {
	kind, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(key))), sha256.Sum256([]byte(s.config.APIKey))
	return strings.EqualFold(kind, "bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
