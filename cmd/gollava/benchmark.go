package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data/score"
)

// baseline says which picture a question is asked about.
type baseline string

const (
	seeing   baseline = ""         // its own
	blind    baseline = "blind"    // none
	shuffled baseline = "shuffled" // that of the question half the set further on
)

// benchmark asks and scores a benchmark, and its baselines if they are wanted.
func (v evalCommand) benchmark(ctx context.Context, c console) error {
	b, err := score.Find(v.Benchmark)
	if err != nil {
		return err
	}
	files := v.Files.files()
	files.Questions = v.Questions
	if b.Ask == nil {
		return fmt.Errorf("%s can be scored only: gollava score %s", b.Title, b.Name)
	}
	var questions []score.Question
	err = b.Ask(files, func(q score.Question) error {
		questions = append(questions, q)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
	}
	if len(questions) == 0 {
		return fmt.Errorf("%s: the files hold no questions", b.Title)
	}
	kinds := []baseline{seeing}
	if v.Baselines {
		kinds = append(kinds, blind, shuffled)
	}
	if err := once(questions); err != nil {
		return err
	}
	session := &asker{evalCommand: v, console: c, questions: questions}
	var reports []*score.Report
	for _, k := range kinds {
		path := answersPath(v.Answers, k)
		if _, err := session.answer(ctx, path, k); err != nil {
			return err
		}
		files.Answers = []string{path}
		if err := v.Judge.judge(ctx, b, &files); err != nil {
			return err
		}
		r, err := b.Score(files)
		if err != nil {
			c.hint("the answers are in %s; gollava score %s scores them once the truth is at hand, --upload writes "+
				"them for the server", path, b.Name)
			return fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
		}
		reports = append(reports, r)
	}
	if err := printReport(c, reports[0]); err != nil {
		return err
	}
	for i, r := range reports[1:] {
		x, _ := r.Get(b.Main)
		fmt.Fprintf(c.out, "  %s: %s %.6g\n", kinds[i+1], b.Main, x)
		printComparison(c, string(kinds[i+1]), score.Compare(reports[0].Items, r.Items))
	}
	c.hint("the answers are in %s; gollava score %s compares them with those of another model (--against)", v.Answers,
		b.Name)
	return nil
}

// answersPath is where the answers of a baseline go: beside the others.
func answersPath(path string, k baseline) string {
	if k == seeing {
		return path
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + string(k) + ext
}

// once returns an error if a question is there twice: its answers could not be told apart. Some benchmarks ask several
// questions under one id.
func once(questions []score.Question) error {
	seen := map[[2]string]bool{}
	for _, q := range questions {
		id := [2]string{q.ID, q.Text}
		if seen[id] {
			return fmt.Errorf("question %s is asked twice in the same words: the question file has a line twice", q.ID)
		}
		seen[id] = true
	}
	return nil
}
