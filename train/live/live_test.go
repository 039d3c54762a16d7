package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// line is a straight line, which learns in no time.
type line struct {
	A *tensor.Tensor `param:"a"` // [1, 1]
}

type points struct{ x, y *tensor.Tensor } // [n, 1]

func (m *line) Loss(b points) *tensor.Tensor {
	d := tensor.Linear(b.x, m.A, nil, tensor.Identity).Sub(b.y)
	return d.Mul(d).Mean()
}

func stage(steps int, pause time.Duration) train.Stage[points] {
	return train.Stage[points]{Name: "fit", Steps: steps, Groups: []train.Group{{Params: "a", LR: 0.01}},
		After: func(int) { time.Sleep(pause) },
		Batches: func(_ context.Context, n int) (points, error) {
			x := tensor.Randn(rand.New(rand.NewPCG(1, uint64(n))), 1, 8, 1)
			return points{x, x.Scale(3)}, nil
		},
		Evaluate: []train.Evaluation{{Name: "probe", Every: 5,
			Generate: func(context.Context) ([]string, error) { return []string{"→ an answer"}, nil }}}}
}

// reader reads the page's events.
type reader struct {
	t     *testing.T
	lines *bufio.Scanner
	last  string // id
}

func open(t *testing.T, url, after string) *reader {
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/events", nil)
	require.NoError(t, err)
	if after != "" {
		q.Header.Set("Last-Event-ID", after)
	}
	r, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Body.Close() })
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
	return &reader{t: t, lines: bufio.NewScanner(r.Body)}
}

// next is the data of the next event.
func (r *reader) next() (m map[string]any) {
	for r.lines.Scan() {
		if id, ok := strings.CutPrefix(r.lines.Text(), "id: "); ok {
			r.last = id
		}
		if data, ok := strings.CutPrefix(r.lines.Text(), "data: "); ok {
			require.NoError(r.t, json.Unmarshal([]byte(data), &m))
			return m
		}
	}
	require.NoError(r.t, r.lines.Err())
	r.t.Fatal("the events end")
	return nil
}

// The page follows a run, its buttons save and stop it, and it shows the same from the files, and after a resume too.
func TestRun(t *testing.T) {
	dir, control := filepath.Join(t.TempDir(), "my run"), &train.Control{}
	page := New(Config{Dir: dir, Control: control})
	h := httptest.NewServer(page)
	defer func() { h.CloseClientConnections(); h.Close() }()
	m := &line{A: tensor.New(1, 1).Param()}
	r := open(t, h.URL, "") // before the run has a file
	require.Equal(t, map[string]any{"name": "my run", "live": true}, r.next())
	ended := make(chan error, 1)
	go func() {
		_, err := train.Run(t.Context(), m, train.Options{Dir: dir, Observe: page.Observe, Control: control},
			stage(50000, 2*time.Millisecond))
		ended <- err
	}()
	post := func(path string) int {
		r, err := http.Post(h.URL+path, "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode
	}
	kinds, steps := map[string]map[string]any{}, 0
	for kinds["checkpoint"] == nil || kinds["evaluation"] == nil {
		e := r.next()
		kinds[e["kind"].(string)] = e
		if e["kind"] == "step" {
			if steps++; steps == 10 {
				require.Equal(t, 202, post("/save"))
			}
			require.EqualValues(t, steps, e["step"])
		}
	}
	require.EqualValues(t, 50000, kinds["stage"]["steps"])
	require.Equal(t, []any{"→ an answer"}, kinds["evaluation"]["generated"])
	for _, field := range []string{"loss", "average", "grad_norm", "grad_norms", "lr", "seconds", "memory", "time"} {
		require.NotNil(t, kinds["step"][field], field)
	}
	require.Equal(t, 202, post("/stop"))
	var stopped *train.Stopped
	require.ErrorAs(t, <-ended, &stopped)
	require.ErrorContains(t, stopped, "asked to stop")
	require.DirExists(t, stopped.Dir)

	again := open(t, h.URL, r.last)
	again.next()
	require.NotEqual(t, "checkpoint", again.next()["kind"], "it goes on after the last event, not at the beginning")

	p, err := Open(Config{Dir: dir, Control: control})
	require.NoError(t, err)
	q := httptest.NewRequest(http.MethodPost, "http://localhost/stop", nil)
	q.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, q)
	require.Equal(t, 409, w.Code, "the run is over")
	later := httptest.NewServer(p)
	defer func() { later.CloseClientConnections(); later.Close() }()
	r = open(t, later.URL, "")
	require.Equal(t, map[string]any{"name": "my run", "live": false}, r.next())
	require.EqualValues(t, 50000, r.next()["steps"])
	require.EqualValues(t, 1, r.next()["step"])
	_, err = Open(Config{Dir: t.TempDir()})
	require.ErrorContains(t, err, "is it the folder of a run?")
}

// A run that goes on shows what came before, each event once.
func TestResumed(t *testing.T) {
	dir := t.TempDir()
	m := &line{A: tensor.New(1, 1).Param()}
	first := &train.Control{}
	_, err := train.Run(t.Context(), m, train.Options{Dir: dir, Control: first, Observe: func(e train.Event) error {
		if e.Step == 7 {
			first.Stop()
		}
		return nil
	}}, stage(12, 0))
	require.Error(t, err)
	page := New(Config{Dir: dir})
	_, err = train.Run(t.Context(), m, train.Options{Dir: dir, Resume: true, Observe: page.Observe}, stage(12, 0))
	require.NoError(t, err)
	rows, _ := page.since(0)
	var steps []int
	for _, r := range rows {
		var p point
		require.NoError(t, json.Unmarshal(r.data, &p))
		if r.step {
			steps = append(steps, p.Step)
		}
	}
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, steps)
}

