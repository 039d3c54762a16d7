// Package origin decides by a request's headers whether it is meant for this server and comes from a page that may use
// it: a name that was made to point here (DNS rebinding) or a page of another site must not reach a local server.
package origin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Host reports whether a Host header names this server: an address or localhost of this machine, or an allowed name;
// "*" allows any.
func Host(host string, allowed []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if name == "localhost" || slices.Contains(allowed, "*") {
		return true
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().IsLoopback() || slices.Contains(allowed, a.Unmap().String())
	}
	return slices.ContainsFunc(allowed, func(h string) bool { return strings.EqualFold(h, name) })
}

// Page reports whether the page that sent a request, if it was one, came from this server or is of an allowed origin.
func Page(r *http.Request, allowed []string) bool {
	o := r.Header.Get("Origin")
	if o == "" {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site" || r.Method == http.MethodGet
	}
	if slices.Contains(allowed, o) {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host == r.Host
}
