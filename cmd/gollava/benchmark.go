package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/train"
)

// baseline says which picture a question is asked about.
type baseline string

const (
	seeing   baseline = ""         // its own
	blind    baseline = "blind"    // none
	shuffled baseline = "shuffled" // that of the question half the set further on
)

// benchmark asks and scores a benchmark, and its baselines if they are wanted.
func (v evalCommand) benchmark(ctx context.Context, c console, comm train.Comm) error {
	b, err := score.Find(v.Benchmark)
	if err != nil {
		return err
	}
	files := v.Files.files()
	files.Questions = v.Questions
	questions, err := v.asked(b, files)
	if err != nil {
		return err
	}
	if v.Likelihood && !hasOptions(questions) {
		return fmt.Errorf("%s has no questions with options that --likelihood could choose from: leave it out", b.Title)
	}
	kinds := []baseline{seeing}
	if v.Baselines {
		kinds = append(kinds, blind, shuffled)
	}
	session := &asker{evalCommand: v, console: c, comm: comm, questions: questions}
	var reports []*score.Report
	for _, k := range kinds {
		path := answersPath(v.Answers, k)
		files.Answers = nil
		if err := unread("--answers", path, filesOf(files)...); err != nil {
			return err
		}
		if _, err := session.answer(ctx, path, k); err != nil {
			return err
		}
		if !first(comm) {
			continue
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
	if !first(comm) {
		return nil
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

// asked are the questions of a benchmark as a model gets them.
func (v evalCommand) asked(b score.Benchmark, files score.Files) ([]score.Question, error) {
	if b.Ask == nil {
		return nil, fmt.Errorf("%s can be scored only: gollava score %s", b.Title, b.Name)
	}
	var questions []score.Question
	err := b.Ask(files, func(q score.Question) error {
		questions = append(questions, q)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
	}
	if len(questions) == 0 {
		return nil, fmt.Errorf("%s: the files hold no questions", b.Title)
	}
	return questions, once(questions)
}

// suite asks the model what the benchmarks of a suite ask, and makes a table of its scores. Answers go into the file
// that the suite names, or into one with the benchmark's name in the folder --answers.
func (v evalCommand) suite(ctx context.Context, c console, comm train.Comm) error {
	if err := os.MkdirAll(v.Answers, 0o777); err != nil {
		return err
	}
	if !first(comm) { // rank 0 scores and writes
		v.Suite.Table, v.Suite.Picture = "", ""
	}
	var model *asker // opened once
	taken := map[string]bool{}
	return v.Suite.run(c, func(b score.Benchmark, f score.Files, e suiteEntry) (*score.Report, error) {
		session := &asker{evalCommand: v, console: c, comm: comm}
		session.Questions, session.Images = e.Questions, e.Images
		if len(e.Answers) > 1 {
			return nil, fmt.Errorf("%d files of answers: eval writes one; gollava score reads several", len(e.Answers))
		}
		questions, err := session.asked(b, f)
		if err != nil {
			return nil, err
		}
		session.questions = questions
		session.Likelihood = v.Likelihood && hasOptions(questions)
		if model != nil {
			session.model = model.model
		}
		path := filepath.Join(v.Answers, b.Name+".jsonl")
		if len(e.Answers) > 0 {
			path = e.Answers[0]
		}
		f.Answers = nil
		if err := unread("answers", path, filesOf(f)...); err != nil {
			return nil, err
		}
		if taken[path] {
			return nil, fmt.Errorf(`answers would go into %s, where those of an earlier entry of the suite are: give each `+
				`of them "answers" of its own`, path)
		}
		taken[path] = true
		fmt.Fprintf(c.err, "%s: %d questions\n", b.Title, len(questions))
		if _, err := session.answer(ctx, path, seeing); err != nil {
			return nil, err
		}
		if model, f.Answers = session, []string{path}; !first(comm) {
			return &score.Report{}, nil
		}
		if f.Grades != "" {
			if err := v.Judge.judge(ctx, b, &f); err != nil {
				return nil, err
			}
		}
		return b.Score(f)
	})
}

func hasOptions(questions []score.Question) bool {
	return slices.ContainsFunc(questions, func(q score.Question) bool { return len(q.Options) > 0 })
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
