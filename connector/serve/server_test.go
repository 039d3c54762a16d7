package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// start serves a babbling model.
func start(t *testing.T, c Config, m *letters) *httptest.Server {
	c.Log = t.Logf
	s := New(c)
	s.Add("letters", m)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

func post(t *testing.T, h *httptest.Server, path, body string, header ...string) (int, string) {
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			q.Host = header[i+1]
		}
		q.Header.Set(header[i], header[i+1])
	}
	r, err := h.Client().Do(q)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

// ask is a request for a chat, with more fields.
func ask(more string) string {
	if more != "" {
		more = ", " + more
	}
	return `{"model": "letters", "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 20, "temperature": 0` + more + `}`
}

func imageURL(t *testing.T, m image.Image) string {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, m))
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// contentOf returns the text of a whole answer.
func contentOf(t *testing.T, body string) string {
	var a struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &a))
	require.NotEmpty(t, a.Choices, body)
	return a.Choices[0].Message.Content
}

func TestRefusals(t *testing.T) {
	h := start(t, Config{Limits: Limits{Body: 1 << 20}}, &letters{context: 500})
	with := func(content string) string {
		return `{"model": "letters", "messages": [{"role": "user", "content": ` + content + `}]}`
	}
	for _, c := range []struct {
		body         string
		status       int
		param, field string // param of the error, and a part of its message
	}{
		{ask(`"max_tokens": -1`), 400, "max_tokens", "-1 is not in [1,"},
		{ask(`"max_tokens": "ten"`), 400, "max_tokens", "a JSON string stands where a whole number belongs"},
		{ask(`"max_completion_tokens": 1.5`), 400, "max_completion_tokens", "whole number"},
		{ask(`"temperature": 2.1`), 400, "temperature", "[0, 2]"},
		{ask(`"temperature": 1e999`), 400, "temperature", "number"},
		{ask(`"top_p": -0.1`), 400, "top_p", "[0, 1]"},
		{ask(`"n": 0`), 400, "n", "[1, 8]"},
		{ask(`"n": 1000000000`), 400, "n", "[1, 8]"},
		{ask(`"stop": 5`), 400, "stop", "string"},
		{ask(`"stop": ["a", "b", "c", "d", "e"]`), 400, "stop", "5 strings"},
		{ask(`"stop": [""]`), 400, "stop", "1 to 1000"},
		{ask(`"top_logprobs": 2`), 400, "top_logprobs", "needs logprobs"},
		{ask(`"logprobs": true, "top_logprobs": 21`), 400, "top_logprobs", "[0, 20]"},
		{ask(`"logit_bias": {"x": 1}`), 400, "logit_bias", "token id"},
		{ask(`"logit_bias": {"5": 101}`), 400, "logit_bias", "[-100, 100]"},
		{ask(`"stream_options": {"include_usage": true}`), 400, "stream_options", "set stream"},
		{ask(`"audio": {"voice": "x"}`), 400, "audio", "not supported"},
		{ask(`"modalities": ["text", "audio"]`), 400, "modalities", "audio"},
		{ask(`"functions": []`), 400, "functions", "use tools"},
		{ask(`"response_format": {"type": "yaml"}`), 400, "response_format.type", "yaml"},
		{ask(`"response_format": {"type": "json_schema"}`), 400, "response_format.json_schema", "missing"},
		{ask(`"tools": [{"type": "function"}]`), 400, "tools[0].type", ""},
		{ask(`"tool_choice": "required"`), 400, "tool_choice", "no tools"},
		{ask(`"tool_choice": {"type": "function", "function": {"name": "f"}}`), 400, "tool_choice", `"f"`},
		{`{"model": "letters"}`, 400, "messages", "none"},
		{`{"model": "letters", "messages": "hi"}`, 400, "messages", "list"},
		{`{"model": "letters", "messages": [{"role": "wizard", "content": "x"}]}`, 400, "messages[0].role", "wizard"},
		{`{"model": "letters", "messages": [{"role": "user"}]}`, 400, "messages[0].content", "missing"},
		{`{"model": "letters", "messages": [{"role": "tool", "content": "x"}]}`, 400, "messages[0].tool_call_id", "missing"},
		{with(`5`), 400, "content", "list of parts"},
		{with(`[{"type": "smell"}]`), 400, "messages[0].content[0].type", "smell"},
		{with(`[{"type": "image_url"}]`), 400, "messages[0].content[0].type", ""},
		{with(`[{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}}]`), 400, "messages[0].content[0].image_url.url", "base64"},
		{with(`[{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]`), 400, "messages[0].content[0].image_url.url", "empty"},
		{with(`[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]`), 400, "messages[0].content[0].image_url.url", ""},
		{with(`[{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]`), 400, "messages[0].content[0].image_url.url", `scheme "file"`},
		{with(`[{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]`), 400, "messages[0].content[0].image_url.url", "not fetched"},
		{with(`"` + strings.Repeat("word ", 200) + `"`), 400, "messages", "context"},
		{strings.Replace(ask(""), "letters", "other", 1), 404, "model", "/v1/models"},
		{`{"model": "letters", "messages": [`, 400, "", "not JSON"},
		{``, 400, "", "JSON object"}, {`[]`, 400, "", "JSON object"}, {`null`, 400, "", "JSON object"}, {"\xff", 400, "", "JSON object"},
		{`{"messages": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, 400, "", "depth"},
		{`{"x": "` + strings.Repeat("x", 2<<20) + `"}`, 413, "", "1048576 bytes"},
	} {
		status, body := post(t, h, "/v1/chat/completions", c.body)
		var e struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &e), body)
		require.Equal(t, c.status, status, "%.200s: %s", c.body, body)
		require.NotEmpty(t, e.Error.Type)
		require.Contains(t, e.Error.Message, c.field, "%.200s", c.body)
		require.Less(t, len(body), 600)
		if c.param != "" {
			require.Equal(t, c.param, *e.Error.Param, "%.200s", c.body)
		}
	}
	status, body := post(
		t,
		h,
		"/v1/chat/completions",
		ask(`"user": "u", "store": null, "no_such_field": {"a": 1}, "stop": null, "tools": null`),
	)
	require.Equal(t, 200, status, body)
}

func TestGuard(t *testing.T) {
	h := start(
		t,
		Config{APIKey: "secret", Hosts: []string{"box.example"}, Origins: []string{"https://app.example"}},
		&letters{context: 500},
	)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(h.URL, "http://"))
	require.NoError(t, err)
	for _, c := range []struct {
		status int
		header []string
	}{
		{200, nil},
		{200, []string{"Host", "localhost:" + port}},
		{200, []string{"Host", "BOX.example.:9"}},
		{200, []string{"Content-Type", "application/json; charset=utf-8"}},
		{200, []string{"Origin", "https://app.example"}},
		{200, []string{"Host", "localhost:1", "Origin", "http://localhost:1"}},
		{403, []string{"Host", "evil.example"}},
		{403, []string{"Host", "127.0.0.1.evil.example"}},
		{403, []string{"Host", "10.0.0.1"}},
		{403, []string{"Origin", "https://evil.example"}},
		{403, []string{"Origin", "null"}},
		{403, []string{"Origin", "https://app.example.evil.example"}},
		{403, []string{"Sec-Fetch-Site", "cross-site"}},
		{415, []string{"Content-Type", "text/plain"}},
		{415, []string{"Content-Type", ""}},
		{401, []string{"Authorization", ""}},
		{401, []string{"Authorization", "Bearer"}},
		{401, []string{"Authorization", "Bearer wrong"}},
		{401, []string{"Authorization", "Basic secret"}},
	} {
		status, body := post(
			t,
			h,
			"/v1/chat/completions",
			ask(""),
			append([]string{"Authorization", "Bearer secret"}, c.header...)...)
		require.Equal(t, c.status, status, "%q: %s", c.header, body)
	}
	r, err := h.Client().Get(h.URL + "/health") // no key needed
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 200, r.StatusCode)
}

// TestPublic: spellings of private addresses, as they are once a resolver or a redirect has led to them.
func TestPublic(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "fec0::1"} {
		require.False(t, public(netip.MustParseAddr(a)), a)
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"} {
		require.True(t, public(netip.MustParseAddr(a)), a)
	}
}

// TestFetch fetches an image from an allowed host, and nothing from elsewhere: not by name, number, redirect or size.
func TestFetch(t *testing.T) {
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	elsewhere := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = png.Encode(w, picture) }),
	)
	defer elsewhere.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok.png":
			_ = png.Encode(w, picture)
		case "/away":
			http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, 3<<20))
		case "/slow":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	body := func(address string) string {
		return fmt.Sprintf(
			`{"model": "letters", "max_tokens": 3, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": %q}}]}]}`,
			address,
		)
	}
	c := Config{Fetch: []string{"127.0.0.1"}, FetchPrivate: true}
	c.Limits.Fetch, c.Limits.Image.Bytes = 2*time.Second, 1<<20
	h := start(t, c, &letters{context: 500})
	for address, want := range map[string]string{
		web.URL + "/ok.png": "", web.URL + "/away": "redirect leads to", web.URL + "/loop": "three redirects", web.URL + "/large": "", web.URL + "/slow": "too long", web.URL + "/none": "status 404",
		strings.Replace(web.URL, "127.0.0.1", "localhost", 1) + "/ok.png": "not fetched from", strings.Replace(web.URL, "http://", "http://u:p@", 1): "malformed",
	} {
		status, answer := post(t, h, "/v1/chat/completions", body(address))
		require.Equal(
			t,
			strings.HasSuffix(address, "/ok.png") && want == "",
			status == 200,
			"%s: %s",
			address,
			answer,
		)
		require.Contains(t, answer, want)
	}
	private := start(t, Config{Fetch: []string{"*"}}, &letters{context: 500}) // any public host
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(web.URL, "http://"))
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"} {
		status, answer := post(t, private, "/v1/chat/completions", body("http://"+host+":"+port+"/ok.png"))
		require.Equal(t, 400, status, "%s: %s", host, answer)
	}
}

