// Package tensor is an eager tensor library with automatic differentiation, fast on CPUs and free of cgo.
//
// A [Tensor] is a contiguous row-major array. Operations are methods and functions that return new tensors and never
// change their inputs. An operation is recorded if one of its inputs needs a gradient and none is marked
// [Tensor.NoGrad]; [Tensor.Backward] then fills the gradients of the parameters and releases what the forward pass had
// saved.
//
//	w := tensor.Randn(rng, 0.1, 3, 2).Param()
//	loss := x.MatMulT(w).Tanh().Mean()
//	loss.Backward()
//	fmt.Println(w.Grad().Data())
//
// Misuse panics with an [*Error] that names the operation and its operands.
package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/internal/backend"
)

// DType is the storage type of a tensor's elements.
type DType = backend.DType

// Results of operations are Float32. BFloat16 stores weights, as do the block types ([Q8_0] and the others); Int32
// stores ids and labels.
const (
	Float32  = backend.Float32
	BFloat16 = backend.BFloat16
	Int32    = backend.Int32
)

// Tensor is a contiguous row-major array and, if recorded, the operation that made it. Several tensors may share
// storage ([Tensor.Reshape], [Tensor.Detach]).
//
// Any number of goroutines may compute from the same tensors at once, such as a model's weights, if none of them writes
// to one: Backward writes the gradients of trainable leaves, an optimizer step the leaves. A graph of recorded results
// is built and consumed by one goroutine. Results are the same bits whatever else the process computes meanwhile.
type Tensor struct {
	shape []int
	n     int
	st    *storage
	grad  *Tensor
	node  *node  // nil for leaves and unrecorded results
	arena *Arena // the scope it belongs to, contagious; nil: none

	trainable atomic.Bool // Backward fills grad
	dtype     DType
	noGrad    bool // contagious: results are never recorded
	casts     casts
	rounds    bool // products with these blocks may round the other operand
}

// casts says what products round to bfloat16.
type casts uint8

const (
	castWeight casts = 1 << iota // products with this weight
	castResult                   // contagious: it comes of such a product, and so attention multiplies it likewise
)

// Number is what [From] and [Ints] convert from.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~float32 | ~float64
}

// maxElements bounds a shape: 2⁴⁴ − 1 elements, or what a 32-bit machine can address. It is above any memory, and so
// low that no product of dimensions, strides and element sizes overflows.
const maxElements = math.MaxInt >> 3 & (1<<44 - 1)

// count is the number of elements of a shape. Dimensions of 0 count as 1 for the limit: products of some of a shape's
// dimensions are taken too.
func count(op string, shape []int) int {
	n, most := 1, 1
	for _, d := range shape {
		switch {
		case d < 0:
			Fail(op, "negative dimension in shape %v", shape)
		case d > 0 && most > maxElements/d:
			Fail(op, "shape %v has more than %d elements, the most that a tensor can hold", shape, maxElements)
		}
		n, most = n*d, most*max(d, 1)
	}
	return n
}

// New returns float32 zeros.
func New(shape ...int) *Tensor { return NewOf(Float32, shape...) }

// NewOf returns zeros of the given dtype.
func NewOf(dt DType, shape ...int) *Tensor {
	n := count("New", shape)
	switch dt {
	case Float32:
		return wrap("New", dt, unsafe.Pointer(unsafe.SliceData(make([]float32, max(n, 1)))), n, shape)
	case BFloat16:
		return wrap("New", dt, unsafe.Pointer(unsafe.SliceData(make([]uint16, max(n, 1)))), n, shape)
	}
	if dt.Quantized() {
		return blockMemory(dt, shape)
	}
	return wrap("New", dt, unsafe.Pointer(unsafe.SliceData(make([]int32, max(n, 1)))), n, shape)
}

// Meta returns a tensor without storage: a shape that [Tensor.SetStorage] or [Tensor.Allocate] fills later, such as a
// weight to be loaded.
func Meta(dt DType, shape ...int) *Tensor {
	return &Tensor{shape: slices.Clone(shape), n: count("Meta", shape), dtype: dt}
}

