package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Report is a case while it is checked: the tensors that are recorded for it and the rows so far.
type Report struct {
	expected             // expected.safetensors; empty where the folder has none
	modelCase            // of tasks about models: case.json
	Dir        string    // of the case
	Checkpoint string    // of tasks about models: the folder at work
	Tolerance  tolerance // as case.json has it
	Prefix     string    // put before the names of the rows that are added
	autocast   bool      // models multiply in bfloat16: see [RunAutocast]
	cast       bool      // one was made to
	rows       []Row
}

// tolerance says, in case.json, how far results may be off.
type tolerance struct {
	Out       float64 `json:"out_abs"`
	Loss      float64 `json:"loss_abs"`
	Grad      float64 `json:"grad_rel"`
	GradFloor float64 `json:"grad_floor"` // times the norm of all gradients together
	TrajLoss  float64 `json:"traj_loss_abs"`
	TrajNorm  float64 `json:"traj_grad_norm_rel"`
	TrajFinal float64 `json:"traj_final_rel"`
}

// task checks the case in r.Dir. It ends as check does where the case cannot be read; differences are rows.
type task func(r *Report)

// whole is a task whose case.json is read as a C.
func whole[C any](compare func(*Report, C)) task {
	return func(r *Report) {
		var c C
		path := filepath.Join(r.Dir, "case.json")
		readJSON(path, &c)
		readJSON(path, &struct{ Tolerance *tolerance }{&r.Tolerance})
		f, err := safetensors.Open(filepath.Join(r.Dir, "expected.safetensors"))
		switch {
		case err == nil:
			defer f.Close()
		case errors.Is(err, fs.ErrNotExist):
			f = new(safetensors.File)
			r.absent = err
		default:
			check(err)
		}
		r.File = f
		compare(r, c)
	}
}

// each is a task about a model: read loads it from r.Checkpoint, for each checkpoint of the case. Where one fails, a
// row says so; the others may still agree.
func each[M any](read func(*Report) M, compare func(*Report, M)) task {
	return whole(func(r *Report, c modelCase) {
		r.set(c)
		r.checkpoints(c.Checkpoints, func(p checkpoint) {
			r.MMProj = ""
			if p.MMProj != "" {
				r.MMProj = inside(r.Dir, p.MMProj)
			}
			m := read(r)
			r.castWeights(m)
			compare(r, m)
		})
	})
}

// checkpoints runs compare for each checkpoint, with its name before its rows unless it is the case's own folder.
func (r *Report) checkpoints(list []checkpoint, compare func(checkpoint)) {
	if len(list) == 0 {
		failf("checkpoints: none are listed")
	}
	for _, c := range list {
		r.Checkpoint = inside(r.Dir, c.Model)
		if r.Prefix = ""; c.Model != "." {
			r.Prefix = c.Model + ": "
		}
		r.try("load and compute", func() { compare(c) })
	}
	r.Prefix = ""
}

// try runs compare. Where it ends early, a row of that name says so.
func (r *Report) try(what string, compare func()) {
	if err := catch(compare); err != nil {
		r.add(failed(what, err))
	}
}

// add takes rows.
func (r *Report) add(rows ...Row) {
	for _, row := range rows {
		row.What = r.Prefix + row.What
		r.rows = append(r.rows, row)
	}
}

// tally adds a row for cases that count counts, of which there must be some.
func (r *Report) tally(what string, count func(t *tally)) {
	t := tally{What: what}
	count(&t)
	r.add(t.row())
}

// eachRow adds a row for the lines of a file, if the folder has it.
func eachRow[T any](r *Report, name string, wrong func(T) error) {
	if name == "" || !exists(inside(r.Dir, name)) {
		return
	}
	r.tally(strings.TrimSuffix(name, ".jsonl"), func(t *tally) {
		for i, v := range readLines[T](inside(r.Dir, name)) {
			err := wrong(v)
			t.check(err == nil, "row %d: %v", i+1, err)
		}
	})
}

// near compares numbers with those that are recorded as out.NAME.
func (r *Report) near(name string, got []float64, tol float64) {
	r.within(name, got, r.numbers("out."+name), tol)
}

// output compares a result with out.NAME, number by number.
func (r *Report) output(name string, got *tensor.Tensor) {
	r.near(name, widen(got.Data()), r.Tolerance.Out)
}

// masked compares logits or states [B, T, …] with out.NAME where the mask [B·T] is 1.
func (r *Report) masked(name string, got *tensor.Tensor, mask []int32) {
	r.within(name, pick(widen(got.Data()), mask), pick(r.numbers("out."+name), mask), r.Tolerance.Out)
}

// pick keeps the rows of x [len(mask), …] where the mask is 1: all of x if it is no such rows.
func pick(x []float64, mask []int32) []float64 {
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

// loss compares a loss with out.NAME.
func (r *Report) loss(name string, got *tensor.Tensor) {
	r.near(name, []float64{float64(got.Item())}, r.Tolerance.Loss)
}

// backward differentiates a loss and compares the gradients of m's parameters with all that are recorded, grad.NAME.
// canonical translates recorded names into m's; nil: they are the same.
func (r *Report) backward(loss *tensor.Tensor, m any, canonical func(string) string) {
	loss.Backward()
	r.gradientsOf(maps.Collect(nn.Params(m)), canonical)
}

// gradientsOf compares the gradients of parameters by name. Gradients of ours of which none is recorded cannot be
// compared; a row names them.
func (r *Report) gradientsOf(params map[string]*tensor.Tensor, canonical func(string) string) {
	if canonical == nil {
		canonical = func(name string) string { return name }
	}
	recorded := map[string]bool{}
	r.gradientsUnder("gradient: ", "grad.", func(name string) []float64 {
		recorded[canonical(name)] = true
		if p := params[canonical(name)]; p != nil && p.Grad() != nil {
			return widen(p.Grad().Data())
		}
		return nil
	})
	var alone []string
	for _, name := range sorted(params) {
		if params[name].Grad() != nil && !recorded[name] {
			alone = append(alone, name)
		}
	}
	if len(alone) > 0 && len(recorded) > 0 {
		r.add(Row{What: "gradients without a record", Pass: true,
			Detail: fmt.Sprintf("%d not compared: %s", len(alone), strings.Join(alone, ", "))})
	}
}

// gradientsUnder compares every gradient that is recorded below a prefix with what got returns for its name: nil where
// the model has none, which fails. A tolerance's floor is in parts of the norm of all of them together.
func (r *Report) gradientsUnder(what, prefix string, got func(name string) []float64) {
	all, names := 0.0, r.under(prefix)
	for _, n := range names {
		for _, x := range r.numbers(prefix + n) {
			all += x * x
		}
	}
	for _, n := range names {
		want, have := r.numbers(prefix+n), got(n)
		if have == nil {
			r.add(failed(what+n, errors.New("it is recorded, and the model has none")))
			continue
		}
		tol, floor := r.gradient()
		r.add(norm(what+n, have, want, tol, floor*math.Sqrt(all)))
	}
}

// sorted lists the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