func TestImagesReachTheModel(t *testing.T) {
	h := start(t, Config{}, &letters{context: 500})
	answers := map[string]bool{}
	for _, c := range []color.Gray{{0}, {128}, {255}} {
		m := image.NewGray(image.Rect(0, 0, 4, 4))
		for i := range m.Pix {
			m.Pix[i] = c.Y
		}
		status, body := post(
			t,
			h,
			"/v1/chat/completions",
			fmt.Sprintf(
				`{"model": "letters", "temperature": 0, "max_tokens": 20, "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": %q, "detail": "low"}}]}]}`,
				imageURL(t, m),
			),
		)
		require.Equal(t, 200, status, body)
		answers[contentOf(t, body)] = true
	}
	require.Len(t, answers, 3)
	bomb := image.NewGray(image.Rect(0, 0, 8001, 8000)) // 64 million pixels in a few kilobytes
	status, body := post(
		t,
		h,
		"/v1/chat/completions",
		fmt.Sprintf(
			`{"model": "letters", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": %q}}]}]}`,
			imageURL(t, bomb),
		),
	)
	require.Equal(t, 400, status, body)
}

// TestStreamIsTheWhole: the pieces of a stream are the whole answer, with and without stop strings, at n above 1 too.
func TestStreamIsTheWhole(t *testing.T) {
	h := start(t, Config{}, &letters{context: 5000})
	for _, more := range []string{"", `"stop": ["the "]`, `"temperature": 1, "seed": 3, "n": 3`, `"logprobs": true, "top_logprobs": 2`, `"temperature": 1.5, "seed": 4, "max_tokens": 300`, `"response_format": {"type": "json_object"}`} {
		_, whole := post(t, h, "/v1/chat/completions", ask(more))
		_, stream := post(
			t,
			h,
			"/v1/chat/completions",
			ask(strings.TrimPrefix(more+`, "stream": true, "stream_options": {"include_usage": true}`, ", ")),
		)
		var want struct {
			Choices []struct {
				Message      struct{ Content string }
				FinishReason string                       `json:"finish_reason"`
				Logprobs     *struct{ Content []logprob } `json:"logprobs"`
			}
			Usage usage
		}
		require.NoError(t, json.Unmarshal([]byte(whole), &want), whole)
		text, finish, tokens := map[int]string{}, map[int]string{}, map[int]int{}
		var used *usage
		events := strings.Split(strings.TrimSpace(stream), "\n\n")
		require.Equal(t, "data: [DONE]", events[len(events)-1])
		for _, e := range events[:len(events)-1] {
			var chunk struct {
				Choices []struct {
					Index        int
					Delta        struct{ Content string }
					FinishReason *string                      `json:"finish_reason"`
					Logprobs     *struct{ Content []logprob } `json:"logprobs"`
				}
				Usage *usage
			}
			require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(e, "data: ")), &chunk), e)
			for _, c := range chunk.Choices {
				text[c.Index] += c.Delta.Content
				if c.FinishReason != nil {
					finish[c.Index] += *c.FinishReason
				}
				if c.Logprobs != nil {
					tokens[c.Index] += len(c.Logprobs.Content)
				}
			}
			used = chunk.Usage
		}
		for i, c := range want.Choices {
			require.Equal(t, c.Message.Content, strings.TrimSpace(text[i]), more)
			require.Equal(t, c.FinishReason, finish[i])
			if c.Logprobs != nil {
				require.Len(t, c.Logprobs.Content, tokens[i])
				require.Equal(t, want.Usage.Completion, tokens[i])
			}
		}
		require.Equal(t, want.Usage, *used)
	}
}

