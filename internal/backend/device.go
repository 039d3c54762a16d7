package backend

// Device owns memory and executes operations on it. All operations of one device are ordered: a later one sees what an
// earlier one wrote. All buffers of one call belong to the device, except that Copy also moves memory from and to the
// host. Unless a comment says otherwise, buffers are Float32 and contiguous row-major, destinations are overwritten,
// and a destination may not overlap a source; "dst may be x" means the very same buffer.
// Results do not depend on the number of threads, nor on anything else but operands, sizes and Unit.
//
// NaN and Inf pass through as in IEEE arithmetic, with one exception: a product may run on a matrix unit that computes
// in bfloat16 (Intel's AMX). There every sum that an infinite element contributes to is NaN, one above 3.39e38 in
// magnitude counts as infinite, and subnormal numbers count as 0. So a result is never finite where it should not be.
// Subnormal numbers count as 0, too, where VDPBF16PS multiplies what is bfloat16 or is rounded to it (a Unit with
// "+bf16").
type Device interface {
	Name() string

	// Unit names everything besides operands and sizes that results depend on, such as the set of instructions: devices
	// of equal units give equal bits.
	Unit() string

	Host() bool // buffers are ordinary host memory

	Alloc(dt DType, n int) *Buffer // contents undefined; n may be 0
	Free(b *Buffer)                // b came from Alloc and is not used again

	Movement
	Elementwise
	Rows
	Products
	Convolutions
	Images
	Lines
	Optimizer
}

// Movement copies and rearranges elements.
type Movement interface {
	Fill(dst *Buffer, v float32) // dst Float32 or BFloat16
	Copy(dst, src *Buffer)       // same dtype and length; dst or src may be of a host device
	// Cast converts between Float32 and BFloat16 (to nearest even, NaN stays NaN), from Int32 to Float32, from a block
	// type to Float32, and from Float32 to a block type that can be encoded.
	Cast(dst, src *Buffer)

	// CopyBlocks copies rows×cols elements: row i from src[srcOff+i·srcStride:] to dst[dstOff+i·dstStride:]. With add
	// it adds.
	CopyBlocks(dst *Buffer, dstOff, dstStride int, src *Buffer, srcOff, srcStride int, rows, cols int, add bool)

	// Permute writes src of the given shape with its axes reordered: axis i of dst is axis perm[i] of src.
	Permute(dst, src *Buffer, shape, perm []int)

	// GatherRows sets row i of dst to row ids[i] of table (Float32, BFloat16 or a block type, widened); cols is the row
	// length.
	GatherRows(dst, table, ids *Buffer, cols int)

	// ScatterAddRows adds row i of src to row ids[i] of dst, in order of i.
	ScatterAddRows(dst, src, ids *Buffer, cols int)

	// Patches rearranges images [b, c, h, w] into rows [b·(h/p)·(w/p), c·p·p], patches in row-major order, or with
	// inverse rows into images.
	Patches(dst, src *Buffer, b, c, h, w, p int, inverse bool)

	// Expand sets dst[o, i, j] = scale·src[o, j] for i < n: the gradient of a sum over the middle axis.
	Expand(dst, src *Buffer, outer, n, inner int, scale float32)
}

// Unary names an elementwise function. Identity is also the absent activation of MatMul.
type Unary uint8

const (
	Identity  Unary = iota
	Exp             // eˣ
	Log             // ln x
	Sqrt            // √x
	Rsqrt           // 1/√x
	Tanh            //
	Sigmoid         // 1/(1+e⁻ˣ)
	ReLU            // max(x, 0)
	SiLU            // x·σ(x)
	GELU            // x·Φ(x), with erf
	GELUTanh        // its tanh approximation, as torch's gelu(approximate="tanh")
	QuickGELU       // x·σ(1.702x)
)

// Binary names an elementwise function of two operands.
type Binary uint8

const (
	Add Binary = iota
	Sub
	Mul
	Div
	Less      // 1 where a < b, else 0; NaN is neither less than a number nor equal to one
	LessEqual // 1 where a ≤ b, else 0
	Equal     // 1 where a = b, else 0
)

