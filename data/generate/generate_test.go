package generate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// write puts files into a folder of the test's own.
func write(t testing.TB, files map[string]string) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return func(name string) string { return filepath.Join(dir, name) }
}

const cocoImages = `"images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}, {"id": 2, "file_name": "b.png", "width": 10, "height": 10},
 {"id": 1, "file_name": "again.png", "width": 1, "height": 1}, {"id": 3, "file_name": "c.png", "width": 10, "height": 10}]`

// TestFaultsOfAnnotations: each fault is counted with file and line, and what is dropped is not in the context.
func TestFaultsOfAnnotations(t *testing.T) {
	at := write(t, map[string]string{
		"images/a.png": "x", "images/c.png": "x",
		"captions.json": `{` + cocoImages + `, "annotations": [
{"id": 9, "image_id": 1, "caption": " A  cat\n sits. "},
{"id": 8, "image_id": 1, "caption": "  "},
{"id": 10, "image_id": 1, "caption": "a cat SITS."},
{"id": 7, "image_id": 1, "caption": "A cat and a dog."},
{"id": 7, "image_id": 1, "caption": "the same id"},
{"id": 11, "image_id": 44, "caption": "of no picture"},
{"id": 12, "image_id": 2, "caption": "of a picture without file"}]}`,
		"instances.json": `{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], ` + cocoImages + `, "annotations": [
{"id": 5, "image_id": 1, "category_id": 2, "bbox": [-10, 0, 60, 25], "iscrowd": 0},
{"id": 4, "image_id": 1, "category_id": 1, "bbox": [50, 25, 50, 25], "iscrowd": 0},
{"id": 6, "image_id": 1, "category_id": 1, "bbox": [200, 0, 5, 5], "iscrowd": 0},
{"id": 6, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 0},
{"id": 13, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 0},
{"id": 14, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
{"id": 15, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5], "iscrowd": 0},
{"id": 16, "image_id": 77, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 0}]}`,
	})
	set, err := OpenCOCO(at("captions.json"), at("instances.json"), at("images"))
	require.NoError(t, err)
	require.Equal(
		t,
		map[FaultKind]int{
			ImageTwice:      1,
			CaptionBlank:    1,
			CaptionTwice:    1,
			AnnotationTwice: 2,
			ImageUnknown:    2,
			BoxCut:          1,
			BoxOutside:      1,
			CategoryUnknown: 1,
			CrowdRegion:     1,
			BoxBroken:       1,
			NoBoxes:         1,
			NoCaptions:      1,
			FileMissing:     1,
		},
		set.Faults.Counts,
	)
	text := ""
	for _, f := range set.Faults.First {
		text += fmt.Sprintf("%s:%d %s\n", filepath.Base(f.At), f.Image, f.Kind)
	}
	require.Contains(t, text, "instances.json:3:1 box cut\n")
	require.Contains(t, text, "captions.json:8:44 image unknown\n")
	context, ok := set.Scenes[0].Context(Detail)
	require.True(t, ok)
	require.Equal(t, "A cat and a dog.\nA cat sits.\n\ncat: [0.5, 0.5, 1.0, 1.0]\ndog: [0.0, 0.0, 0.5, 0.5]", context)
	require.True(t, set.Scenes[1].Missing)
	_, ok = set.Scenes[2].Context(Conversation)
	require.False(t, ok)

	for file, says := range map[string]string{
		`{"images": []}`: `no key "annotations"`, `{"images": [{"id": 1, "file_name": "../x"}], "annotations": []}`: "names no file in a folder",
		`{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 1}]}`: "has no caption", `{"images": [{"id": "x"}]}`: "id is text, where a whole number belongs",
	} {
		at := write(t, map[string]string{"c.json": file})
		_, err := OpenCOCO(at("c.json"), "", "")
		require.ErrorContains(t, err, says, file)
	}
}