func TestConstraints(t *testing.T) {
	h := start(t, Config{}, &letters{context: 5000})
	for seed := range 20 {
		status, body := post(
			t,
			h,
			"/v1/chat/completions",
			ask(
				fmt.Sprintf(
					`"temperature": 1, "seed": %d, "max_tokens": 400, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
			{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 12}, "b": {"type": "array", "items": {"enum": [1, 2]}}}, "required": ["a", "b"]}}}`,
					seed,
				),
			),
		)
		require.Equal(t, 200, status, body)
		var x struct {
			A int
			B []int
		}
		require.NoError(t, json.Unmarshal([]byte(contentOf(t, body)), &x), contentOf(t, body))
		require.True(t, 1 <= x.A && x.A <= 12, contentOf(t, body))
	}
}

// TestHangUp: nobody works for a client that has gone, and the places are free again.
func TestHangUp(t *testing.T) {
	m := &letters{context: 100_000, pause: time.Millisecond}
	h := start(t, Config{Limits: Limits{Requests: 2}}, m)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		q, err := http.NewRequestWithContext(
			ctx,
			http.MethodPost,
			h.URL+"/v1/chat/completions",
			strings.NewReader(ask(`"max_tokens": 90000, "stream": true`)),
		)
		require.NoError(t, err)
		q.Header.Set("Content-Type", "application/json")
		r, err := h.Client().Do(q)
		require.NoError(t, err)
		require.Equal(t, 200, r.StatusCode)
		_, err = bufio.NewReader(r.Body).ReadString('\n')
		require.NoError(t, err)
		cancel()
		require.NoError(t, r.Body.Close())
		require.Eventually(t, func() bool { return m.running.Load() == 0 }, time.Minute, time.Millisecond)
	}
}

