package serve

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// listening serves m on a listener of its own, as `gollava serve` does. What is left when the test ends is a leak.
func listening(t *testing.T, c Config, m Model) (address string) {
	ignore := goleak.IgnoreCurrent()
	c.Log = t.Logf
	c.Limits.Drain = time.Second
	s := New(c)
	s.Add("letters", m)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, ignore)
	})
	return l.Addr().String()
}

// raw sends bytes and reads until the server closes.
func raw(t *testing.T, address, text string) string {
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	b, err := io.ReadAll(c)
	require.NoError(t, err, "the server keeps the connection open")
	return string(b)
}

func request(address, body string, length int) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n%s",
		address, length, body)
}

// Clients that send slowly, or half a request, are given up; others are answered meanwhile.
func TestSlowClients(t *testing.T) {
	c := Config{Limits: Limits{Requests: 2, Header: time.Second, Read: 2 * time.Second}}
	address := listening(t, c, &letters{context: 500})
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			switch i % 3 {
			case 0:
				raw(t, address, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Le")
			case 1:
				if got := raw(t, address, request(address, ask("")[:20], 500)); !strings.Contains(got, "HTTP/1.1 400") {
					t.Errorf("half a body: %q", got)
				}
			case 2:
				k, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				defer k.Close()
				for _, b := range []byte("GET /health HTTP/1.1\r\nX: " + strings.Repeat("y", 1000)) {
					if _, err := k.Write([]byte{b}); err != nil {
						return // given up
					}
					time.Sleep(2 * time.Millisecond)
				}
				t.Error("a slow loris is never given up")
			}
		})
	}
	for range 20 {
		r, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(ask("")))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, r.Body)
		require.NoError(t, r.Body.Close())
		require.Equal(t, 200, r.StatusCode)
	}
	group.Wait()
}

// Clients that go away at any byte of an answer leave nothing behind.
func TestDisconnects(t *testing.T) {
	m := &letters{context: 100_000, pause: 20 * time.Microsecond}
	address := listening(t, Config{}, m)
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 100 {
				k, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				body := ask(fmt.Sprintf(`"max_tokens": 400, "stream": %t, "n": %d`, r.IntN(4) > 0, 1+r.IntN(2)))
				text := request(address, body, len(body))
				if r.IntN(4) == 0 {
					text = text[:r.IntN(len(text))]
				}
				_, _ = io.WriteString(k, text)
				_ = k.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(8)) * time.Millisecond))
				_, _ = io.ReadFull(k, make([]byte, r.IntN(4000)))
				_ = k.Close()
			}
		})
	}
	group.Wait()
	require.Eventually(t, func() bool { return m.running.Load() == 0 }, time.Minute, time.Millisecond)
	r, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(ask("")))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 200, r.StatusCode)
}

// chunk is a chunk of a PNG file.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngOf is a PNG whose header and data need not fit each other.
func pngOf(w, h uint32, deflated []byte) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	b = append(b, chunk("IHDR", append(size, 8, 2, 0, 0, 0))...)
	return append(append(b, chunk("IDAT", deflated)...), chunk("IEND", nil)...)
}

