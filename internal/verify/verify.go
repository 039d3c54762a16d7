// Package verify checks this module against folders of results that reference programs have recorded. A case is a
// folder with a case.json, whose task names a row of the table in tasks.go: what reads the case, and what compares it.
// The comparison builds the model, runs it and names its outputs; a [Report] reads what is recorded under these names
// and adds a row for each. What cannot be read, or does not fit, ends the case as in a test: see must.
package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// Row is how far one result is off.
type Row struct {
	What      string  `json:"what"` // "logits", "stage1: loss", "decode PNG", …
	MaxAbs    float64 `json:"max_abs"`
	MaxRel    float64 `json:"max_rel"`   // ‖got−want‖₂/‖want‖₂ of a tensor, or the largest |got−want|/|want| of numbers
	Tolerance float64 `json:"tolerance"` // of MaxRel if Relative, else of MaxAbs
	Relative  bool    `json:"relative"`
	Pass      bool    `json:"pass"`
	Detail    string  `json:"detail,omitempty"` // what was compared, or where it fails first
}

// Result is what became of one case.
type Result struct {
	Case    string  `json:"case"` // its folder
	Task    string  `json:"task"`
	What    string  `json:"what"`          // the results compared
	MaxAbs  float64 `json:"max_abs"`       // of the rows with an absolute tolerance
	MaxRel  float64 `json:"max_rel"`       // of those with a relative one
	Abs     float64 `json:"tolerance_abs"` // tolerance of the row that MaxAbs comes from
	Rel     float64 `json:"tolerance_rel"`
	Verdict string  `json:"verdict"` // pass, FAIL or left out
	Note    string  `json:"note,omitempty"`
	Rows    []Row   `json:"rows,omitempty"`
}

// Pass reports whether everything was within its tolerance.
func (r *Result) Pass() bool { return r.Verdict == "pass" }

// LeftOut reports whether [RunAutocast] was asked for a task that says nothing about bfloat16.
func (r *Result) LeftOut() bool { return r.Verdict == leftOut }

const leftOut = "left out"

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
func Run(dir string) Result { return run(dir, tasks, false) }

// RunAutocast is [Run] with products of the case's models in bfloat16, as [nn.Autocast] has them. Outputs, losses and
// gradients may be as far off as that rounds (see autocast.go); generated tokens and training runs, in which a rounding
// grows, are not compared.
func RunAutocast(dir string) Result { return run(dir, tasks, true) }

func run(dir string, tasks map[string]task, autocast bool) (res Result) {
	res = Result{Case: dir, Verdict: "FAIL"}
	defer func() {
		if p := recover(); p != nil {
			res.Verdict, res.Note = "FAIL", fmt.Sprintf("panic: %v", p)
			res.Note += panicked()
		}
	}()
	var head struct {
		Format int
		Task   string
	}
	if err := catch(func() { readJSON(filepath.Join(dir, "case.json"), &head) }); err != nil {
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
	r := &Report{Dir: dir, autocast: autocast}
	err := catch(func() { task(r) })
	if err == nil && autocast && !r.cast {
		res.Verdict = leftOut
		return res
	}
	if err == nil && len(r.rows) == 0 {
		err = errors.New("nothing was compared")
	}
	if err != nil {
		res.Note = err.Error()
	}
	res.sum(r.rows, err == nil)
	return res
}

// panicked says where, seen from a deferred function: the innermost function of this module that is not a helper for
// panicking. It goes by the names of functions, since paths of files depend on where and how the program was built.
func panicked() string {
	const module = "github.com/gollava/gollava/"
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		name, ours := strings.CutPrefix(f.Function, module)
		file := filepath.Base(f.File)
		if ours && file != "verify.go" && file != "error.go" {
			return fmt.Sprintf(" at %s (%s:%d)", name, file, f.Line)
		}
		if !more {
			return ""
		}
	}
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

// kinds says in few words what rows are about: "46 results: logits, loss, gradient, …". A first part that all rows
// share, such as the checkpoint, is left out.
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

// stop is what ends a case, or the part of it inside of catch.
type stop struct{ err error }

// catch runs fn and returns what stopped it: check, or a misuse of package tensor, which a case's data can cause.
func catch(fn func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stop:
			err = p.err
		default:
			panic(p)
		}
	}()
	return tensor.Catch(fn)
}

// check ends the case if there is an error.
func check(err error) {
	if err != nil {
		panic(stop{err})
	}
}

// must ends the case if there is an error; else it returns the value.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// failf ends the case.
func failf(format string, args ...any) { check(fmt.Errorf(format, args...)) }
