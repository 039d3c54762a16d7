package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/jsonfile"
)

// suiteFlags name a list of benchmarks, and where their table goes.
type suiteFlags struct {
	Suite   string `placeholder:"FILE" help:"Many benchmarks at once: a JSON list of objects with benchmark, answers and its files."`
	Table   string `placeholder:"FILE" help:"With --suite: write the table as Markdown."`
	Picture string `placeholder:"FILE" help:"With --suite: draw the table as bars (png, svg or pdf)."`
}

// suiteEntry is one benchmark of a suite. Paths are relative to the suite's file.
type suiteEntry struct {
	Benchmark   string   `json:"benchmark"`
	Answers     []string `json:"answers"`
	Images      string   `json:"images"` // where the model is asked
	Questions   string   `json:"questions"`
	Annotations string   `json:"annotations"`
	Choices     string   `json:"choices"`
	Splits      string   `json:"splits"`
	Split       string   `json:"split"`
	Context     string   `json:"context"`
	Rule        string   `json:"rule"`
	Reference   string   `json:"reference"`
	Grades      string   `json:"grades"`
	Synonyms    string   `json:"synonyms"`
	Chinese     bool     `json:"chinese"`
	Vanilla     bool     `json:"vanilla"`
}

// readSuite reads a suite.
func readSuite(path string) ([]suiteEntry, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []suiteEntry
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := jsonfile.Explain(b, d.Decode(&all)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s lists no benchmark", path)
	}
	in := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	for i := range all {
		e := &all[i]
		for k := range e.Answers {
			in(&e.Answers[k])
		}
		for _, p := range []*string{&e.Images, &e.Questions, &e.Annotations, &e.Choices, &e.Splits, &e.Context, &e.Rule,
			&e.Reference, &e.Grades, &e.Synonyms} {
			in(p)
		}
	}
	return all, nil
}

// files are what the entry's benchmark is scored from.
func (e suiteEntry) files() score.Files {
	return score.Files{
		Questions:   e.Questions,
		Annotations: e.Annotations,
		Answers:     e.Answers,
		Choices:     e.Choices,
		Splits:      e.Splits,
		Split:       e.Split,
		Context:     e.Context,
		Rule:        e.Rule,
		Reference:   e.Reference,
		Grades:      e.Grades,
		Synonyms:    e.Synonyms,
		Chinese:     e.Chinese,
		Vanilla:     e.Vanilla,
	}
}

// filesOf are all files that a benchmark is scored from.
func filesOf(f score.Files) []string {
	return append([]string{f.Questions, f.Annotations, f.Choices, f.Splits, f.Context, f.Rule, f.Reference, f.Grades,
		f.Synonyms}, f.Answers...)
}

// run scores all benchmarks of a suite, each by one, and writes the table. A benchmark that fails does not keep the
// others from being scored.
func (v suiteFlags) run(c console, one func(score.Benchmark, score.Files, suiteEntry) (*score.Report, error)) error {
	entries, err := readSuite(v.Suite)
	if err != nil {
		return err
	}
	inputs := []string{v.Suite}
	for _, e := range entries {
		inputs = append(inputs, filesOf(e.files())...)
	}
	if err := cmp.Or(unread("--table", v.Table, inputs...), unread("--picture", v.Picture, inputs...)); err != nil {
		return err
	}
	var rows []tableRow
	failed := 0
	for _, e := range entries {
		b, err := score.Find(e.Benchmark)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Suite, err)
		}
		r, err := one(b, e.files(), e)
		if err != nil {
			failed++
			fmt.Fprintf(c.err, "%s: %v\n", b.Title, err)
			continue
		}
		rows = append(rows, newTableRow(b, r))
	}
	if len(rows) == 0 {
		return fmt.Errorf("none of the %d benchmarks could be scored", len(entries))
	}
	fmt.Fprint(c.out, markdown(rows))
	if v.Table != "" {
		if err := os.WriteFile(v.Table, []byte(markdown(rows)), 0o666); err != nil {
			return err
		}
	}
	if v.Picture != "" {
		if err := drawTable(v.Picture, rows); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d benchmarks could not be scored", failed, len(entries))
	}
	return nil
}
