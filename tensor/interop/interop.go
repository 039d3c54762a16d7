// Package interop makes Gonum and Gorgonia programs run on this library's kernels, and lets tensors pass between them
// without a copy.
//
// [Use] registers the matrix product as the float32 BLAS of gonum's blas32, of gorgonia.org/tensor and of Gorgonia.
// [FromDense] and [ToDense] convert to and from *tensor.Dense. [Attention], [RMSNorm] and [LinearCrossEntropy] are
// Gorgonia operations with gradients.
package interop

import (
	"gonum.org/v1/gonum/blas/blas32"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
)

// Use registers [BLAS] with gonum's blas32, gorgonia.org/tensor and Gorgonia, for the whole program. Call it once,
// before they compute.
func Use() {
	blas32.Use(BLAS{})
	gorgonia.Use(BLAS{}) // registers with gorgonia.org/tensor too
}

// FromDense returns a tensor that shares d's memory, which must be contiguous, row-major and float32 or int32: neither
// a transposed view nor a slice of columns (Materialize makes such a view contiguous). It panics with a *tensor.Error
// for any other.
func FromDense(d *dense.Dense) *tensor.Tensor {
	const op = "interop.FromDense"
	if d == nil {
		tensor.Fail(op, "the Dense is nil")
	}
	shape, dt := []int(d.Shape()), d.Dtype()
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if strides := d.Strides(); shape[i] != 1 && (i >= len(strides) || strides[i] != n) {
			tensor.Fail(op, "%v %v with strides %v is not contiguous and row-major: call Materialize first", dt, shape,
				strides)
		}
		n *= shape[i]
	}
	switch {
	case !d.IsNativelyAccessible():
		tensor.Fail(op, "%v %v lies in memory that Go cannot address: copy it to the host first", dt, shape)
	case d.IsMasked():
		tensor.Fail(op, "%v %v is masked, which a tensor cannot express: fill in the masked elements first", dt, shape)
	case dt == dense.Float32:
		return tensor.Wrap(d.Float32s()[:n:n], shape...)
	case dt == dense.Int32:
		return tensor.WrapInts(d.Int32s()[:n:n], shape...)
	}
	tensor.Fail(op, "%v %v: needs float32 or int32", dt, shape)
	return nil
}

// ToDense returns a Dense that shares the memory of t, float32 or int32, which is kept as by [tensor.Tensor.Keep]. It
// panics with a
// *tensor.Error for bfloat16, for tensors of no elements, and for released ones.
func ToDense(t *tensor.Tensor) *dense.Dense {
	const op = "interop.ToDense"
	if t == nil {
		tensor.Fail(op, "the tensor is nil")
	}
	if t.Len() == 0 {
		tensor.Fail(op, "%v %v has no elements, and a Dense needs one", t.DType(), t.Shape())
	}
	t.Keep()
	var data any
	switch t.DType() {
	case tensor.Float32:
		data = t.Data()
	case tensor.Int32:
		data = t.IntData()
	default:
		tensor.Fail(op, "%v %v: Cast it to float32 first", t.DType(), t.Shape())
	}
	return dense.New(dense.WithShape(t.Shape()...), dense.WithBacking(data))
}
