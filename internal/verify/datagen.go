package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/data/generate"
)

// genCase is a case of task datagen: annotations, a script of what an endpoint answers, and the data that must come
// out.
type genCase struct {
	COCO     struct{ Instances, Captions, Images string }
	Config   string
	Endpoint string
	Contexts string
	Expected map[string]string

	dir     string
	config  generate.Config
	set     *generate.Set
	entries []scriptEntry
}

// genReport is what is compared of a report; the names of faults are for information.
type genReport struct {
	Requests   int                `json:"requests"`
	Accepted   int                `json:"accepted"`
	Retries    int                `json:"retries"`
	Skipped    []generate.Skipped `json:"skipped"`
	Prompt     int                `json:"prompt_tokens"`
	Completion int                `json:"completion_tokens"`
	USD        float64            `json:"usd"`
}

func (r genReport) equal(o genReport) bool {
	same := math.Abs(r.USD-o.USD) < 1e-9 &&
		(len(r.Skipped) == 0 && len(o.Skipped) == 0 || reflect.DeepEqual(r.Skipped, o.Skipped))
	r.Skipped, o.Skipped, r.USD, o.USD = nil, nil, 0, 0
	return same && reflect.DeepEqual(r, o)
}

// datagen runs a generation with one and with several workers, again with nothing left to do, killed at any request
// and gone on with, and with half the money.
func datagen(r *Report, c genCase) { c.check(r, 0) }

// check is datagen; killings limits how many of its requests are places to kill it at: 0 is all.
func (c *genCase) check(r *Report, killings int) {
	c.dir = r.Dir
	readJSON(c.path(c.Config), &c.config)
	c.entries = readLines[scriptEntry](c.path(c.Endpoint))
	c.set = must(generate.OpenCOCO(c.path(c.COCO.Captions), c.path(c.COCO.Instances), c.path(c.COCO.Images)))
	temporary(func(temporary string) {
		c.functions(r)
		var first int
		for _, workers := range []int{1, 8} {
			what := fmt.Sprintf("%d workers", workers)
			r.try(what, func() { first = c.twice(r, what, filepath.Join(temporary, what), workers) })
		}
		step := 1
		if killings > 0 {
			step = max(1, first/killings)
		}
		for _, workers := range []int{1, 8} {
			tallies := make([]tally, first+1)
			var group errgroup.Group // most of the time the disk is waited for
			group.SetLimit(16)
			for k := 1; k <= first; k += step * min(workers, 3) { // with several workers there are as many ends in each place
				group.Go(func() error {
					out := filepath.Join(temporary, fmt.Sprintf("kill%d-%d", workers, k))
					c.killed(&tallies[k], out, k, workers)
					return os.RemoveAll(out)
				})
			}
			check(group.Wait())
			r.tally(fmt.Sprintf("killed at any request, %d workers", workers), func(kills *tally) {
				for i := range tallies {
					kills.add(tallies[i])
				}
			})
		}
		c.budget(r, filepath.Join(temporary, "budget"))
	})
}

// twice runs to the end and then again, which asks for nothing; it returns the number of requests.
func (c *genCase) twice(r *Report, what, out string, workers int) int {
	s := newScript(c.entries)
	defer s.Close()
	must(c.run(context.Background(), s, c.config, out, workers, nil))
	served, wrong := s.served, s.wrong
	s.at = map[*scriptEntry]int{}
	t, again := tally{What: what}, tally{What: what + ": a second run"}
	t.check(len(wrong) == 0, "%v", wrong)
	c.compare(&t, out)
	must(c.run(context.Background(), s, c.config, out, workers, nil))
	again.check(s.served == served, "%d requests", s.served-served)
	c.compare(&again, out)
	r.add(t.row(), again.row())
	return served
}

// path joins the folder and a file in it.
func (c *genCase) path(name string) string { return inside(c.dir, name) }

// run generates once.
func (c *genCase) run(ctx context.Context, s *script, config generate.Config, out string, workers int,
	client *http.Client) (*generate.Report, error) {
	s.Server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	e := &generate.Endpoint{URL: s.URL + "/v1", Timeout: 10 * time.Second, Client: client}
	o := generate.Options{Teacher: e, Out: out, Workers: workers, Wait: time.Microsecond}
	return generate.Run(ctx, c.set, config, o)
}

