package verify

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// Expected holds the tensors of a case by name. It remembers the first fault in Err, so that many reads need one check.
type Expected struct {
	*safetensors.File
	Err error
}

// Open opens a file of recorded tensors, usually expected.safetensors.
func Open(dir, name string) (*Expected, error) {
	f, err := safetensors.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return &Expected{File: f}, nil
}

// Has reports whether there is a tensor of that name.
func (e *Expected) Has(name string) bool {
	_, ok := e.Info(name)
	return ok
}

// Tensor reads a tensor, float32 or int32. After a fault it returns nil.
func (e *Expected) Tensor(name string) *tensor.Tensor {
	i, ok := e.Info(name)
	dt, known := map[string]tensor.DType{"F32": tensor.Float32, "I32": tensor.Int32}[i.DType]
	if !ok || !known {
		e.fault(fmt.Errorf("%s: there is no float32 or int32 tensor %s", e.Path(), name))
		return nil
	}
	t := tensor.NewOf(dt, i.Shape...)
	if err := e.ReadAt(i, t.Bytes(), 0); err != nil {
		e.fault(err)
		return nil
	}
	return t
}

func (e *Expected) fault(err error) {
	if e.Err == nil {
		e.Err = err
	}
}

// Numbers reads a float32 tensor as float64.
func (e *Expected) Numbers(name string) []float64 {
	t := e.Tensor(name)
	if t == nil || t.DType() != tensor.Float32 {
		e.fault(fmt.Errorf("%s: tensor %s is not float32", e.Path(), name))
		return nil
	}
	return Widen(t.Data())
}

// Ints reads an int32 tensor.
func (e *Expected) Ints(name string) []int32 {
	t := e.Tensor(name)
	if t == nil || t.DType() != tensor.Int32 {
		e.fault(fmt.Errorf("%s: tensor %s is not int32", e.Path(), name))
		return nil
	}
	return t.IntData()
}

// Rows reads an int32 matrix row by row.
func (e *Expected) Rows(name string) [][]int32 {
	t := e.Tensor(name)
	if t == nil || t.DType() != tensor.Int32 || t.Rank() != 2 {
		e.fault(fmt.Errorf("%s: tensor %s is no matrix of int32", e.Path(), name))
		return nil
	}
	n, w := t.Dims2()
	rows := make([][]int32, n)
	for i := range rows {
		rows[i] = t.IntData()[i*w : (i+1)*w]
	}
	return rows
}

// Under lists the tensors whose names begin with prefix, without it, in the file's order.
func (e *Expected) Under(prefix string) []string {
	var out []string
	for _, n := range e.Names() {
		if tail, ok := strings.CutPrefix(n, prefix); ok {
			out = append(out, tail)
		}
	}
	return out
}

// Gradients compares every recorded gradient, "grad.NAME", with what got returns for its name: nil where the model has none.
func (e *Expected) Gradients(tol Tolerance, got func(name string) *tensor.Tensor) []Row {
	const prefix = "grad."
	all := 0.0
	names := e.Under(prefix)
	for _, n := range names {
		for _, x := range e.Numbers(prefix + n) {
			all += x * x
		}
	}
	var rows []Row
	for _, n := range names {
		var g []float64
		if t := got(n); t != nil {
			g = Widen(t.Data())
		}
		rows = append(rows, Norm("gradient: "+n, g, e.Numbers(prefix+n), tol.Grad, tol.GradFloor*math.Sqrt(all)))
	}
	return rows
}

// Logits compares rows of logits [B, T, V] where the mask [B·T] is 1; a nil mask is 1 everywhere.
func (e *Expected) Logits(what, name string, got *tensor.Tensor, mask []int32, tol float64) Row {
	want := e.Tensor(name)
	if want == nil {
		return Failed(what, e.Err)
	}
	if !slices.Equal(got.Shape(), want.Shape()) {
		return Failed(what, fmt.Errorf("shape %v instead of %v", got.Shape(), want.Shape()))
	}
	V := want.Dim(-1)
	if mask != nil && len(mask)*V != want.Len() {
		return Failed(what, fmt.Errorf("a mask of %d for %v", len(mask), want.Shape()))
	}
	var g, w []float64
	for i := range want.Len() / max(V, 1) {
		if mask == nil || mask[i] != 0 {
			g = append(g, Widen(got.Data()[i*V:(i+1)*V])...)
			w = append(w, Widen(want.Data()[i*V:(i+1)*V])...)
		}
	}
	return Absolute(what, g, w, tol)
}

// Widen converts to float64.
func Widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
