// Package datacase holds package data against reference cases: record tables, shards, broken files, splices, samplers, batches.
package datacase

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
)

// Row is one line of a report: how many of a kind of case hold. Everything here is exact: MaxAbs is 0 where it holds and 1 where it does not.
type Row = verify.Row

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
