package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard refuses requests that a page of another site, a rebound name or somebody without the key sends.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := s.check(r); p != nil {
			s.metrics.refused.Add(1)
			p.write(w)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

func (s *Server) check(r *http.Request) *problem {
	if !s.knownHost(r.Host) {
		return refused(
			http.StatusForbidden,
			"host_not_allowed",
			"host %.100q is not one this server answers for: use its own address, or add the name to the allowed hosts",
			r.Host,
		)
	}
	if o := r.Header.Get("Origin"); o != "" && !s.knownOrigin(o, r.Host) ||
		r.Header.Get("Sec-Fetch-Site") == "cross-site" && o == "" && r.Method != http.MethodGet {
		return refused(http.StatusForbidden, "origin_not_allowed", "origin %.100q may not use this server", o)
	}
	if s.config.APIKey != "" && needsKey(r.URL.Path) && !s.hasKey(r) {
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

// knownHost reports whether a Host header names this server: an address or localhost of this machine, or an allowed
// name. Any other may be a name of somebody else that was made to point here.
func (s *Server) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if name == "localhost" || slices.Contains(s.config.Hosts, "*") {
		return true
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().IsLoopback() || slices.Contains(s.config.Hosts, a.Unmap().String())
	}
	return slices.ContainsFunc(s.config.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// knownOrigin reports whether a page may use the server: one that came from it, or of an allowed origin.
func (s *Server) knownOrigin(origin, host string) bool {
	if slices.Contains(s.config.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host == host
}