func TestRecords(t *testing.T) {
	at := write(
		t,
		map[string]string{
			"r.jsonl": `{"image": "a.png", "captions": ["A cat."], "boxes": [{"name": "cat", "box": [0.25, 0.5, 1, 1.5]}, {"box": [0, 0, 1, 1]}, {"name": "dog"}]}
{"id": 7, "image": "b.png", "width": 200, "height": 100, "captions": ["A dog."], "boxes": [{"name": "dog", "bbox": [20, 10, 100, 40]}]}
{"id": 7, "image": "c.png", "captions": ["twice"]}
`,
		},
	)
	set, err := OpenRecords(at("r.jsonl"), "")
	require.NoError(t, err)
	require.Equal(t, []string{"cat: [0.25, 0.5, 1.0, 1.0]"}, set.Scenes[0].BoxLines())
	require.Equal(t, []string{"dog: [0.1, 0.1, 0.6, 0.5]"}, set.Scenes[1].BoxLines())
	require.Equal(t, map[FaultKind]int{BoxCut: 1, CategoryUnknown: 1, BoxBroken: 1, ImageTwice: 1}, set.Faults.Counts)
	_, err = OpenRecords(write(t, map[string]string{"r": "{}"})("r"), "")
	require.ErrorContains(t, err, `r:1: image "" names no file`)
}

// answers is a stand-in for a service: f says what is answered to the n-th request, from 1.
func answers(t testing.TB, f func(n int, w http.ResponseWriter)) (*Endpoint, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		f(int(n.Add(1)), w)
	}))
	t.Cleanup(s.Close)
	return &Endpoint{URL: s.URL + "/v1/", Timeout: 5 * time.Second}, &n
}

func say(w http.ResponseWriter, model, text, finish string) {
	_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "model": model, "usage": Usage{100, 50},
		"choices": []any{
			map[string]any{"message": map[string]any{"role": "assistant", "content": text}, "finish_reason": finish},
		}})
}

const dialogue = "Question:\nWhat is there?\n===\nAnswer:\nA cat is there.\n===\nQuestion:\nWhere is " +
	"it?\n===\nAnswer:\nIt is on the mat."

// cats is a set of n pictures of one cat each, which only conversations are asked about.
func cats(n int) *Set {
	set := &Set{Categories: []string{"cat", "dog", "hot dog", "traffic light"}}
	for i := range n {
		set.Scenes = append(set.Scenes, &Scene{ID: int64(i), Image: fmt.Sprint(i, ".png"), Width: 10, Height: 10,
			Captions: []string{fmt.Sprintf("Cat %d is on the mat.", i)}, Boxes: []Box{{"cat", [4]float64{1, 1, 5, 5}}}})
	}
	return set
}

func talk() Config {
	c := DefaultConfig()
	c.Model, c.Kinds, c.Price = "small", []Kind{Conversation}, Price{1000, 1000}
	return c
}

