// Package datagencase holds package generate against cases of task "datagen": annotations, a script of what an
// endpoint answers, and the data that must come out.
package datagencase

import (
	"golang.org/x/sync/errgroup"
	"net/http"

	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/internal/verify"
)

// Row is one line of a report.
type Row = verify.Row

// genCase is a case.json with its folder.
type genCase struct {
	Format   int
	Task     string
	COCO     struct{ Instances, Captions, Images string }
	Config   string
	Endpoint string
	Contexts string
	Expected map[string]string

	dir     string
	config  generate.Config
	set     *generate.Set
	entries []entry
}

// report is what is compared of a report; the names of faults are for information.
type report struct {
	Requests   int                `json:"requests"`
	Accepted   int                `json:"accepted"`
	Retries    int                `json:"retries"`
	Skipped    []generate.Skipped `json:"skipped"`
	Prompt     int                `json:"prompt_tokens"`
	Completion int                `json:"completion_tokens"`
	USD        float64            `json:"usd"`
}

func (r report) equal(o report) bool {
	same := math.Abs(r.USD-o.USD) < 1e-9 &&
		(len(r.Skipped) == 0 && len(o.Skipped) == 0 || reflect.DeepEqual(r.Skipped, o.Skipped))
	r.Skipped, o.Skipped, r.USD, o.USD = nil, nil, 0, 0
	return same && reflect.DeepEqual(r, o)
}

// Run checks a case folder of task "datagen".
func Run(dir string) ([]Row, error) { return check(dir, 0) }