// Images of all sizes are seen or refused; neither a header that lies nor data that swells costs memory or time.
func TestHostileImages(t *testing.T) {
	h := start(t, Config{}, &letters{context: 500})
	var zeros bytes.Buffer
	z := zlib.NewWriter(&zeros)
	for range 300 {
		_, err := z.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	data := func(b []byte) string { return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b) }
	whole := imageURL(t, image.NewGray(image.Rect(0, 0, 30, 20)))
	for name, c := range map[string]struct {
		url    string
		status int
	}{
		"1×1":                    {imageURL(t, image.NewGray(image.Rect(0, 0, 1, 1))), 200},
		"20000×1":                {imageURL(t, image.NewGray(image.Rect(0, 0, 20000, 1))), 400},
		"900×1":                  {imageURL(t, image.NewGray(image.Rect(0, 0, 900, 1))), 200},
		"upper case":             {strings.Replace(whole, "data:image/png;base64", "DATA:IMAGE/PNG;BASE64", 1), 200},
		"parameters":             {strings.Replace(whole, "image/png;", "image/png;charset=utf-8;", 1), 200},
		"without padding":        {strings.TrimRight(whole, "="), 200},
		"data that swells":       {data(pngOf(10, 10, zeros.Bytes())), 0},
		"a header that lies":     {data(pngOf(60000, 60000, zeros.Bytes()[:1000])), 400},
		"sides beyond 31 bits":   {data(pngOf(1<<31, 1<<31, nil)), 400},
		"sides of nothing":       {data(pngOf(0, 10, nil)), 400},
		"no data":                {data(pngOf(10, 10, nil)), 400},
		"cut off":                {whole[:len(whole)/2], 400},
		"not base64":             {"data:image/png;base64,@@@", 400},
		"a text":                 {"data:image/png;base64,aGVsbG8=", 400},
		"svg":                    {"data:image/svg+xml;base64,PHN2Zy8+", 400},
		"not in base64":          {"data:image/svg+xml,<svg/>", 400},
		"no comma":               {"data:image/png;base64", 400},
		"nothing":                {"", 400},
		"spaces":                 {" ", 400},
		"a word":                 {"hello", 400},
		"javascript":             {"javascript:alert(1)", 400},
		"a path":                 {"/etc/passwd", 400},
		"a path of Windows":      {`C:\secret.png`, 400},
		"a blob":                 {"blob:http://localhost/x", 400},
		"a name in the alphabet": {"data:application/octet-stream;base64,AAAA", 400},
	} {
		body, err := json.Marshal(map[string]any{"model": "letters", "max_tokens": 2,
			"messages": []any{map[string]any{"role": "user",
				"content": []any{map[string]any{"type": "image_url", "image_url": map[string]any{"url": c.url}}}}}})
		require.NoError(t, err)
		begun := time.Now()
		status, answer := post(t, h, "/v1/chat/completions", string(body))
		require.Less(t, time.Since(begun), 20*time.Second, name)
		if c.status == 0 {
			require.Contains(t, []int{200, 400}, status, name)
			continue
		}
		require.Equal(t, c.status, status, "%s: %s", name, answer)
		if status == 400 {
			require.Contains(t, answer, "messages[0].content[0].image_url.url", name)
		}
	}
}

// No spelling of an address makes a server that may not fetch connect to anything.
func TestAddressesAreNotFetched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	touched := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			touched <- struct{}{}
			_ = c.Close()
		}
	}()
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	off := start(t, Config{}, &letters{context: 500})
	public := start(t, Config{Fetch: []string{"*"}}, &letters{context: 500})
	for _, url := range []string{"http://127.0.0.1:%s/a.png", "HTTP://127.0.0.1:%s/a.png", "http://localhost:%s/a.png",
		"http://localhost.:%s/a.png",
		"http://[::1]:%s/a", "http://[::ffff:127.0.0.1]:%s/a.png", "http://[::ffff:7f00:1]:%s/",
		"http://[0:0:0:0:0:ffff:127.0.0.1]:%s/", "http://2130706433:%s/a.png",
		"http://0x7f000001:%s/", "http://0x7f.1:%s/", "http://017700000001:%s/", "http://0177.0.0.1:%s/",
		"http://127.1:%s/x", "http://127.0.1:%s/x", "http://0:%s/", "http://0.0.0.0:%s/",
		"http://[::]:%s/", "http://[::127.0.0.1]:%s/", "http://[64:ff9b::7f00:1]:%s/", "http://[fe80::1%%25lo]:%s/",
		"http://user:pass@127.0.0.1:%s/", "http://example.org@127.0.0.1:%s/",
		"http://127.0.0.1:%s#@example.org/", "http://127。0。0。1:%s/", "http://①②⑦.0.0.1:%s/", "http:\\\\127.0.0.1:%s\\a",
		"http:127.0.0.1:%s/", "//127.0.0.1:%s/a.png", "http:///127.0.0.1:%s/",
		" http://127.0.0.1:%s/", "http://127.0.0.1\t:%s/", "http://127.0.0.1%%00.example.org:%s/",
		"file:///etc/passwd?%s", "FILE:///etc/hostname?%s", "ftp://127.0.0.1:%s/x", "gopher://127.0.0.1:%s/x",
		"unix:///tmp/x?%s", "http+unix://x/%s"} {
		address := fmt.Sprintf(url, port)
		body, err := json.Marshal(map[string]any{"model": "letters", "max_tokens": 2,
			"messages": []any{map[string]any{"role": "user",
				"content": []any{map[string]any{"type": "image_url", "image_url": map[string]any{"url": address}}}}}})
		require.NoError(t, err)
		for _, h := range []*httptest.Server{off, public} {
			status, answer := post(t, h, "/v1/chat/completions", string(body))
			require.Equal(t, 400, status, "%s: %s", address, answer)
			require.NotContains(t, answer, "connection refused", address)
		}
	}
	require.Empty(t, touched, "the server connected to a private address")
}