// TestFull: who comes when all places are taken is told to come back; nobody is lost or mixed up.
func TestFull(t *testing.T) {
	m := &letters{context: 5000, pause: 200 * time.Microsecond}
	h := start(t, Config{Limits: Limits{Requests: 4}}, m)
	alone := map[int]string{}
	body := func(k int) string { return strings.Replace(ask(""), "something", fmt.Sprint("the number ", k), 1) }
	for k := range 32 {
		_, a := post(t, h, "/v1/chat/completions", body(k))
		alone[k] = contentOf(t, a)
	}
	var group sync.WaitGroup
	for k := range 32 {
		group.Go(func() {
			for {
				status, a := post(t, h, "/v1/chat/completions", body(k))
				if status == 429 {
					time.Sleep(time.Millisecond)
					continue
				}
				if status != 200 || contentOf(t, a) != alone[k] {
					t.Errorf("question %d: %d %s, alone %q", k, status, a, alone[k])
				}
				return
			}
		})
	}
	group.Wait()
	require.LessOrEqual(t, m.most.Load(), int64(4))
}

// TestStop: a server that stops finishes what it has begun, and refuses what comes then.
func TestStop(t *testing.T) {
	m := &letters{context: 5000, pause: 5 * time.Millisecond}
	s := New(Config{})
	s.Add("letters", m)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	answered := make(chan int, 1)
	go func() {
		r, err := http.Post(
			"http://"+l.Addr().String()+"/v1/chat/completions",
			"application/json",
			strings.NewReader(ask(`"max_tokens": 60`)),
		)
		if err != nil {
			answered <- 0
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		answered <- r.StatusCode
	}()
	require.Eventually(t, func() bool { return m.running.Load() == 1 }, time.Minute, time.Millisecond)
	cancel()
	require.Equal(t, 200, <-answered)
	require.NoError(t, <-ended)
	_, err = http.Get("http://" + l.Addr().String() + "/health")
	require.Error(t, err)
}

func TestTools(t *testing.T) {
	c := &calls{offered: []*function{{Name: "weather"}}}
	message, finish := c.message(`{"name": "weather", "arguments": {"city": "Rome"}}`, "stop")
	require.Equal(t, "tool_calls", finish)
	require.Nil(t, message["content"])
	require.Equal(t, `{"city": "Rome"}`, message["tool_calls"].([]toolCall)[0].Function.Arguments)
	for _, text := range []string{"It is sunny.", `{"name": "other", "arguments": {}}`, `{"name": "weather", "arguments": 5}`, `{"a": 1}`} {
		message, finish = c.message(text, "stop")
		require.Equal(t, text, message["content"])
		require.Equal(t, "stop", finish)
	}
	w := c.collect()
	require.Empty(t, w.add(` {"name": "wea`))
	require.Empty(t, w.add(`ther", "arguments": {}}`))
	deltas, finish := w.end("stop")
	require.Len(t, deltas, 2)
	require.Equal(t, "tool_calls", finish)
}

// FuzzRequest: whatever is sent, the answer is an error object or an answer, and never a fault of the server.
func FuzzRequest(f *testing.F) {
	f.Add(ask(""))
	f.Add(ask(`"stream": true, "n": 2`))
	f.Add(
		ask(
			`"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "required"`,
		),
	)
	f.Add(
		`{"model": "letters", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}}]}]}`,
	)
	s := New(Config{})
	s.Add("letters", &letters{context: 200})
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/chat", "/api/generate"} {
			q := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			q.Host = "localhost"
			q.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, q)
			require.Less(t, w.Code, 500, "%s %s: %s", path, body, w.Body)
			if w.Code != 200 {
				require.Contains(t, w.Body.String(), `"error":`)
			}
		}
	})
}
