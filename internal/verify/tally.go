package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Tally counts cases of one kind that must hold exactly.
type Tally struct {
	What        string
	good, total int
	first       string
}

// Check counts a case; format says what is wrong with one that fails.
func (t *Tally) Check(ok bool, format string, args ...any) {
	t.total++
	if ok {
		t.good++
	} else if t.first == "" {
		t.first = fmt.Sprintf(format, args...)
	}
}

// Add counts the cases of another tally too.
func (t *Tally) Add(o Tally) {
	t.good, t.total = t.good+o.good, t.total+o.total
	if t.first == "" {
		t.first = o.first
	}
}

// Row sums up: MaxAbs is 0 where every case holds, else 1. It fails where there were none.
func (t *Tally) Row() Row {
	r := Row{What: t.What, Pass: t.good == t.total && t.total > 0, Detail: fmt.Sprintf("%d of %d", t.good, t.total)}
	if !r.Pass {
		r.MaxAbs, r.MaxRel = 1, 1
		r.Detail += ": " + t.first
	}
	if t.total == 0 {
		r.Detail = "no cases"
	}
	return r
}

// Rows sums up those that have counted anything.
func Rows(tallies ...*Tally) []Row {
	var rows []Row
	for _, t := range tallies {
		if t.total > 0 {
			rows = append(rows, t.Row())
		}
	}
	return rows
}

// Lines reads a file of one JSON value a line; empty lines do not count.
func Lines[T any](path string) (out []T, err error) {
	dir, name := filepath.Split(path)
	return out, EachLine(dir, name, func(v T) error {
		out = append(out, v)
		return nil
	})
}

// EachLine calls visit with every line of a file in dir, read as a T. Errors name file and line.
func EachLine[T any](dir, name string, visit func(T) error) error {
	path, err := Inside(dir, name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(data) {
		if n++; len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var v T
		err := json.Unmarshal(line, &v)
		if err == nil {
			err = visit(v)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return nil
}
