package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Task checks a case folder and returns a row for each result. Differences are no errors; a folder that cannot be read is.
type Task func(dir string) ([]Row, error)

// Result is what became of one case.
type Result struct {
	Case    string  `json:"case"` // its folder
	Task    string  `json:"task"`
	What    string  `json:"what"`          // the results compared
	MaxAbs  float64 `json:"max_abs"`       // of the rows with an absolute tolerance
	MaxRel  float64 `json:"max_rel"`       // of those with a relative one
	Abs     float64 `json:"tolerance_abs"` // tolerance of the row that MaxAbs comes from
	Rel     float64 `json:"tolerance_rel"`
	Verdict string  `json:"verdict"` // pass or FAIL
	Note    string  `json:"note,omitempty"`
	Rows    []Row   `json:"rows,omitempty"`
}

// Pass reports whether everything was within its tolerance.
func (r *Result) Pass() bool { return r.Verdict == "pass" }

// Find lists the folders below root, itself included, that hold a case.json.
func Find(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == "case.json" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	return dirs, err
}

// Run checks one case with the task that its case.json names. Whatever goes wrong, a panic included, is in the result.
func Run(dir string, tasks map[string]Task) (res Result) {
	res = Result{Case: dir, Verdict: "FAIL"}
	defer func() {
		if p := recover(); p != nil {
			res.Verdict, res.Note = "FAIL", fmt.Sprintf("panic: %v", p)
			for line := range strings.Lines(string(debug.Stack())) {
				if strings.Contains(line, "gollava/") && strings.Contains(line, ".go:") && !strings.Contains(line, "verify/result.go") {
					res.Note += " at " + strings.TrimSpace(line)
					break
				}
			}
		}
	}()
	var head struct {
		Format int
		Task   string
	}
	if err := ReadJSON(filepath.Join(dir, "case.json"), &head); err != nil {
		res.Note = err.Error()
		return res
	}
	res.Task = head.Task
	task := tasks[head.Task]
	switch {
	case head.Format != 1:
		res.Note = fmt.Sprintf("format %d is not supported: 1 is", head.Format)
		return res
	case task == nil:
		res.Note = fmt.Sprintf("task %q is not supported", head.Task)
		return res
	}
	rows, err := task(dir)
	if err == nil && len(rows) == 0 {
		err = errors.New("nothing was compared")
	}
	if err != nil {
		res.Note = err.Error()
	}
	res.sum(rows, err == nil)
	return res
}

// sum fills the result from its rows.
func (r *Result) sum(rows []Row, pass bool) {
	r.Rows = rows
	failed := 0
	for i, row := range rows {
		row.MaxAbs, row.MaxRel = finite(row.MaxAbs), finite(row.MaxRel)
		rows[i] = row
		if !row.Pass {
			if failed++; r.Note == "" {
				r.Note = row.What + ": " + row.Detail
			}
		}
		switch {
		case row.Relative && (row.MaxRel > r.MaxRel || r.Rel == 0):
			r.MaxRel, r.Rel = max(r.MaxRel, row.MaxRel), row.Tolerance
		case !row.Relative && (row.MaxAbs > r.MaxAbs || r.Abs == 0):
			r.MaxAbs, r.Abs = max(r.MaxAbs, row.MaxAbs), row.Tolerance
		}
	}
	if failed > 1 {
		r.Note = fmt.Sprintf("%d of %d differ, the first: %s", failed, len(rows), r.Note)
	}
	if pass && failed == 0 {
		r.Verdict = "pass"
	}
	r.What = kinds(rows)
}

// finite stands in for what JSON cannot say.
func finite(v float64) float64 {
	if v <= math.MaxFloat64 {
		return v
	}
	return math.MaxFloat64
}

// kinds says in few words what rows are about: "46 results: logits, loss, gradient, …". A first part that all rows share, such as the checkpoint, is
// left out.
func kinds(rows []Row) string {
	var seen []string
	shared := len(rows) > 1
	first := func(what string) string {
		name, _, _ := strings.Cut(what, ":")
		name, _, _ = strings.Cut(name, ",")
		return strings.TrimSpace(name)
	}
	for _, row := range rows {
		shared = shared && strings.Contains(row.What, ":") && first(row.What) == first(rows[0].What)
	}
	for _, row := range rows {
		what := row.What
		if shared {
			_, what, _ = strings.Cut(what, ":")
		}
		if name := first(what); !slices.Contains(seen, name) {
			seen = append(seen, name)
		}
	}
	if len(rows) == 1 {
		return "1 result: " + strings.Join(seen, ", ")
	}
	return fmt.Sprintf("%d results: %s", len(rows), strings.Join(seen, ", "))
}
