package benchmarkcase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/verify"
)

func mmVet(c *benchCase) ([]Row, error) {
	f := score.Files{Questions: c.file("questions"), Grades: c.file("grades"), Answers: []string{c.file("results")}}
	r, err := scored("mmvet", f)
	if err != nil {
		return nil, err
	}
	n := numbers{what: "official"}
	for _, part := range []string{"capabilities", "integrations"} {
		var cells map[string]string
		if err := c.expected(&cells, "official", part); err != nil {
			return nil, err
		}
		for _, k := range sorted(cells) {
			var x float64
			if _, err := fmt.Sscanf(cells[k], "%g", &x); err != nil {
				continue // the list of runs, or an empty cell
			}
			name := k
			if k != "total" && k != "std" {
				name = map[string]string{"capabilities": "capability/", "integrations": "integration/"}[part] + k
			}
			n.add(r.Get, name, x)
		}
	}
	rows := []Row{n.row()}
	var file string
	if err := c.expected(&file, "calls"); err != nil {
		return nil, err
	}
	type call struct {
		Request struct {
			MaxTokens   int `json:"max_tokens"`
			Temperature float64
		}
		EndsWith string `json:"ends_with"`
		Reply    string
	}
	calls, err := verify.Lines[call](c.path(file))
	if err != nil {
		return nil, err
	}
	var right, got map[string]*score.VetGrade
	if err := verify.ReadJSON(f.Grades, &right); err != nil {
		return nil, err
	}
	runs := 0
	for _, g := range right {
		runs = max(runs, len(g.Score))
	}
	asked := verify.Tally{What: "judge's requests"}
	at := 0
	got = map[string]*score.VetGrade{}
	err = score.GradeMMVet(
		context.Background(),
		f,
		score.VetPrompt,
		runs,
		func(_ context.Context, q score.JudgeRequest) (score.JudgeReply, error) {
			if at == len(calls) {
				return score.JudgeReply{}, errors.New("one request too many")
			}
			w := calls[at]
			at++
			text := strings.Split(q.Messages[len(q.Messages)-1].Content, "\n")
			asked.Check(
				q.MaxTokens == w.Request.MaxTokens && q.Temperature == w.Request.Temperature &&
					text[len(text)-1] == w.EndsWith,
				"request %d: got %d, %v, %q, want %+v",
				at,
				q.MaxTokens,
				q.Temperature,
				text[len(text)-1],
				w,
			)
			return score.JudgeReply{Text: w.Reply, Model: "judge"}, nil
		},
		got,
		nil,
	)
	if err != nil {
		return nil, err
	}
	asked.Check(at == len(calls), "%d requests, want %d", at, len(calls))
	grades := verify.Tally{What: "grades"}
	for _, id := range sorted(right) {
		ok := got[id] != nil && slices.Equal(got[id].Score, right[id].Score) &&
			slices.Equal(got[id].Content, right[id].Content)
		grades.Check(ok, "%s: got %+v, want %+v", id, got[id], right[id])
	}
	return append(rows, asked.Row(), grades.Row()), nil
}

func llavaBench(c *benchCase) ([]Row, error) {
	var official struct {
		Review, Requests string
		Printed          []string
	}
	var direct map[string][]float64
	if err := errors.Join(c.expected(&official, "official"), c.expected(&direct, "direct")); err != nil {
		return nil, err
	}
	f := score.Files{
		Questions: c.file("questions"),
		Context:   c.file("context"),
		Rule:      c.file("rule"),
		Reference: c.file("reference"),
		Answers:   []string{c.file("answers")},
	}
	requests, err := score.LLaVABenchRequests(f)
	if err != nil {
		return nil, err
	}
	i := 0
	sent, err := each(c, official.Requests, func(w score.JudgeRequest) error {
		i++
		if i > len(requests) {
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
	if err != nil {
		return nil, err
	}
	// The judge's replies again: the reviews that come of them must be those of the official program.
	old, err := verify.Lines[score.Review](c.path(official.Review))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gollava-verify-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, k := filepath.Join(dir, "review.jsonl"), 0
	err = score.ReviewLLaVABench(
		context.Background(),
		f,
		path,
		func(context.Context, score.JudgeRequest) (score.JudgeReply, error) {
			if k++; k > len(old) {
				return score.JudgeReply{}, errors.New("one request too many")
			}
			return score.JudgeReply{Text: old[k-1].Content, Model: "judge"}, nil
		},
	)
	if err != nil {
		return nil, err
	}
	reviews, err := verify.Lines[score.Review](path)
	if err != nil {
		return nil, err
	}
	written := verify.Tally{What: "reviews"}
	for i := range max(len(old), len(reviews)) {
		if i < len(reviews) {
			reviews[i].Request, reviews[i].Judge = "", ""
		}
		written.Check(
			i < len(old) && i < len(reviews) && fmt.Sprint(old[i]) == fmt.Sprint(reviews[i]),
			"review %d differs",
			i+1,
		)
	}
	f = score.Files{Grades: c.path(official.Review)}
	r, err := scored("llavabench", f)
	if err != nil {
		return nil, err
	}
	n := numbers{what: "direct"}
	for _, k := range sorted(direct) {
		for i, name := range []string{k, k + "/reference", k + "/answer"} {
			n.add(r.Get, name, direct[k][i])
		}
	}
	stem := strings.TrimSuffix(filepath.Base(official.Review), ".jsonl")
	got := append(append([]string{stem}, r.Printed...), "=================================")
	parse, err := each(c, "parse.jsonl", func(v struct {
		Review string
		Scores [2]float64
	}) error {
		a, b, _ := score.LLaVABenchScores(v.Review)
		return want([2]float64{a, b}, v.Scores)
	})
	return slices.Concat(sent, []Row{written.Row(), n.row(), lines("printed", got, official.Printed)}, parse), err
}