// From copies data into a float32 tensor. It panics if the lengths differ.
func From[T Number](data []T, shape ...int) *Tensor {
	out := make([]float32, max(len(data), 1))
	for i, v := range data {
		out[i] = float32(v)
	}
	return wrap("From", Float32, unsafe.Pointer(unsafe.SliceData(out)), len(data), shape)
}

// Ints copies ids into an int32 tensor. It panics if the lengths differ.
func Ints[T ~int | ~int32 | ~int64](ids []T, shape ...int) *Tensor {
	out := make([]int32, max(len(ids), 1))
	for i, v := range ids {
		if int64(v) != int64(int32(v)) {
			Fail("Ints", "element %d is %d, which int32 cannot hold", i, v)
		}
		out[i] = int32(v)
	}
	return wrap("Ints", Int32, unsafe.Pointer(unsafe.SliceData(out)), len(ids), shape)
}

// Wrap makes a float32 tensor of data without a copy.
func Wrap(data []float32, shape ...int) *Tensor {
	return wrap("Wrap", Float32, unsafe.Pointer(unsafe.SliceData(data)), len(data), shape)
}

// WrapInts makes an int32 tensor of ids without a copy.
func WrapInts(ids []int32, shape ...int) *Tensor {
	return wrap("WrapInts", Int32, unsafe.Pointer(unsafe.SliceData(ids)), len(ids), shape)
}

// WrapBFloat16 makes a bfloat16 tensor of raw bits without a copy; they may lie in a read-only mapping as long as
// nothing trains them.
func WrapBFloat16(bits []uint16, shape ...int) *Tensor {
	return wrap("WrapBFloat16", BFloat16, unsafe.Pointer(unsafe.SliceData(bits)), len(bits), shape)
}

func wrap(op string, dt DType, p unsafe.Pointer, n int, shape []int) *Tensor {
	if m := count(op, shape); m != n {
		Fail(op, "%d elements for shape %v, which has %d", n, shape, m)
	}
	buf := backend.NewBuffer(host, dt, n, p)
	return &Tensor{shape: slices.Clone(shape), n: n, dtype: dt, st: newStorage(buf)}
}

// Full returns a float32 tensor whose elements are all v.
func Full(v float32, shape ...int) *Tensor {
	t := New(shape...)
	d := t.Data()
	for i := range d {
		d[i] = v
	}
	return t
}

