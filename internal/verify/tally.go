package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
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
func Lines[T any](path string) ([]T, error) {
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