// Ten thousand requests made of broken ones: an answer or an error object each, and never a fault of the server.
func TestRandomRequests(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := New(Config{APIKey: "key", Limits: Limits{Tokens: 2, Body: 1 << 16, Choices: 2}})
	s.Add("letters", &letters{context: 200})
	values := []string{`null`, `true`, `0`, `-1`, `1`, `2`, `0.5`, `1e99`, `""`, `"x"`, `[]`, `["a"]`, `[1]`, `{}`,
		`{"a": 1}`, `[[1]]`,
		`"json"`, `{"type": "json_object"}`, `[{"role": "user", "content": "a"}]`,
		`[{"role": "user", "content": [{"type": "text", "text": "a"}]}]`,
		`[{"role": "tool", "tool_call_id": "x", "content": null}]`, `[{"type": "function", "function": {"name": "f"}}]`,
		`"required"`, `"\ud800"`}
	fields := []string{"model", "messages", "prompt", "input", "max_tokens", "max_completion_tokens", "temperature",
		"top_p", "n", "stop",
		"seed", "stream", "stream_options", "logprobs", "top_logprobs", "logit_bias", "presence_penalty",
		"response_format", "tools", "tool_choice",
		"parallel_tool_calls", "encoding_format", "dimensions", "echo", "suffix", "options", "format", "images",
		"system", "raw", "think", "user", "zzz"}
	paths := []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/chat", "/api/generate",
		"/api/embed", "/api/embeddings",
		"/api/show", "/v1/models", "/v1/models/letters", "/v1/models/letters/adapters", "/health", "/metrics", "/",
		"/page/app.js", "/nowhere", "/api/tags"}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	for range 10_000 {
		var b strings.Builder
		b.WriteString(`{"model": "letters"`)
		for range r.IntN(6) {
			fmt.Fprintf(&b, `, %q: %s`, pick(fields), pick(values))
		}
		b.WriteString("}")
		text := []byte(b.String())
		if r.IntN(5) == 0 {
			text[r.IntN(len(text))] = byte(r.IntN(256))
		}
		if r.IntN(10) == 0 {
			text = text[:r.IntN(len(text))]
		}
		q := httptest.NewRequest(pick([]string{"POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS"}),
			pick(paths), bytes.NewReader(text))
		q.Host = pick([]string{"localhost", "localhost", "localhost", "127.0.0.1:80", "evil.example", ""})
		q.Header.Set("Content-Type", pick([]string{"application/json", "application/json", "application/json",
			"text/plain", ";"}))
		q.Header.Set("Authorization", pick([]string{"Bearer key", "Bearer key", "Bearer key", "Bearer no",
			"Basic key"}))
		if r.IntN(10) == 0 {
			q.Header.Set("Origin", pick([]string{"http://localhost", "null", "https://evil.example", "\x7f"}))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, q)
		at := fmt.Sprintf("%s %s %s: %d %s", q.Method, q.URL, text, w.Code, w.Body)
		require.Less(t, w.Code, 500, at)
		if w.Code >= 400 && !strings.HasPrefix(q.URL.Path, "/page/") {
			require.Contains(t, w.Body.String(), `"error":`, at)
			require.True(t, json.Valid(w.Body.Bytes()), at)
		}
	}
	require.Zero(t, s.reading.Load())
	require.Empty(t, s.slots)
}

// faulty is a model that panics.
type faulty struct{ *letters }

func (faulty) Generate(context.Context, Prompt, Sampling, func(Token) error) (Finish, error) {
	panic("a fault of the model")
}

// A model's panic is the server's error, and the next request is answered.
func TestPanics(t *testing.T) {
	h := start(t, Config{}, &letters{context: 500})
	s := New(Config{Log: t.Logf})
	s.Add("letters", faulty{&letters{context: 500}})
	bad := httptest.NewServer(s)
	defer bad.Close()
	for _, more := range []string{"", `"n": 2`, `"stream": true`} {
		status, body := post(t, bad, "/v1/chat/completions", ask(more))
		require.Equal(t, 500, status, body)
		require.NotContains(t, body, "fault of the model")
	}
	status, _ := post(t, h, "/v1/chat/completions", ask(""))
	require.Equal(t, 200, status)
}