// Randn returns normal samples with mean 0 and the given standard deviation. A nil r returns a [Meta] tensor, to be
// loaded. Of more than 2²⁰ elements, every 2²⁰ have a generator of their own, which r seeds: all processors draw them,
// and their number changes no bit.
func Randn(r *rand.Rand, std float64, shape ...int) *Tensor {
	if r == nil {
		return Meta(Float32, shape...)
	}
	t := New(shape...)
	normal := func(r *rand.Rand, d []float32) {
		for i := range d {
			d[i] = float32(r.NormFloat64() * std)
		}
	}
	d := t.Data()
	if len(d) <= drawn {
		normal(r, d)
		return t
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(d, drawn) {
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		g.Go(func() error { normal(own, part); return nil })
	}
	_ = g.Wait()
	return t
}

// drawn is how many elements one generator draws.
const drawn = 1 << 20

// Uniform returns samples from [lo, hi). A nil r returns a [Meta] tensor, to be loaded.
func Uniform(r *rand.Rand, lo, hi float64, shape ...int) *Tensor {
	if r == nil {
		return Meta(Float32, shape...)
	}
	t := New(shape...)
	d := t.Data()
	for i := range d {
		d[i] = float32(lo + r.Float64()*(hi-lo))
	}
	return t
}

// Shape is a copy of the dimensions; a scalar has none.
func (t *Tensor) Shape() []int { return slices.Clone(t.shape) }

// Rank is the number of dimensions.
func (t *Tensor) Rank() int { return len(t.shape) }

// Len is the number of elements.
func (t *Tensor) Len() int { return t.n }

// DType is the storage type.
func (t *Tensor) DType() DType { return t.dtype }

// Dim is dimension i; a negative i counts from the end.
func (t *Tensor) Dim(i int) int { return t.shape[t.axis("Dim", i)] }

func (t *Tensor) axis(op string, i int) int {
	if i < -len(t.shape) || i >= len(t.shape) {
		if len(t.shape) == 0 {
			Fail(op, "axis %d of a scalar, which has none", i)
		}
		Fail(op, "axis %d of shape %v: needs −%d to %d", i, t.shape, len(t.shape), len(t.shape)-1)
	}
	if i < 0 {
		i += len(t.shape)
	}
	return i
}

func (t *Tensor) last(op string) (rows, cols int) {
	if len(t.shape) == 0 {
		Fail(op, "needs at least one axis, got a scalar; Reshape(1) gives it one")
	}
	cols = t.shape[len(t.shape)-1]
	rows = 1
	for _, d := range t.shape[:len(t.shape)-1] {
		rows *= d
	}
	return rows, cols
}

// Dims2 returns the two dimensions of a matrix and panics for any other rank.
func (t *Tensor) Dims2() (a, b int) {
	t.rank("Dims2", 2)
	return t.shape[0], t.shape[1]
}

// Dims3 returns the three dimensions and panics for any other rank.
func (t *Tensor) Dims3() (a, b, c int) {
	t.rank("Dims3", 3)
	return t.shape[0], t.shape[1], t.shape[2]
}

// Dims4 returns the four dimensions and panics for any other rank.
func (t *Tensor) Dims4() (a, b, c, d int) {
	t.rank("Dims4", 4)
	return t.shape[0], t.shape[1], t.shape[2], t.shape[3]
}

func (t *Tensor) rank(op string, want int) {
	if t == nil {
		Fail(op, "an operand is nil")
	}
	if len(t.shape) != want {
		Fail(op, "needs %d axes, got shape %v", want, t.shape)
	}
}

// Data is the memory of a float32 tensor on the host, shared with t. It panics for other dtypes, devices and released
// tensors.
func (t *Tensor) Data() []float32 {
	t.want("Data", Float32)
	t.onHost("Data")
	return t.buf().Float32()
}

// IntData is the memory of an int32 tensor on the host, shared with t.
func (t *Tensor) IntData() []int32 {
	t.want("IntData", Int32)
	t.onHost("IntData")
	return t.buf().Int32()
}

// BFloat16Data is the memory of a bfloat16 tensor on the host as raw bits, shared with t.
func (t *Tensor) BFloat16Data() []uint16 {
	t.want("BFloat16Data", BFloat16)
	t.onHost("BFloat16Data")
	return t.buf().BFloat16()
}

// Bytes is the memory of a tensor of any dtype on the host, little-endian, shared with t.
func (t *Tensor) Bytes() []byte {
	t.want("Bytes", t.dtype)
	t.onHost("Bytes")
	return unsafe.Slice((*byte)(t.buf().Pointer()), t.dtype.Bytes(t.n))
}

// onHost panics unless t's memory is addressable.
func (t *Tensor) onHost(op string) {
	if d := t.buf().Device; !d.Host() {
		Fail(op, "%v %v is on %s, whose memory is not addressable; Host copies it", t.dtype, t.shape, d.Name())
	}
}

// Item is the only element of a float32 tensor, on any device.
func (t *Tensor) Item() float32 {
	if t.n != 1 {
		Fail("Item", "needs one element, got shape %v: use Data, Sum or Mean", t.shape)
	}
	return t.Host().Data()[0]
}

func (t *Tensor) want(op string, dt DType) {
	t.check(op)
	if t.dtype == dt {
		return
	}
	hint := "Cast converts it"
	switch {
	case dt == Int32:
		hint = "Ints makes one"
	case op == "Data" && !t.dtype.Quantized():
		hint = "IntData or BFloat16Data reads it"
	}
	Fail(op, "needs %v, got %v %v; %s", dt, t.dtype, t.shape, hint)
}

// check panics in the name of op unless t has memory.
func (t *Tensor) check(op string) {
	switch {
	case t == nil:
		Fail(op, "an operand is nil")
	case t.st == nil:
		Fail(op, "%v %v has no storage: load its weights or call Allocate first", t.dtype, t.shape)
	case t.st.buf() == nil:
		Fail(op, "%v %v was released, by Backward or by the end of its Scope: call Keep or Clone before that", t.dtype,
			t.shape)
	}
}

// IsMeta reports whether t has a shape but no storage yet.
func (t *Tensor) IsMeta() bool { return t.st == nil }

// Allocate gives a [Meta] tensor zeroed storage.
func (t *Tensor) Allocate() {
	if t.st == nil {
		t.st = NewOf(t.dtype, t.shape...).st
	}
}

// SetStorage makes t share src's storage and dtype: how a loader fills a weight. The shapes must be equal. A weight
// that becomes quantised does not train any more.
func (t *Tensor) SetStorage(src *Tensor) {
	if !slices.Equal(t.shape, src.shape) {
		Fail("SetStorage", "%v from %v: the shapes must be equal", t.shape, src.shape)
	}
	src.buf()
	t.st, t.dtype = src.st, src.dtype
	if t.dtype.Quantized() {
		t.trainable.Store(false)
	}
}

// CopyFrom overwrites t's elements with src's, which may be on another device, converting between float32 and bfloat16.
// The shapes must be equal.
func (t *Tensor) CopyFrom(src *Tensor) {
	if !slices.Equal(t.shape, src.shape) {
		Fail("CopyFrom", "%v from %v: the shapes must be equal", t.shape, src.shape)
	}
	t.check("CopyFrom")
	src.check("CopyFrom")
	if t.dtype != src.dtype && (t.dtype == Int32 || src.dtype == Int32) {
		Fail("CopyFrom", "%v %v from %v: only float32, bfloat16 and block types convert", t.dtype, t.shape, src.dtype)
	}
	if t.dtype != src.dtype {
		src.castable("CopyFrom", t.dtype)
	}
	if d := t.buf().Device; d == src.buf().Device {
		convert(t.buf(), src.buf())
		return
	}
	if t.dtype == src.dtype {
		transfer(t.buf(), src.buf())
		return
	}
	at := place{Device: src.buf().Device}
	same := at.loose(t.dtype, t.shape)
	convert(same.buf(), src.buf())
	transfer(t.buf(), same.buf())
	same.st.release()
}

func convert(dst, src *backend.Buffer) {
	if dst.DType == src.DType {
		dst.Device.Copy(dst, src)
	} else {
		dst.Device.Cast(dst, src)
	}
}

// Clone is a copy of t without history, in memory of its own that no scope recycles.
func (t *Tensor) Clone() *Tensor {
	t.check("Clone")
	var out *Tensor
	if d := t.buf().Device; d.Host() {
		out = NewOf(t.dtype, t.shape...)
	} else {
		out = place{Device: d}.loose(t.dtype, t.shape).Keep()
	}
	out.CopyFrom(t)
	out.noGrad = t.noGrad
	return out
}

// String describes t, with its elements if they are few.
func (t *Tensor) String() string {
	s := fmt.Sprintf("%v%v", t.dtype, t.shape)
	switch {
	case t.st == nil:
		return s + " without storage"
	case t.st.buf() == nil:
		return s + " released"
	case t.n > 16 || !t.buf().Device.Host():
		return s
	case t.dtype == Int32:
		return fmt.Sprint(s, t.IntData())
	case t.dtype != Float32:
		return fmt.Sprint(s, t.Detach().Cast(Float32).Data())
	}
	return fmt.Sprint(s, t.Data())
}
