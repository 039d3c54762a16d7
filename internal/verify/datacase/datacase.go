// Package datacase holds package data against reference cases: record tables, shards, broken files, splices, samplers, batches.
package datacase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
)

// Row is one line of a report: how many of a kind of case hold. Everything here is exact: MaxAbs is 0 where it holds and 1 where it does not.
type Row = verify.Row

// tally counts the cases of one kind.
type tally struct {
	what        string
	good, total int
	first       string
}

// check counts a case; format says what is wrong with one that fails.
func (t *tally) check(ok bool, format string, args ...any) {
	t.total++
	if ok {
		t.good++
	} else if t.first == "" {
		t.first = fmt.Sprintf(format, args...)
	}
}

func (t *tally) row() Row {
	r := Row{What: t.what, Pass: t.good == t.total && t.total > 0, Detail: fmt.Sprintf("%d of %d", t.good, t.total)}
	if !r.Pass {
		r.MaxAbs, r.MaxRel = 1, 1
		r.Detail += ": " + t.first
	}
	if t.total == 0 {
		r.Detail = "no cases"
	}
	return r
}

// caseFile is the case.json of a folder.
type caseFile struct {
	Format     int
	Task, Name string
	Files      map[string]string
	Sets       []struct {
		File, ImageRoot string `json:"-"`
	} `json:"-"`
	Records    string
	WebDataset string
	Zip        struct {
		File   string
		SameAs string `json:"same_as"`
	}
	Broken string
}

// Run checks the case in a folder: task "dataset", or the splice, sampler and collate files of task "prompt". The error is for a
// folder that cannot be read or holds another case.
func Run(dir string) ([]Row, error) {
	var c caseFile
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "case.json"), err)
	}
	if c.Format != 1 {
		return nil, fmt.Errorf("%s: format %d; 1 is known", dir, c.Format)
	}
	var rows []Row
	add := func(r []Row, e error) {
		rows = append(rows, r...)
		if err == nil {
			err = e
		}
	}
	switch c.Task {
	case "dataset": // of which a folder may hold parts
		if c.Records != "" {
			add(records(dir, c))
			add(mixtures(dir))
		}
		if c.WebDataset != "" {
			add(shards(dir, c))
		}
		if c.Zip.File != "" {
			add(zipped(dir, c))
		}
		if c.Broken != "" {
			add(broken(dir, c))
		}
	case "prompt":
		add(prompts(dir, c))
	default:
		return nil, fmt.Errorf("%s: task %q is none of package data's", dir, c.Task)
	}
	return rows, err
}

// lines reads a file of one JSON value a line.
func lines[T any](path string) ([]T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []T
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		out = append(out, v)
	}
	return out, nil
}
