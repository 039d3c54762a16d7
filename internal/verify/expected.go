package verify

import (
	"fmt"
	"path/filepath"
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

// RowsLike reads an int32 matrix that has an element for each of like's.
func (e *Expected) RowsLike(name string, like [][]int32) [][]int32 {
	rows := e.Rows(name)
	ok := len(rows) == len(like)
	for i := 0; ok && i < len(rows); i++ {
		ok = len(rows[i]) == len(like[i])
	}
	if !ok {
		e.fault(fmt.Errorf("%s: tensor %s has other dimensions than its input_ids", e.Path(), name))
		return nil
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

// Widen converts to float64.
func Widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