// Only this machine's own names and the page itself are answered.
func TestSafety(t *testing.T) {
	p := New(Config{Control: &train.Control{}})
	for _, c := range []struct {
		method, path, host, origin, kind string
		status                           int
	}{
		{"GET", "/", "localhost:6006", "", "", 200}, {"GET", "/live.js", "127.0.0.1", "", "", 200},
		{"GET", "/", "evil.example", "", "", 403},
		{"GET", "/", "localhost", "https://evil.example", "", 403},
		{"POST", "/save", "localhost", "http://localhost", "application/json", 202},
		{"POST", "/save", "localhost", "", "text/plain", 415},
		{"POST", "/save", "localhost", "null", "application/json", 403},
		{"POST", "/stop", "rebound.example", "", "application/json", 403}, {"GET", "/stop", "localhost", "", "", 405},
		{"GET", "/../live.go", "localhost", "", "", 404}, {"GET", "/page/live.js", "localhost", "", "", 404},
		{"DELETE", "/", "localhost", "", "", 405},
	} {
		q := httptest.NewRequest(c.method, "http://localhost/", strings.NewReader("{}"))
		q.URL.Path, q.Host = c.path, c.host
		if c.origin != "" {
			q.Header.Set("Origin", c.origin)
		}
		q.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, q)
		require.Equal(t, c.status, w.Code, "%+v", c)
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
		require.NotContains(t, w.Body.String(), "https://", "the page loads nothing from elsewhere")
	}
	for _, name := range []string{"index.html", "live.js", "live.css"} {
		b, err := files.ReadFile("page/" + name)
		require.NoError(t, err)
		require.NotContains(t, strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", ""), "://", name)
	}
}

// Events are bounded, numbers that JSON does not have are null, and a broken file is read as far as it goes.
func TestEvents(t *testing.T) {
	p := New(Config{})
	for i := range 3 * mostSteps {
		require.NoError(t, p.Observe(train.Event{Kind: "step", Stage: "s", Step: i + 1, Loss: 1}))
	}
	require.NoError(t, p.Observe(train.Event{Kind: "step", Loss: math.NaN(),
		Norms: map[string]float64{"a": math.Inf(1)}}))
	rows, _ := p.since(0)
	require.LessOrEqual(t, len(rows), mostSteps+1)
	require.Greater(t, len(rows), mostSteps/2)
	require.Contains(t, string(rows[len(rows)-1].data), `"loss":null`)
	require.Contains(t, string(rows[len(rows)-1].data), `"a":null`)

	dir := t.TempDir()
	text := `{"kind": "step", "step": 1}` + "\nno event\n" + `{"kind": "step", "step": 2}` + "\n" + `{"kind": "st`
	require.NoError(t, os.WriteFile(filepath.Join(dir, metricsFile), []byte(text), 0o666))
	p, err := Open(Config{Dir: dir})
	require.NoError(t, err)
	rows, _ = p.since(0)
	require.Len(t, rows, 2)
}

// Serve ends with its context, also while somebody looks, and leaves nothing behind.
func TestServe(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	p := New(Config{})
	require.NoError(t, p.Observe(train.Event{Kind: "note"}))
	go func() { ended <- p.Serve(ctx, l) }()
	r, err := http.Get(fmt.Sprintf("http://%s/events", l.Addr()))
	require.NoError(t, err)
	_, err = io.ReadFull(r.Body, make([]byte, 10))
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
	_, _ = io.Copy(io.Discard, r.Body)
	require.NoError(t, errors.Join(r.Body.Close()))
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, ignore)
}

// An event costs little beside a step.
func BenchmarkObserve(b *testing.B) {
	p := New(Config{})
	e := train.Event{Kind: "step", Stage: "tune", Loss: 1.5, Average: 1.4, GradNorm: 2,
		Norms: map[string]float64{"language_model": 1, "multi_modal_projector": 2},
		LR:    []float64{2e-5, 1e-5}, Tokens: 1000, Seconds: 0.1, Time: time.Unix(1, 0)}
	for b.Loop() {
		_ = p.Observe(e)
	}
}

// The image of a probe is found by its number, and no other file by anything.
func TestProbes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "probes"), 0o700))
	require.NoError(t, os.WriteFile(train.ProbeFile(dir, 12), []byte("an image"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret.png"), []byte("secret"), 0o600))
	h := httptest.NewServer(New(Config{Dir: dir}))
	defer h.Close()
	get := func(path string) (int, string) {
		r, err := http.Get(h.URL + path)
		require.NoError(t, err)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		if r.StatusCode == 200 {
			require.Equal(t, "image/png", r.Header.Get("Content-Type"))
		}
		return r.StatusCode, string(b)
	}
	status, text := get("/probe/12")
	require.Equal(t, 200, status)
	require.Equal(t, "an image", text)
	for _, bad := range []string{"0", "", "012", "+12", "-1", "12.png", "12/", "..%2fsecret", "../secret",
		"99999999999", "%31%32x"} {
		status, text := get("/probe/" + bad)
		require.Equal(t, 404, status, bad)
		require.NotContains(t, text, "secret")
	}
}
