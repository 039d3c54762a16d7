package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gollava/gollava/data/audio"
	"github.com/gollava/gollava/data/imaging"
)

// images decodes the images of one request, of which it bounds number and size.
type images struct {
	server *Server
	left   int
	pixels int64 // that are left for all images together: a small file may become a large image
}

// images are those of a request that may have so many: as many pixels as Limits.Images of the largest.
func (s *Server) images(most int) images {
	return images{s, most, int64(s.config.Limits.Images) * s.config.Limits.Image.Pixels}
}

// open decodes what a URL holds: a data URL, or, where the configuration allows the host, a file on the web.
func (g *images) open(ctx context.Context, field, address string) (*imaging.RGB, *problem) {
	if g.left--; g.left < 0 {
		return nil, invalid(field, "more than %d images in a request", g.server.config.Limits.Images)
	}
	raw, p := g.bytes(ctx, field, address)
	if p != nil {
		return nil, p
	}
	return g.decode(field, raw)
}

// decode decodes a file's bytes, and turns the image as its EXIF data says.
func (g *images) decode(field string, raw []byte) (*imaging.RGB, *problem) {
	l := g.server.config.Limits.Image
	if g.pixels <= 0 {
		return nil, invalid(field, "the images of the request before this one have all pixels that are allowed")
	}
	l.Pixels = min(l.Pixels, g.pixels)
	m, err := imaging.Decode(raw, imaging.Options{Limits: l, Orient: true})
	if err != nil {
		return nil, invalid(field, "%v", err)
	}
	g.pixels -= int64(m.W) * int64(m.H)
	return m, nil
}

// watch decodes n frames of the video that a URL holds.
func (g *images) watch(ctx context.Context, field, address string, n int) ([]*imaging.RGB, *problem) {
	if most := g.server.config.Limits.Frames; n < 1 || n > most {
		return nil, invalid(field+".frames", "%d: 1 to %d are possible", n, most)
	}
	if g.left--; g.left < 0 {
		return nil, invalid(field, "more than %d images and videos in a request", g.server.config.Limits.Images)
	}
	raw, p := g.bytes(ctx, field+".url", address)
	if p != nil {
		return nil, p
	}
	l := g.server.config.Limits.Image
	if l.Pixels = min(l.Pixels, g.pixels/4); l.Pixels <= 0 { // all frames together may have four times as many
		return nil, invalid(field, "the images of the request before this video have all pixels that are allowed")
	}
	frames, err := imaging.DecodeVideo(ctx, raw, n, imaging.Options{Limits: l})
	if err != nil {
		return nil, invalid(field+".url", "%v", err)
	}
	for _, m := range frames {
		g.pixels -= int64(m.W) * int64(m.H)
	}
	return frames, nil
}

// hear decodes a sound, a WAV in a URL or in base64. It may have as many bytes as an image.
func (g *images) hear(ctx context.Context, field, address string) (*audio.Wave, *problem) {
	if g.left--; g.left < 0 {
		return nil, invalid(field, "more than %d sounds and images in a request", g.server.config.Limits.Images)
	}
	raw, p := []byte(nil), (*problem)(nil)
	if strings.Contains(address, ":") {
		raw, p = g.bytes(ctx, field, address)
	} else {
		raw, p = unbase64(field, address)
	}
	if p != nil {
		return nil, p
	}
	if most := g.server.config.Limits.Image.Bytes; int64(len(raw)) > most {
		return nil, invalid(field, "the sound has more than %d bytes", most)
	}
	w, err := audio.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, invalid(field, "the sound %v", err)
	}
	if s := w.Seconds() * float64(len(w.Channels)); s > mostSound {
		return nil, invalid(field, "the sound has %.0f seconds in all channels together, of at most %d", s, mostSound)
	}
	return &w, nil
}

// mostSound is the most that a sound may last, in seconds of all its channels: its rate is the client's, and what it
// becomes at a model's rate is not bounded by its bytes.
const mostSound = 3600

func (g *images) bytes(ctx context.Context, field, address string) ([]byte, *problem) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch strings.ToLower(scheme) {
	case "data":
		return dataURL(field, rest)
	case "http", "https":
		return g.server.fetch(ctx, field, address)
	}
	return nil, invalid(
		field,
		"the scheme %.20q is not supported: send the image itself, as data:image/png;base64,…",
		scheme,
	)
}

// dataURL decodes what follows "data:".
func dataURL(field, rest string) ([]byte, *problem) {
	head, body, ok := strings.Cut(rest, ",")
	if !ok {
		return nil, invalid(field, "the data URL has no comma")
	}
	if !strings.HasSuffix(strings.ToLower(head), ";base64") {
		return nil, invalid(field, "the data URL is not base64: send data:image/png;base64,…")
	}
	return unbase64(field, body)
}

// unbase64 decodes base64 of either alphabet, with or without padding and line breaks.
func unbase64(field, text string) ([]byte, *problem) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	switch {
	case err != nil:
		return nil, invalid(field, "broken base64: %v", err)
	case len(raw) == 0:
		return nil, invalid(field, "the data is empty")
	}
	return raw, nil
}

// fetch reads an image from an allowed host. The address that is dialled is checked after the name was resolved, for
// every redirect anew, so that no name leads to a private network.
func (s *Server) fetch(ctx context.Context, field, address string) ([]byte, *problem) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return nil, invalid(field, "the address is malformed")
	}
	if !s.mayFetch(u) {
		return nil, invalid(
			field,
			"images on the web are not fetched from %.100q: send the image itself, as data:image/png;base64,…",
			u.Hostname(),
		)
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.Fetch)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, invalid(field, "the address is malformed")
	}
	r, err := s.web.Do(q)
	if err != nil {
		return nil, invalid(field, "the image cannot be fetched: %v", reason(err))
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, invalid(field, "the image cannot be fetched: status %d", r.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, s.config.Limits.Image.Bytes+1))
	if err != nil {
		return nil, invalid(field, "the image cannot be fetched: %v", reason(err))
	}
	return raw, nil
}

// reason is an error of the network without addresses of this one.
func reason(err error) string {
	var own *fetchError
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	}
	return "the host does not answer as it should"
}

// fetchError is a refusal to fetch.
type fetchError struct{ text string }

func (e *fetchError) Error() string { return e.text }

func (s *Server) mayFetch(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && slices.ContainsFunc(s.config.Fetch, func(h string) bool {
		return h == "*" || strings.EqualFold(h, u.Hostname())
	})
}

// newWeb is the client that fetches images.
func (s *Server) newWeb() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil || !public(a.Addr()) && !s.config.FetchPrivate {
			return &fetchError{"the host has a private address"}
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true}, // and no proxy: it would resolve the name
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) >= 3:
				return &fetchError{"more than three redirects"}
			case !s.mayFetch(r.URL):
				return &fetchError{fmt.Sprintf("a redirect leads to %.100q", r.URL.Hostname())}
			}
			return nil
		},
	}
}

// special are the address ranges beyond those that netip knows by name which are not of the public Internet (RFC 6890).
var special = func() (ps []netip.Prefix) {
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48",
		"100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}()

// public reports whether an address belongs to the public Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == "" &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
