package verify

import (
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// expected holds the tensors of a case by name. One that is asked for and not there ends the case.
type expected struct {
	*safetensors.File
	absent error // why there is no file
}

// has reports whether there is a tensor of that name.
func (e expected) has(name string) bool {
	_, ok := e.Info(name)
	return ok
}

// missing ends the case for want of a tensor.
func (e expected) missing(name, kind string) {
	check(e.absent)
	failf("%s: there is no %s tensor %s", e.Path(), kind, name)
}

// tensor reads a tensor, float32 or int32.
func (e expected) tensor(name string) *tensor.Tensor {
	i, ok := e.Info(name)
	dt, known := map[string]tensor.DType{"F32": tensor.Float32, "I32": tensor.Int32}[i.DType]
	if !ok || !known {
		e.missing(name, "float32 or int32")
	}
	t := tensor.NewOf(dt, i.Shape...)
	check(e.ReadAt(i, t.Bytes(), 0))
	return t
}

// maybe reads a tensor if there is one, else it returns nil.
func (e expected) maybe(name string) *tensor.Tensor {
	if !e.has(name) {
		return nil
	}
	return e.tensor(name)
}

// numbers reads a float32 tensor as float64.
func (e expected) numbers(name string) []float64 {
	t := e.tensor(name)
	if t.DType() != tensor.Float32 {
		e.missing(name, "float32")
	}
	return widen(t.Data())
}

// ints reads an int32 tensor.
func (e expected) ints(name string) []int32 {
	t := e.tensor(name)
	if t.DType() != tensor.Int32 {
		e.missing(name, "int32")
	}
	return t.IntData()
}

// table reads an int32 matrix row by row.
func (e expected) table(name string) [][]int32 {
	t := e.tensor(name)
	if t.DType() != tensor.Int32 || t.Rank() != 2 {
		e.missing(name, "int32 matrix as")
	}
	return rowsOf(t)
}

// rowsOf are the rows of an int32 matrix.
func rowsOf(t *tensor.Tensor) [][]int32 {
	n, w := t.Dims2()
	rows := make([][]int32, n)
	for i := range rows {
		rows[i] = t.IntData()[i*w : (i+1)*w]
	}
	return rows
}

// under lists the tensors whose names begin with prefix, without it, in the file's order.
func (e expected) under(prefix string) []string {
	var out []string
	for _, n := range e.Names() {
		if tail, ok := strings.CutPrefix(n, prefix); ok {
			out = append(out, tail)
		}
	}
	return out
}

// widen converts to float64.
func widen[T float32 | int32 | int](x []T) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