// TestBadEndpoints: whatever a service does, nothing unusable is written, and the report says what it was.
func TestBadEndpoints(t *testing.T) {
	long := strings.Repeat("The cat sits on the mat and looks. ", 12)
	for name, c := range map[string]struct {
		f     func(n int, w http.ResponseWriter)
		fault FaultKind
		sent  int
	}{
		"another model": {func(_ int, w http.ResponseWriter) { say(w, "large", dialogue, "stop") }, WrongModel, 4},
		"half a body": {func(_ int, w http.ResponseWriter) {
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, `{"choices": [`)
		}, BadReply, 4},
		"half a stream": {func(_ int, w http.ResponseWriter) {
			fmt.Fprint(w, "data: {\"choices\": [{\"delta\": {\"content\": \"Que")
		}, BadReply, 4},
		"another language": {func(_ int, w http.ResponseWriter) {
			say(w, "small", "Question:\nЧто это?\n===\nAnswer:\nЭто кошка.\n===\nQuestion:\nГде "+
				"она?\n===\nAnswer:\nНа ковре.", "stop")
		}, Language, 4},
		"German": {func(_ int, w http.ResponseWriter) {
			say(w, "small", "Question:\nWas ist da?\n===\nAnswer:\nEine kleine graue Katze liegt gemütlich auf "+
				"einer runden Matte neben der Tür.\n===\nQuestion:\nWo?\n===\nAnswer:\nVor dem Ofen.", "stop")
		}, Language, 4},
		"itself again": {func(_ int, w http.ResponseWriter) {
			say(w, "small", "Question:\nWhat?\n===\nAnswer:\n"+long+"\n===\nQuestion:\nWhere?\n===\nAnswer:\nHere.", "stop")
		}, Repeats, 4},
		"unknown object": {func(_ int, w http.ResponseWriter) {
			say(w, "small", strings.ReplaceAll(dialogue, "A cat is there", "A cat and two dogs are there"), "stop")
		}, Object, 4},
		"wrong number": {func(_ int, w http.ResponseWriter) {
			say(w, "small", strings.ReplaceAll(dialogue, "A cat is there", "Three cats are there"), "stop")
		}, Number, 4},
		"no turns": {func(_ int, w http.ResponseWriter) { say(w, "small", "A cat.", "stop") }, Format, 4},
		"cut":      {func(_ int, w http.ResponseWriter) { say(w, "small", "Question:\nWhat?\n===\nAnswer:\nA ca", "length") }, Truncated, 4},
		"gone":     {func(int, http.ResponseWriter) { panic(http.ErrAbortHandler) }, Connection, 4},
		"busy":     {func(_ int, w http.ResponseWriter) { http.Error(w, "busy", http.StatusServiceUnavailable) }, HTTP, 4},
		"too long": {func(_ int, w http.ResponseWriter) { http.Error(w, "too long", 400) }, HTTP, 1},
		"filter":   {func(_ int, w http.ResponseWriter) { say(w, "small", "", "content_filter") }, Filter, 1},
		"array": {func(_ int, w http.ResponseWriter) {
			fmt.Fprint(w, `{"choices": [{"message": {"role": "assistant", "content": [{"text": "x"}]}}]}`)
		}, BadReply, 4},
	} {
		e, n := answers(t, c.f)
		out := t.TempDir()
		report, err := Run(context.Background(), cats(1), talk(), Options{Teacher: e, Out: out, Wait: time.Microsecond})
		require.NoError(t, err, name)
		require.Zero(t, report.Accepted, name)
		require.Equal(t, []Skipped{{0, Conversation, c.fault}}, report.Skipped, name)
		require.Equal(t, map[FaultKind]int{c.fault: c.sent}, report.Faults, name)
		require.EqualValues(t, c.sent, n.Load(), name)
		b, err := os.ReadFile(filepath.Join(out, "all.json"))
		require.NoError(t, err)
		require.Equal(t, "[]\n", string(b), name)
		require.Contains(t, report.Text(), fmt.Sprintf("%s %d", c.fault, c.sent), name)
	}
}

// TestStops: a key that is refused and a quota that is used up end the run with one message, and it goes on when they
// are mended.
func TestStops(t *testing.T) {
	for status, body := range map[int]string{401: `{"error": {"message": "bad key", "type": "auth"}}`, 403: "no",
		429: `{"error": {"message": "quota", "type": "requests", "code": "insufficient_quota"}}`} {
		broken := true
		var mu sync.Mutex
		e, n := answers(t, func(_ int, w http.ResponseWriter) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				http.Error(w, body, status)
				return
			}
			say(w, "small-2026", dialogue, "stop")
		})
		o := Options{Teacher: e, Out: t.TempDir(), Workers: 1, Wait: time.Microsecond}
		_, err := Run(context.Background(), cats(5), talk(), o)
		require.ErrorContains(t, err, fmt.Sprintf("the endpoint answers %d", status))
		require.EqualValues(t, 1, n.Load())
		mu.Lock()
		broken = false
		mu.Unlock()
		report, err := Run(context.Background(), cats(5), talk(), o)
		require.NoError(t, err)
		require.Equal(t, 5, report.Accepted)
		require.Equal(t, map[string]int{"small-2026": 5}, report.Models)
	}
}

