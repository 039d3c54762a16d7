package verify

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Report is a case while it is checked: the tensors that are recorded for it and the rows so far.
type Report struct {
	*Expected           // expected.safetensors; empty where the folder has none
	Dir       string    // of the case
	Tolerance Tolerance // as case.json has it
	Prefix    string    // put before the names of the rows that are added
	rows      []Row
}

// Check reads case.json as a C and lets compare fill a report. A misuse of package tensor in compare, which a case's
// data can cause, is an error, and so is a recorded tensor that compare asked for and that is not there.
func Check[C any](dir string, compare func(*Report, C) error) ([]Row, error) {
	path := filepath.Join(dir, "case.json")
	var c C
	r := &Report{Dir: dir}
	if err := errors.Join(ReadJSON(path, &c),
		ReadJSON(path, &struct{ Tolerance *Tolerance }{&r.Tolerance})); err != nil {
		return nil, err
	}
	e, missing := Open(dir, "expected.safetensors")
	switch {
	case missing == nil:
		defer e.Close()
	case errors.Is(missing, fs.ErrNotExist):
		e = &Expected{File: new(safetensors.File)}
	default:
		return nil, missing
	}
	r.Expected = e
	var err error
	if caught := tensor.Catch(func() { err = compare(r, c) }); caught != nil {
		err = caught
	}
	if e.Err != nil {
		err = cmp.Or(missing, err, e.Err)
	}
	return r.rows, err
}

// Checkpoints runs compare for each folder of the case that is listed, with its name before its rows unless it is the
// case's own. One that fails is a row; the others may still agree.
func (r *Report) Checkpoints(list []string, compare func(dir string) error) error {
	if len(list) == 0 {
		return errors.New("checkpoints: none are listed")
	}
	for _, sub := range list {
		dir, err := Inside(r.Dir, sub)
		if err != nil {
			return err
		}
		if r.Prefix = ""; sub != "." {
			r.Prefix = sub + ": "
		}
		r.Try("load and compute", func() error { return compare(dir) })
	}
	r.Prefix = ""
	return nil
}

// Try runs compare. Where it fails, a row of that name says so.
func (r *Report) Try(what string, compare func() error) {
	var err error
	if caught := tensor.Catch(func() { err = compare() }); caught != nil {
		err = caught
	}
	if err == nil {
		err = r.Err
	}
	if err != nil {
		r.Err = nil
		r.Add(Failed(what, err))
	}
}

// Add takes rows.
func (r *Report) Add(rows ...Row) {
	for _, row := range rows {
		row.What = r.Prefix + row.What
		r.rows = append(r.rows, row)
	}
}

// Output compares a result with out.NAME, number by number.
func (r *Report) Output(name string, got *tensor.Tensor) {
	r.Add(Absolute(name, Widen(got.Data()), r.Numbers("out."+name), r.Tolerance.Out))
}

// Masked compares logits or states [B, T, …] with out.NAME where the mask [B·T] is 1.
func (r *Report) Masked(name string, got *tensor.Tensor, mask []int32) {
	r.Add(Absolute(name, Pick(Widen(got.Data()), mask), Pick(r.Numbers("out."+name), mask), r.Tolerance.Out))
}

// Pick keeps the rows of x [len(mask), …] where the mask is 1: all of x if it is no such rows.
func Pick(x []float64, mask []int32) []float64 {
	if len(mask) == 0 || len(x)%len(mask) != 0 {
		return x
	}
	var out []float64
	n := len(x) / len(mask)
	for i, m := range mask {
		if m != 0 {
			out = append(out, x[i*n:(i+1)*n]...)
		}
	}
	return out
}

// Loss compares a loss with out.NAME.
func (r *Report) Loss(name string, got *tensor.Tensor) {
	r.Add(Absolute(name, []float64{float64(got.Item())}, r.Numbers("out."+name), r.Tolerance.Loss))
}

// Gradients compares the gradients of m's parameters with all that are recorded, grad.NAME. canonical translates
// recorded names into m's; nil: they are the same.
func (r *Report) Gradients(m any, canonical func(string) string) {
	r.GradientsOf(maps.Collect(nn.Params(m)), canonical)
}

// GradientsOf is Gradients for parameters by name.
func (r *Report) GradientsOf(params map[string]*tensor.Tensor, canonical func(string) string) {
	r.GradientsUnder("gradient: ", "grad.", func(name string) []float64 {
		if canonical != nil {
			name = canonical(name)
		}
		if p := params[name]; p != nil && p.Grad() != nil {
			return Widen(p.Grad().Data())
		}
		return nil
	})
}

// GradientsUnder compares every gradient that is recorded below a prefix with what got returns for its name: nil where
// the model has none. A tolerance's floor is in parts of the norm of all of them together.
func (r *Report) GradientsUnder(what, prefix string, got func(name string) []float64) {
	all, names := 0.0, r.Under(prefix)
	for _, n := range names {
		for _, x := range r.Numbers(prefix + n) {
			all += x * x
		}
	}
	for _, n := range names {
		want := r.Numbers(prefix + n)
		r.Add(Norm(what+n, got(n), want, r.Tolerance.Grad, r.Tolerance.GradFloor*math.Sqrt(all)))
	}
}

// Sorted lists the keys of a map in order.
func Sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