// check runs the case; killings limits how many of its requests are places to kill it at: 0 is all.
func check(dir string, killings int) ([]Row, error) {
	c := &genCase{dir: dir}
	if err := c.open(); err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp("", "gollava-verify-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)
	rows, err := c.functions()
	if err != nil {
		return nil, err
	}
	var first int
	for _, workers := range []int{1, 8} {
		out := filepath.Join(temporary, fmt.Sprint("workers", workers))
		s := newScript(c.entries)
		_, err := c.run(context.Background(), s, c.config, out, workers, nil)
		served, wrong := s.served, s.wrong
		if err == nil {
			s.at = map[*entry]int{}
			_, err = c.run(context.Background(), s, c.config, out, workers, nil)
		}
		s.Close()
		what := fmt.Sprintf("%d workers", workers)
		if err != nil {
			return append(rows, verify.Failed(what, err)), nil
		}
		t := verify.Tally{What: what}
		t.Check(len(wrong) == 0, "%v", wrong)
		c.compare(&t, out)
		again := verify.Tally{What: what + ": a second run"}
		again.Check(s.served == served, "%d requests", s.served-served)
		c.compare(&again, out)
		rows = append(rows, t.Row(), again.Row())
		first = served
	}
	step := 1
	if killings > 0 {
		step = max(1, first/killings)
	}
	for _, workers := range []int{1, 8} {
		kills := verify.Tally{What: fmt.Sprintf("killed at any request, %d workers", workers)}
		tallies := make([]verify.Tally, first+1)
		var group errgroup.Group // most of the time the disk is waited for
		group.SetLimit(16)
		for k := 1; k <= first; k += step * min(workers, 3) { // with several workers there are as many ends in each place
			group.Go(func() error {
				out := filepath.Join(temporary, fmt.Sprintf("kill%d-%d", workers, k))
				c.killed(&tallies[k], out, k, workers)
				return os.RemoveAll(out)
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		for i := range tallies {
			kills.Add(tallies[i])
		}
		rows = append(rows, kills.Row())
	}
	row, err := c.budget(filepath.Join(temporary, "budget"))
	return append(rows, row), err
}

func (c *genCase) path(name string) string {
	p, err := verify.Inside(c.dir, name)
	if err != nil {
		return filepath.Join(c.dir, "no such file")
	}
	return p
}

func (c *genCase) open() error {
	if err := verify.ReadJSON(filepath.Join(c.dir, "case.json"), c); err != nil {
		return err
	}
	if c.Format != 1 || c.Task != "datagen" {
		return fmt.Errorf("%s: task %q of format %d, want datagen of format 1", c.dir, c.Task, c.Format)
	}
	err := verify.ReadJSON(c.path(c.Config), &c.config)
	if err == nil {
		c.entries, err = verify.Lines[entry](c.path(c.Endpoint))
	}
	if err == nil {
		c.set, err = generate.OpenCOCO(c.path(c.COCO.Captions), c.path(c.COCO.Instances), c.path(c.COCO.Images))
	}
	return err
}

// run generates once.
func (c *genCase) run(
	ctx context.Context,
	s *script,
	config generate.Config,
	out string,
	workers int,
	client *http.Client,
) (*generate.Report, error) {
	s.Server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	e := &generate.Endpoint{URL: s.URL + "/v1", Timeout: 10 * time.Second, Client: client}
	return generate.Run(
		ctx,
		c.set,
		config,
		generate.Options{Teacher: e, Out: out, Workers: workers, Wait: time.Microsecond},
	)
}

// compare holds everything that was written against what is expected.
func (c *genCase) compare(t *verify.Tally, out string) {
	for _, kind := range append([]string{"all", "provenance"}, kinds(c.config)...) {
		if c.Expected[kind] == "" {
			continue
		}
		name := kind + ".json"
		if kind == "provenance" {
			name += "l"
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		want, err2 := os.ReadFile(c.path(c.Expected[kind]))
		t.Check(
			err == nil && err2 == nil && bytes.Equal(got, want),
			"%s differs from what is expected (%v)",
			name,
			errors.Join(err, err2),
		)
	}
	var got, want report
	err := errors.Join(
		verify.ReadJSON(filepath.Join(out, "report.json"), &got),
		verify.ReadJSON(c.path(c.Expected["report"]), &want),
	)
	t.Check(err == nil && got.equal(want), "report: got %+v, want %+v (%v)", got, want, err)
}

func kinds(c generate.Config) []string {
	var out []string
	for _, k := range c.Kinds {
		out = append(out, string(k))
	}
	return out
}

// killed runs until request k arrives, and again to the end.
func (c *genCase) killed(t *verify.Tally, out string, k, workers int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := newScript(c.entries)
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: &mortal{RoundTripper: transport, left: k - 1, kill: cancel}}
	if _, err := c.run(ctx, s, c.config, out, workers, client); !errors.Is(err, context.Canceled) {
		t.Check(false, "killed at request %d: %v", k, err)
		return
	}
	if _, err := os.Stat(filepath.Join(out, "all.json")); err == nil {
		t.Check(false, "killed at request %d: output is written", k)
		return
	}
	if _, err := c.run(context.Background(), s, c.config, out, workers, nil); err != nil {
		t.Check(false, "after a kill at request %d: %v", k, err)
		return
	}
	t.Check(len(s.wrong) == 0, "after a kill at request %d: %v", k, s.wrong)
	c.compare(t, out)
}

// budget runs with half the money.
func (c *genCase) budget(out string) (Row, error) {
	var want struct {
		Budget float64 `json:"budget_usd"`
		IDs    map[string][]string
		Report report
	}
	if err := verify.ReadJSON(c.path(c.Expected["budget"]), &want); err != nil {
		return Row{}, err
	}
	s := newScript(c.entries)
	defer s.Close()
	config := c.config
	config.BudgetUSD = want.Budget
	if _, err := c.run(context.Background(), s, config, out, 1, nil); err != nil {
		return verify.Failed("budget", err), nil
	}
	t := verify.Tally{What: "budget"}
	for _, k := range kinds(config) {
		var records []struct{ ID string }
		if err := verify.ReadJSON(filepath.Join(out, k+".json"), &records); err != nil {
			return Row{}, err
		}
		var ids []string
		for _, r := range records {
			ids = append(ids, r.ID)
		}
		t.Check(slices.Equal(ids, want.IDs[k]), "%s: got %v, want %v", k, ids, want.IDs[k])
	}
	var got report
	err := verify.ReadJSON(filepath.Join(out, "report.json"), &got)
	t.Check(err == nil && got.equal(want.Report), "report: got %+v, want %+v (%v)", got, want.Report, err)
	return t.Row(), nil
}

// functions checks rows for one function each.
func (c *genCase) functions() ([]Row, error) {
	contexts, boxes, parse, rouge := verify.Tally{
		What: "contexts",
	}, verify.Tally{
		What: "boxes",
	}, verify.Tally{
		What: "parse",
	}, verify.Tally{
		What: "rouge",
	}
	by := map[int64]*generate.Scene{}
	for _, s := range c.set.Scenes {
		by[s.ID] = s
	}
	if c.Contexts != "" {
		err := each(c.path(c.Contexts), func(i int, v struct {
			Image           int64 `json:"image_id"`
			Captions, Boxes []string
		}) {
			s := by[v.Image]
			contexts.Check(
				s != nil && slices.Equal(s.Lines(), v.Captions) && slices.Equal(s.BoxLines(), v.Boxes),
				"row %d: picture %d",
				i,
				v.Image,
			)
		})
		if err != nil {
			return nil, err
		}
	}
	err := each(c.path("boxes.jsonl"), func(i int, v struct {
		Width, Height float64
		BBox          [4]float64
		Line          *string
	}) {
		s := generate.Scene{Width: v.Width, Height: v.Height, Boxes: []generate.Box{{Name: "thing", BBox: v.BBox}}}
		got := s.BoxLines()
		boxes.Check(
			v.Line == nil && len(got) == 0 || v.Line != nil && len(got) == 1 && got[0] == *v.Line,
			"row %d: got %q",
			i,
			got,
		)
	})
	if err == nil {
		err = each(c.path("parse.jsonl"), func(i int, v struct {
			Kind   generate.Kind
			Finish string `json:"finish_reason"`
			Text   string
			Fault  generate.FaultKind
			Turns  [][2]string
			Answer string
		}) {
			turns, fault := c.config.Parse(v.Kind, v.Text, v.Finish == "length")
			want := v.Turns
			if v.Kind == generate.Detail && v.Fault == "" {
				want = [][2]string{{"", v.Answer}}
			}
			ok := fault == v.Fault && len(turns) == len(want)
			for k := range want {
				ok = ok && turns[k] == generate.Turn{Question: want[k][0], Answer: want[k][1]}
			}
			parse.Check(ok, "row %d: got %q %q, want %q %q", i, turns, fault, want, v.Fault)
		})
	}
	if err == nil {
		err = each(c.path("rouge.jsonl"), func(i int, v struct {
			A, B  string
			ROUGE float64 `json:"rougeL"`
		}) {
			got := generate.ROUGE(v.A, v.B)
			rouge.Check(math.Abs(got-v.ROUGE) <= 1e-12, "row %d: got %v, want %v", i, got, v.ROUGE)
		})
	}
	return verify.Rows(&contexts, &boxes, &parse, &rouge), err
}

// each goes through a file of rows, if there is one.
func each[T any](path string, f func(i int, v T)) error {
	rows, err := verify.Lines[T](path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for i, r := range rows {
		f(i+1, r)
	}
	return err
}
