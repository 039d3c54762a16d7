package verify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
)

func mmVet(c *benchCase) {
	f := score.Files{Questions: c.file("questions"), Grades: c.file("grades"), Answers: []string{c.file("results")}}
	r := scoredBy("mmvet", f)
	n := values{what: "official"}
	for part, group := range map[string]string{"capabilities": "capability/", "integrations": "integration/"} {
		cells := expect[map[string]string](c, "official", part)
		for _, k := range sorted(cells) {
			var x float64
			if _, err := fmt.Sscanf(cells[k], "%g", &x); err != nil {
				continue // the list of runs, or an empty cell
			}
			name := k
			if k != "total" && k != "std" {
				name = group + k
			}
			n.add(r.Get, name, x)
		}
	}
	c.add(n.row())
	calls := readLines[struct {
		Request struct {
			MaxTokens   int `json:"max_tokens"`
			Temperature float64
		}
		EndsWith string `json:"ends_with"`
		Reply    string
	}](c.path(expect[string](c, "calls")))
	var right map[string]*score.VetGrade
	readJSON(f.Grades, &right)
	runs := 0
	for _, g := range right {
		runs = max(runs, len(g.Score))
	}
	asked, at := tally{What: "judge's requests"}, 0
	judge := func(_ context.Context, q score.JudgeRequest) (score.JudgeReply, error) {
		if at == len(calls) {
			return score.JudgeReply{}, errors.New("one request too many")
		}
		w := calls[at]
		at++
		text := strings.Split(q.Messages[len(q.Messages)-1].Content, "\n")
		last := text[len(text)-1]
		asked.check(q.MaxTokens == w.Request.MaxTokens && q.Temperature == w.Request.Temperature && last == w.EndsWith,
			"request %d: got %d, %v, %q, want %+v", at, q.MaxTokens, q.Temperature, last, w)
		return score.JudgeReply{Text: w.Reply, Model: "judge"}, nil
	}
	got := map[string]*score.VetGrade{}
	check(score.GradeMMVet(context.Background(), f, score.VetPrompt, runs, judge, got, nil))
	asked.check(at == len(calls), "%d requests, want %d", at, len(calls))
	c.add(asked.row())
	c.tally("grades", func(t *tally) {
		for _, id := range sorted(right) {
			ok := got[id] != nil && slices.Equal(got[id].Score, right[id].Score) &&
				slices.Equal(got[id].Content, right[id].Content)
			t.check(ok, "%s: got %+v, want %+v", id, got[id], right[id])
		}
	})
}

func llavaBench(c *benchCase) {
	official := expect[struct {
		Review, Requests string
		Printed          []string
	}](c, "official")
	f := score.Files{Questions: c.file("questions"), Context: c.file("context"), Rule: c.file("rule"),
		Reference: c.file("reference"), Answers: []string{c.file("answers")}}
	requests := must(score.LLaVABenchRequests(f))
	i := 0
	eachRow(c.Report, official.Requests, func(w score.JudgeRequest) error {
		if i++; i > len(requests) {
			return errors.New("nothing is asked")
		}
		g := requests[i-1]
		if g.Temperature != w.Temperature || g.MaxTokens != w.MaxTokens || len(g.Messages) != len(w.Messages) {
			return fmt.Errorf("got %+v, want %+v", g, w)
		}
		for k := range g.Messages {
			if g.Messages[k].Role != w.Messages[k].Role ||
				g.Messages[k].Role != "system" && g.Messages[k].Content != w.Messages[k].Content {
				return fmt.Errorf("message %d: got %q, want %q", k, g.Messages[k].Content, w.Messages[k].Content)
			}
		}
		return nil
	})
	// The judge's replies again: the reviews that come of them must be those of the official program.
	old, k := readLines[score.Review](c.path(official.Review)), 0
	judge := func(context.Context, score.JudgeRequest) (score.JudgeReply, error) {
		if k++; k > len(old) {
			return score.JudgeReply{}, errors.New("one request too many")
		}
		return score.JudgeReply{Text: old[k-1].Content, Model: "judge"}, nil
	}
	var want, got []string
	for _, x := range old {
		want = append(want, fmt.Sprint(x))
	}
	temporary(func(dir string) {
		path := filepath.Join(dir, "review.jsonl")
		check(score.ReviewLLaVABench(context.Background(), f, path, judge))
		for _, x := range readLines[score.Review](path) {
			x.Request, x.Judge = "", ""
			got = append(got, fmt.Sprint(x))
		}
	})
	c.same("reviews", got, want)
	r := scoredBy("llavabench", score.Files{Grades: c.path(official.Review)})
	n := values{what: "direct"}
	direct := expect[map[string][3]float64](c, "direct")
	for _, k := range sorted(direct) {
		for i, name := range []string{k, k + "/reference", k + "/answer"} {
			n.add(r.Get, name, direct[k][i])
		}
	}
	c.add(n.row())
	stem := strings.TrimSuffix(filepath.Base(official.Review), ".jsonl")
	c.same("printed", append(append([]string{stem}, r.Printed...), strings.Repeat("=", 33)), official.Printed)
	eachRow(c.Report, "parse.jsonl", func(v struct {
		Review string
		Scores [2]float64
	}) error {
		if a, b, _ := score.LLaVABenchScores(v.Review); [2]float64{a, b} != v.Scores {
			return fmt.Errorf("got %v, %v, want %v", a, b, v.Scores)
		}
		return nil
	})
}