// Elementwise works element by element.
type Elementwise interface {
	Unary(op Unary, dst, x *Buffer) // dst may be x

	// UnaryGrad sets dx = dy·f'(x), given x and y = f(x). dx may be dy.
	UnaryGrad(op Unary, dx, x, y, dy *Buffer)

	Affine(dst, x *Buffer, a, b float32) // dst = a·x + b; dst may be x

	// Binary sets dst = op(a, b) over dims, where a and b advance by their own strides (in elements, 0 along a
	// broadcast axis). dst is contiguous, and may be an operand of the same shape.
	Binary(op Binary, dst, a, b *Buffer, dims, aStrides, bStrides []int)

	// Select sets dst = a where c is not 0, else b, over dims, where each operand advances by its own strides. dst is
	// contiguous.
	Select(dst, c, a, b *Buffer, dims, cStrides, aStrides, bStrides []int)

	// SumTo adds src (contiguous, of shape dims) up along the axes in which dstStrides is 0: the gradient of a
	// broadcast.
	SumTo(dst, src *Buffer, dims, dstStrides []int)

	Accumulate(dst, src *Buffer, alpha float32) // dst += alpha·src; dst, src Float32

	// Dropout sets dst[i] = x[i]/(1−p) where the i-th random number of the stream key is ≥ p, else 0; see [Uniform].
	// dst may be x.
	Dropout(dst, x *Buffer, p float32, key uint64)

	SwiGLU(dst, gate, up *Buffer)                // silu(gate)·up; dst may be gate or up
	SwiGLUGrad(dGate, dUp, gate, up, dy *Buffer) // dGate or dUp may be dy
	SumSquares(xs []*Buffer) float64             // Σ x² over all buffers, in a fixed order, in float64
	// first: the index in xs of the first buffer holding NaN or Inf, else -1
	AllFinite(xs []*Buffer) (ok bool, first int)
}

// Reduction names a reduction over one axis.
type Reduction uint8

const (
	Sum Reduction = iota
	Max           // NaN wins
)

// Rows reduces or normalises rows. A matrix has rows·cols elements; per-row results are Float32 [rows].
type Rows interface {
	Reduce(op Reduction, dst, x *Buffer, outer, n, inner int) // [outer, n, inner] → [outer, inner]; an empty Sum is 0
	ArgMax(dst, x *Buffer, outer, n, inner int)               // dst Int32; the first of equals; NaN counts as largest
	// MaxGrad sets dx to 0 except dx[o, at[o, j], j] = dy[o, j]: the gradient of Max, at being what ArgMax found
	// (Int32).
	MaxGrad(dx, at, dy *Buffer, outer, n, inner int)

	Softmax(dst, x *Buffer, rows, cols int)           // dst may be x
	SoftmaxGrad(dx, y, dy *Buffer, rows, cols int)    // dx = y·(dy − Σ dy·y); dx may be dy
	LogSoftmax(dst, x *Buffer, rows, cols int)        // dst may be x
	LogSoftmaxGrad(dx, y, dy *Buffer, rows, cols int) // dx = dy − eʸ·Σ dy; dx may be dy

	// RMSNorm sets dst = w·x·rstd, rstd = 1/√(mean(x²)+eps). w is Float32 or BFloat16 [cols]. rstd may be nil.
	RMSNorm(dst, rstd, x, w *Buffer, rows, cols int, eps float32)
	// RMSNormGrad fills dx and dw ([cols]); either may be nil. dx may be dy.
	RMSNormGrad(dx, dw, x, w, rstd, dy *Buffer, rows, cols int)

	// LayerNorm sets dst = (x−mean)·rstd·w + b, with the biased variance. b may be nil; mean and rstd may both be nil.
	LayerNorm(dst, mean, rstd, x, w, b *Buffer, rows, cols int, eps float32)
	// LayerNormGrad fills dx, dw and db ([cols]); each may be nil. dx may be dy.
	LayerNormGrad(dx, dw, db, x, w, mean, rstd, dy *Buffer, rows, cols int)

	// L2Normalize sets dst = x/max(‖x‖, eps) for each row, and norm = max(‖x‖, eps).
	L2Normalize(dst, norm, x *Buffer, rows, cols int, eps float32)
	L2NormalizeGrad(dx, y, norm, dy *Buffer, rows, cols int) // dx = (dy − y·Σ dy·y)/norm; dx may be dy

	// CrossEntropy sets loss[i] = lse[i] − logits[i, labels[i]], lse[i] = ln Σ e^logits; rows whose label is negative
	// get loss 0.
	CrossEntropy(loss, lse, logits, labels *Buffer, rows, cols int)
	// CrossEntropyGrad sets dx = scale·(softmax − onehot), 0 in rows whose label is negative. dx may be logits.
	CrossEntropyGrad(dx, logits, lse, labels *Buffer, rows, cols int, scale float32)

	// RoPE rotates pairs (j, j+r/2), j < r/2, of every head of x [b, t, heads, d] by the angle whose cosine and sine
	// are row t (or row b·T+t, if cos holds b·t rows) of cos and sin, [·, r/2]. Elements from r on are copied. With
	// inverse the angle is negated. dst may be x.
	RoPE(dst, x, cos, sin *Buffer, b, t, heads, d, r int, inverse bool)
}

