// Package datacase holds package data against reference cases: record tables, shards, broken files, splices, samplers, batches.
package datacase

import "github.com/gollava/gollava/internal/verify"

// caseFile is the case.json of a folder.
type caseFile struct {
	Task       string
	Files      map[string]string
	Sets       []set
	Records    string
	WebDataset string
	Zip        struct {
		File   string
		SameAs string `json:"same_as"`
	}
	Broken string
}

// set is a data file, and for a mixture which records it takes from which file.
type set struct {
	File string
	From map[string]any `json:"records_from"`
}

// Run checks the case in a folder: what it has of the task "dataset", or the splice, sampler and collate files of the
// task "prompt". Everything is exact.
func Run(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		for _, part := range []struct {
			there bool
			check func(*verify.Report, caseFile) error
		}{
			{c.Records != "", records}, {c.Records != "", mixtures}, {c.WebDataset != "", shards},
			{c.Zip.File != "", zipped},
			{c.Broken != "", broken}, {c.Task == "prompt", prompts},
		} {
			if !part.there {
				continue
			}
			if err := part.check(r, c); err != nil {
				return err
			}
		}
		return nil
	})
}