// TestBudget: nothing is asked once the budget is spent, at any number of workers it is passed by less than one
// request, and what is there is written.
func TestBudget(t *testing.T) {
	for _, workers := range []int{1, 8} {
		e, n := answers(t, func(_ int, w http.ResponseWriter) { say(w, "small", dialogue, "stop") })
		c := talk()
		c.BudgetUSD = 0.5 // a request costs 0.15
		report, err := Run(context.Background(), cats(40), c, Options{Teacher: e, Out: t.TempDir(), Workers: workers})
		require.NoError(t, err)
		require.EqualValues(t, 4, n.Load())
		require.Equal(t, 4, report.Accepted)
		require.Len(t, report.Skipped, 36)
		require.Equal(t, Budget, report.Skipped[35].Why)
		require.InDelta(t, 0.6, report.USD, 1e-9)
		c = talk()
		c.BudgetTokens = 301
		report, err = Run(context.Background(), cats(40), c, Options{Teacher: e, Out: t.TempDir(), Workers: workers})
		require.NoError(t, err)
		require.Equal(t, 3, report.Accepted)
	}
}

// TestWaits: the service's wish is respected, and requests are spaced.
func TestWaits(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{"3": 3 * time.Second, "0": 0, "x": 0, "": 0, now.Add(time.Minute).Format(http.TimeFormat): time.Minute, "99999999": time.Hour} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {v}}, now), v)
	}
	require.Equal(t, 5*time.Millisecond, retryAfter(http.Header{"Retry-After-Ms": {"5"}, "Retry-After": {"9"}}, now))
	e, _ := answers(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			w.Header().Set("Retry-After", "0.2")
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		say(w, "small", dialogue, "stop")
	})
	began := time.Now()
	report, err := Run(
		context.Background(),
		cats(1),
		talk(),
		Options{Teacher: e, Out: t.TempDir(), Wait: time.Microsecond},
	)
	require.NoError(t, err)
	require.Equal(t, 1, report.Accepted)
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	e, _ = answers(t, func(_ int, w http.ResponseWriter) { say(w, "small", dialogue, "stop") })
	e.RequestsPerMinute = 60 * 100
	began = time.Now()
	_, err = Run(context.Background(), cats(21), talk(), Options{Teacher: e, Out: t.TempDir(), Workers: 8})
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
}

// TestJudge: what the judge refuses is asked again, and its words are kept like all replies.
func TestJudge(t *testing.T) {
	e, asked := answers(t, func(n int, w http.ResponseWriter) {
		say(w, "small", strings.ReplaceAll(dialogue, "mat", fmt.Sprint("mat ", n)), "stop")
	})
	j, judged := answers(t, func(n int, w http.ResponseWriter) {
		say(w, "judge", []string{"No, it is not.", "What?", "Yes."}[min(n-1, 2)], "stop")
	})
	o := Options{
		Teacher: e,
		Out:     t.TempDir(),
		Workers: 1,
		Wait:    time.Microsecond,
		Judge:   &Judge{Teacher: j, Model: "judge"},
	}
	for range 2 {
		report, err := Run(context.Background(), cats(1), talk(), o)
		require.NoError(t, err)
		require.Equal(t, 1, report.Accepted)
		require.Equal(t, map[FaultKind]int{Judged: 1}, report.Faults)
		require.EqualValues(t, 2, asked.Load())
		require.EqualValues(t, 3, judged.Load())
		require.Equal(t, 500, report.Prompt)
	}
}