// MatMul describes C = act(A·B + bias) for Batch products of size M×N×K. A is Float32 or BFloat16, C is Float32, and B
// is either or, if Batch is 1 or BStride 0, a block type: a weight, stored in rows of K (BT) or of N elements.
type MatMul struct {
	A, B, C *Buffer
	M, N, K int
	AT, BT  bool // A is stored [K, M]; B is stored [N, K], as a Linear's weight

	Batch                     int // ≥ 0
	AStride, BStride, CStride int // elements from one product to the next; 0 shares A or B

	Accumulate bool    // C += A·B, without bias or activation
	Half       bool    // float32 A and B are rounded to bfloat16 first, to nearest even; not if B is a block type
	Rounded    bool    // a B in blocks: A may be rounded to 8 bits in blocks of 32 of a row, at any M or none
	Bias       *Buffer // [N], Float32 or BFloat16, or nil
	Act        Unary   // Identity: none
	Pre        *Buffer // if not nil: receives A·B + bias, what Act was applied to; laid out as C
}

// DecodeRows is a number of rows up to which a product with BT and a shared B computes every row as if it were alone,
// to the last bit: as long as M·Batch ≤ DecodeRows, a row of C depends on its row of A, on B and on the rest of
// MatMul's fields only.
const DecodeRows = 24

// Attention describes softmax(scale·q·kᵀ + bias)·v. Query t of batch row b sees key s iff s < Keys, Start[b] ≤ s <
// End[b], From[b·T+t] ≤ s < To[b·T+t], and, if Causal, s ≤ Offset+t and, if also Window > 0, s > Offset+t−Window. A
// query that sees no key yields zeros and LSE −Inf.
type Attention struct {
	Q, Out  *Buffer // [B, T, H, D]
	K, V    *Buffer // [B, S, G, D]; head h reads group h·G/H
	LSE     *Buffer // [B, H, T], log-sum-exp of the scores, or nil when there will be no gradient
	B, T, S int
	H, G, D int
	Keys    int // keys that exist, ≤ S

	// NewK and NewV, [B, T, G, D] or nil, are the last T of the Keys and their values, to be written to K and V first.
	NewK, NewV *Buffer

	Causal bool
	Offset int // position of query 0 among the keys
	Window int // 0: unlimited
	Scale  float32
	Cap    float32 // > 0: the scaled score s becomes Cap·tanh(s/Cap)
	Slopes *Buffer // [H] or nil: ALiBi adds Slopes[h]·(s−Offset−t)
	Start  *Buffer // Int32 [B] or nil
	End    *Buffer // Int32 [B] or nil
	From   *Buffer // Int32 [B, T] or nil; does not decrease along a row
	To     *Buffer // Int32 [B, T] or nil; does not decrease along a row

	// Half lets a device round what it multiplies to bfloat16, where that is faster: queries, keys, values,
	// probabilities, and their gradients. Sums, scores and probabilities themselves are float32.
	Half bool
}

// Products are what most of the time goes into.
type Products interface {
	MatMul(p *MatMul)
	Attention(list ...*Attention) // each for itself, such as sequences of different lengths
	// AttentionGrad fills dq [B, T, H, D], dk and dv [B, S, G, D] (0 where no query looks), from the forward's Out and
	// LSE. Any may be nil.
	AttentionGrad(a *Attention, dq, dk, dv, dOut *Buffer)
}

// AdamW is one optimizer step: p ← p·(1−LR·WeightDecay); m ← β₁m+(1−β₁)g; v ← β₂v+(1−β₂)g²;
// p ← p − LR·(m/(1−β₁ᵗ)) / (√v/√(1−β₂ᵗ) + Eps), with g the gradient times GradScale and t = Step ≥ 1.
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	GradScale                          float64
	Step                               int
}

// AdamWItem is one parameter. For a BFloat16 Param, Master holds its Float32 value, and Param receives the rounded
// result; else nil.
type AdamWItem struct{ Param, Master, Grad, M, V *Buffer }

// Optimizer updates parameters in place.
type Optimizer interface {
	AdamW(c AdamW, items []AdamWItem)
}
