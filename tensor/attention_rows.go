package tensor

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// AttentionRows is causal [Attention] of queries [B, T, H, D] over sequences of their own length: row b's are the
// last T of the first keys[b] positions of ks[b] and vs[b], [1, S, G, D] with an S of their own, at which the keys k
// and values v [B, T, G, D] of the queries' positions are written first. Of c only Window, Scale, Cap and Slopes are
// heeded. Each row gets the bits that Attention gives it alone. It is for caches: it panics if anything would be
// recorded.
func AttentionRows(q, k, v *Tensor, ks, vs []*Tensor, keys []int, c AttentionConfig) *Tensor {
	const op = "AttentionRows"
	q.want(op, Float32)
	B, T, H, D := q.Dims4()
	if len(ks) != B || len(vs) != B || len(keys) != B {
		Fail(op, "%d keys, %d values and %d lengths for q %v", len(ks), len(vs), len(keys), q.shape)
	}
	at := placeOf(q)
	out := at.like(q)
	a := backend.Attention{B: 1, T: T, H: H, D: D, Causal: true, Window: c.Window, Scale: c.Scale, Cap: c.Cap,
		Half: q.casts&castResult != 0}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(D)))
	}
	if c.Slopes != nil {
		if len(c.Slopes) != H {
			Fail(op, "%d Slopes for q %v: needs one for each of %d heads", len(c.Slopes), q.shape, H)
		}
		a.Slopes = From(c.Slopes, H).on(at).buf()
	}
	k.want(op, Float32)
	v.want(op, Float32)
	if len(k.shape) != 4 || !equalShapes(k, v) || k.shape[0] != B || k.shape[1] != T || k.shape[3] != D {
		Fail(op, "k %v and v %v for q %v: needs [B T G D]", k.shape, v.shape, q.shape)
	}
	if recording(q, k, v) {
		Fail(op, "is not recorded: mark q %v, k and v with NoGrad", q.shape)
	}
	each, fresh := T*H*D, T*k.shape[2]*D
	newK, newV := k.beside(q).buf(), v.beside(q).buf()
	list := make([]*backend.Attention, B)
	G := k.shape[2]
	for b, k := range ks {
		a := a
		v := vs[b]
		k.want(op, Float32)
		v.want(op, Float32)
		if recording(k, v) {
			Fail(op, "is not recorded: mark the keys and values %v of row %d with NoGrad", k.shape, b)
		}
		ok := len(k.shape) == 4 && equalShapes(k, v) && k.shape[0] == 1 && k.shape[2] == G && G > 0 && H%G == 0 &&
			k.shape[3] == D
		if !ok || keys[b] < T || keys[b] > k.shape[1] {
			Fail(op, "row %d of q %v: k %v, v %v, of which %d count: needs [1 S G D] and %d to S", b, q.shape, k.shape,
				v.shape, keys[b], T)
		}
		a.S, a.G, a.Keys, a.Offset = k.shape[1], k.shape[2], keys[b], keys[b]-T
		a.Q, a.Out = q.buf().Slice(b*each, each), out.buf().Slice(b*each, each)
		a.K, a.V = k.beside(q).buf(), v.beside(q).buf()
		a.NewK, a.NewV = newK.Slice(b*fresh, fresh), newV.Slice(b*fresh, fresh)
		at.usage().work(4 * uint64(H) * uint64(T) * uint64(keys[b]) * uint64(D))
		list[b] = &a
	}
	at.Attention(list...)
	record(out, op, nil, nil, q.NoGrad())
	return out
}

// OverwriteRow replaces positions to, to+1, … of t [1, S, ...] by positions from to end−1 of row b of src [B, T,
// ...], in place. It is for caches, as [Tensor.Overwrite] is.
func (t *Tensor) OverwriteRow(to int, src *Tensor, b, from, end int) {
	const op = "OverwriteRow"
	t.want(op, Float32)
	src.want(op, Float32)
	ok := len(t.shape) > 1 && len(src.shape) == len(t.shape) && t.shape[0] == 1 && b >= 0 && b < src.shape[0] &&
		from >= 0 && from <= end && end <= src.shape[1] && to >= 0 && to+end-from <= t.shape[1]
	for i := 2; ok && i < len(t.shape); i++ {
		ok = src.shape[i] == t.shape[i]
	}
	if !ok {
		Fail(op, "positions %d to %d of row %d of %v do not fit at %d of %v", from, end, b, src.shape, to, t.shape)
	}
	if t.needs() {
		Fail(op, "%v takes part in a gradient; Detach or Clone it", t.shape)
	}
	_, T, inner := around(src.shape, 1, 2)
	n := (end - from) * inner
	src = src.beside(t)
	t.buf().Device.CopyBlocks(t.buf(), to*inner, n, src.buf(), (b*T+from)*inner, n, 1, n, false)
}