// TestLog: two pictures with the same words are one request; a damaged log is refused by name and line; a cut line is
// cut off.
func TestLog(t *testing.T) {
	e, n := answers(t, func(_ int, w http.ResponseWriter) { say(w, "small", dialogue, "stop") })
	set := cats(2)
	set.Scenes[1].Captions = set.Scenes[0].Captions
	o := Options{Teacher: e, Out: t.TempDir()}
	report, err := Run(context.Background(), set, talk(), o)
	require.NoError(t, err)
	require.EqualValues(t, 1, n.Load())
	require.Equal(t, 2, report.Accepted)
	require.Equal(t, 1, report.Requests)
	path := filepath.Join(o.Out, "replies.jsonl")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(b, b[:40]...), 0o666))
	_, err = Run(context.Background(), set, talk(), o)
	require.NoError(t, err)
	require.EqualValues(t, 1, n.Load())
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(b), string(after))
	require.NoError(t, os.WriteFile(path, append(append([]byte("{]\n"), b...), b...), 0o666))
	_, err = Run(context.Background(), set, talk(), o)
	require.ErrorContains(t, err, "replies.jsonl:1")
	require.NoError(t, os.WriteFile(path, append(append([]byte{}, b...), b...), 0o666))
	_, err = Run(context.Background(), set, talk(), o)
	require.ErrorContains(t, err, "replies.jsonl:2: attempt 1 where 2 belongs")
}

func TestPrompts(t *testing.T) {
	c := DefaultConfig()
	c.Model = "x"
	require.NoError(t, c.Validate())
	for _, k := range Kinds() {
		require.NotEmpty(t, c.Shots[k], k)
		for _, s := range c.Shots[k] {
			_, fault := c.Parse(k, s.Answer, false)
			require.Empty(t, fault, "our own example for %s", k)
		}
	}
	require.Len(t, c.DetailQuestions, 16)
	dir := filepath.Join(t.TempDir(), "prompts")
	require.NoError(t, WritePrompts(dir))
	require.ErrorContains(t, WritePrompts(dir), "remove it, or name another folder")
	again := Config{}
	require.NoError(t, again.ReadPrompts(os.DirFS(dir)))
	require.Equal(t, c.System, again.System)
	require.Equal(t, c.Shots, again.Shots)
	require.ErrorContains(t, (&Config{}).ReadPrompts(fstest.MapFS{"x": {}}), "has none of conversation/")
	require.ErrorContains(t, (&Config{}).ReadPrompts(fstest.MapFS{"conversation/system_message.txt": {}}), "is empty")
	require.ErrorContains(
		t,
		(&Config{}).ReadPrompts(
			fstest.MapFS{"conversation/system_message.txt": {Data: []byte("x")}, "conversation/0_caps.txt": {}},
		),
		"0_conv.txt",
	)
	for _, bad := range []func(*Config){func(c *Config) { c.Kinds = []Kind{"poem"} }, func(c *Config) { c.MaxAttempts = 0 }, func(c *Config) { c.BudgetUSD = 1 },
		func(c *Config) { c.Temperature = 3 }, func(c *Config) { c.Shares = map[Kind]float64{Detail: 2} }, func(c *Config) { c.DetailQuestions = nil }, func(c *Config) { c.Checks = []FaultKind{"x"} }} {
		c := DefaultConfig()
		bad(&c)
		require.Error(t, c.Validate())
	}
}

func TestShares(t *testing.T) {
	c := talk()
	c.Kinds, c.Shares = Kinds(), map[Kind]float64{Detail: 0.25, Reasoning: 0}
	got := map[Kind]int{}
	require.NoError(t, c.samples(cats(2000), func(s sample) error { got[s.kind]++; return nil }))
	require.Equal(t, 2000, got[Conversation])
	require.InDelta(t, 500, got[Detail], 80)
	require.Zero(t, got[Reasoning])
}