// compare holds everything that was written against what is expected.
func (c *genCase) compare(t *tally, out string) {
	for _, kind := range append([]generate.Kind{"all", "provenance"}, c.config.Kinds...) {
		file := c.Expected[string(kind)]
		if file == "" {
			continue
		}
		name := string(kind) + ".json"
		if kind == "provenance" {
			name += "l"
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		want, err2 := os.ReadFile(filepath.Join(c.dir, file))
		t.check(err == nil && err2 == nil && bytes.Equal(got, want), "%s differs from what is expected (%v)", name,
			errors.Join(err, err2))
	}
	var got, want genReport
	err := catch(func() {
		readJSON(filepath.Join(out, "report.json"), &got)
		readJSON(c.path(c.Expected["report"]), &want)
	})
	t.check(err == nil && got.equal(want), "report: got %+v, want %+v (%v)", got, want, err)
}

// killed runs until request k arrives, and again to the end.
func (c *genCase) killed(t *tally, out string, k, workers int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := newScript(c.entries)
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: &mortal{RoundTripper: transport, left: k - 1, kill: cancel}}
	if _, err := c.run(ctx, s, c.config, out, workers, client); !errors.Is(err, context.Canceled) {
		t.check(false, "killed at request %d: %v", k, err)
		return
	}
	if _, err := os.Stat(filepath.Join(out, "all.json")); err == nil {
		t.check(false, "killed at request %d: output is written", k)
		return
	}
	if _, err := c.run(context.Background(), s, c.config, out, workers, nil); err != nil {
		t.check(false, "after a kill at request %d: %v", k, err)
		return
	}
	t.check(len(s.wrong) == 0, "after a kill at request %d: %v", k, s.wrong)
	c.compare(t, out)
}

// budget runs with half the money.
func (c *genCase) budget(r *Report, out string) {
	var want struct {
		Budget float64 `json:"budget_usd"`
		IDs    map[string][]string
		Report genReport
	}
	readJSON(c.path(c.Expected["budget"]), &want)
	s := newScript(c.entries)
	defer s.Close()
	config := c.config
	config.BudgetUSD = want.Budget
	if _, err := c.run(context.Background(), s, config, out, 1, nil); err != nil {
		r.add(failed("budget", err))
		return
	}
	t := tally{What: "budget"}
	for _, k := range config.Kinds {
		var records []struct{ ID string }
		readJSON(filepath.Join(out, string(k)+".json"), &records)
		var ids []string
		for _, r := range records {
			ids = append(ids, r.ID)
		}
		t.check(slices.Equal(ids, want.IDs[string(k)]), "%s: got %v, want %v", k, ids, want.IDs[string(k)])
	}
	var got genReport
	readJSON(filepath.Join(out, "report.json"), &got)
	t.check(got.equal(want.Report), "report: got %+v, want %+v", got, want.Report)
	r.add(t.row())
}

// functions checks rows for one function each.
func (c *genCase) functions(r *Report) {
	by := map[int64]*generate.Scene{}
	for _, s := range c.set.Scenes {
		by[s.ID] = s
	}
	eachRow(r, c.Contexts, func(v struct {
		Image           int64 `json:"image_id"`
		Captions, Boxes []string
	}) error {
		s := by[v.Image]
		if s == nil || !slices.Equal(s.Lines(), v.Captions) || !slices.Equal(s.BoxLines(), v.Boxes) {
			return fmt.Errorf("picture %d", v.Image)
		}
		return nil
	})
	eachRow(r, "boxes.jsonl", func(v struct {
		Width, Height float64
		BBox          [4]float64
		Line          *string
	}) error {
		s := generate.Scene{Width: v.Width, Height: v.Height, Boxes: []generate.Box{{Name: "thing", BBox: v.BBox}}}
		got := s.BoxLines()
		if v.Line == nil && len(got) == 0 || v.Line != nil && len(got) == 1 && got[0] == *v.Line {
			return nil
		}
		return fmt.Errorf("got %q", got)
	})
	eachRow(r, "parse.jsonl", func(v struct {
		Kind   generate.Kind
		Finish string `json:"finish_reason"`
		Text   string
		Fault  generate.FaultKind
		Turns  [][2]string
		Answer string
	}) error {
		turns, fault := c.config.Parse(v.Kind, v.Text, v.Finish == "length")
		want := v.Turns
		if v.Kind == generate.Detail && v.Fault == "" {
			want = [][2]string{{"", v.Answer}}
		}
		ok := fault == v.Fault && len(turns) == len(want)
		for k := range want {
			ok = ok && turns[k] == generate.Turn{Question: want[k][0], Answer: want[k][1]}
		}
		if !ok {
			return fmt.Errorf("got %q %q, want %q %q", turns, fault, want, v.Fault)
		}
		return nil
	})
	eachRow(r, "rouge.jsonl", func(v struct {
		A, B  string
		ROUGE float64 `json:"rougeL"`
	}) error {
		if got := generate.ROUGE(v.A, v.B); math.Abs(got-v.ROUGE) > 1e-12 {
			return fmt.Errorf("got %v, want %v", got, v.ROUGE)
		}
		return nil
	})
}
