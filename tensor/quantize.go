package tensor

import (
	"slices"
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
)

// Weights that do not train can be stored in blocks of small integers with common scales, in 2 to 9 bits a weight:
// the formats of GGUF files and of bitsandbytes. A block tensor is the right operand of [Tensor.MatMulT],
// [Tensor.MatMul] and [Linear], the weight of [LinearCrossEntropy] or the table of [Gather]; these compute with its
// exact values in float32, and pass gradients to their other operand. [Tensor.Cast] quantises a float32 tensor and
// widens a block tensor. A row must be a whole number of blocks, except of NF4, FP4, NF4D and FP4D. Q2_K, Q3_K and
// IQ4_XS can only be read.
const (
	Q8_0   = backend.Q8_0   // blocks of 32 int8 with a float16 scale: 8.5 bits a weight
	Q4_0   = backend.Q4_0   // blocks of 32, symmetric: 4.5 bits
	Q4_1   = backend.Q4_1   // blocks of 32 with a minimum: 5 bits
	Q5_0   = backend.Q5_0   // blocks of 32, symmetric: 5.5 bits
	Q5_1   = backend.Q5_1   // blocks of 32 with a minimum: 6 bits
	Q4_K   = backend.Q4_K   // blocks of 256, 8 scales and minima of 6 bits: 4.5 bits
	Q5_K   = backend.Q5_K   // blocks of 256, 8 scales and minima of 6 bits: 5.5 bits
	Q6_K   = backend.Q6_K   // blocks of 256, 16 scales of 8 bits: 6.5625 bits
	IQ4_NL = backend.IQ4_NL // blocks of 32, 16 uneven steps: 4.5 bits
	NF4    = backend.NF4    // bitsandbytes' NormalFloat, blocks of 64: 4.5 bits
	FP4    = backend.FP4    // bitsandbytes' 4-bit float, blocks of 64: 4.5 bits
	NF4D   = backend.NF4D   // NF4 whose scales are quantised too: 4.13 bits
	FP4D   = backend.FP4D   // FP4 whose scales are quantised too: 4.13 bits
	Q2_K   = backend.Q2_K   // 2.625 bits
	Q3_K   = backend.Q3_K   // 3.4375 bits
	IQ4_XS = backend.IQ4_XS // 4.25 bits
	INT8   = backend.INT8   // int8 with a float32 scale, of a row in LLM.int8, of 32 weights after Cast: 9 bits
)

// ParseDType is the dtype of that name, in either case: float32, bfloat16, int32, or a block type such as q4_k.
func ParseDType(name string) (DType, bool) { return backend.ParseDType(name) }

// WrapBlocks makes a tensor of a block type from its bytes without a copy; they may be a read-only mapping. It panics
// if dt is no block type, if the last axis is no whole number of blocks, or if the number of bytes is wrong.
func WrapBlocks(dt DType, b []byte, shape ...int) *Tensor {
	if !dt.Quantized() {
		Fail("WrapBlocks", "%v is not stored in blocks", dt)
	}
	n := count("WrapBlocks", shape)
	mustFill("WrapBlocks", dt, shape)
	if want := dt.Bytes(n); len(b) != want {
		Fail("WrapBlocks", "%d bytes for %v %v, which takes %d", len(b), dt, shape, want)
	}
	return wrap("WrapBlocks", dt, unsafe.Pointer(unsafe.SliceData(b)), n, shape)
}

// SetRounding says whether products with the block tensor t that are not recorded may round the rows of their other
// operand to eight bits, in blocks of 32 with a scale each, as llama.cpp does: faster, at the price of some 0.5 % noise
// in the products. It is off by default, and without effect where the device is as fast without it.
func (t *Tensor) SetRounding(on bool) { t.rounds = on && t.dtype.Quantized() }

// Fits reports whether a tensor of that shape can be stored as dt: whether its rows are whole blocks.
func Fits(dt DType, shape []int) bool {
	f := dt.Blocks()
	return f == nil || f.Flat || len(shape) > 0 && shape[len(shape)-1]%f.Length == 0
}

// mustFill panics unless rows of shape are whole blocks of dt.
func mustFill(op string, dt DType, shape []int) {
	if !Fits(dt, shape) {
		Fail(op, "%v %v: the last axis must be a multiple of %d, the length of a block", dt, shape, dt.Blocks().Length)
	}
}

// castable panics unless t can be converted to dt.
func (t *Tensor) castable(op string, dt DType) {
	from, to := t.dtype, dt
	switch {
	case from == Float32 && to == BFloat16, from == BFloat16 && to == Float32, from == Int32 && to == Float32:
	case from.Quantized() && to == Float32:
	case from == Float32 && to.Quantized():
		mustFill(op, dt, t.shape)
		if !dt.Blocks().CanEncode() {
			Fail(op, "%v to %v: this format can be read but not written; Q4_K and Q6_K are near it", t.shape, dt)
		}
	default:
		Fail(op, "%v %v to %v: float32 and bfloat16 convert into each other, int32 into float32, block types from "+
			"and into float32",
			from, t.shape, to)
	}
}

// isWeight reports whether t is float32, bfloat16 or, where blocks may be, a matrix of a block type.
func (t *Tensor) isWeight(blocks bool) bool {
	return t.dtype == Float32 || t.dtype == BFloat16 || blocks && t.dtype.Quantized() && len(t.shape) == 2
}

// blockMemory returns zeroed memory for a block tensor.
func blockMemory(dt DType, shape []int) *Tensor {
	n := count("New", shape)
	mustFill("New", dt, shape)
	b := make([]byte, max(dt.Bytes(n), 1))
	return &Tensor{shape: slices.Clone(shape), n: n, dtype: dt,
		st: newStorage(backend.NewBuffer(host, dt, n, unsafe.Pointer(&b[0])))}
}
