package tensor

import (
	"math"
	"slices"
)

// ranges checks Prefix, From and To, and turns Prefix and Causal into To.
func (c *AttentionConfig) ranges(q *Tensor, keys int) {
	const op = "Attention"
	B, T, _, _ := q.Dims4()
	switch {
	case c.Prefix != nil && !c.Causal:
		Fail(op, "Prefix needs Causal: without it every key is open already")
	case c.Prefix != nil && c.Window > 0:
		Fail(op, "Prefix with a Window of %d: a sliding window has no prefix; use From and To", c.Window)
	case c.Prefix != nil && len(c.Prefix) != B:
		Fail(op, "Prefix has length %d, but q %v has %d rows", len(c.Prefix), q.shape, B)
	}
	for _, r := range []struct {
		name string
		at   []int32
	}{{"From", c.From}, {"To", c.To}} {
		if r.at == nil {
			continue
		}
		if len(r.at) != B*T {
			Fail(op, "%s has length %d, but q %v has %d queries", r.name, len(r.at), q.shape, B*T)
		}
		for i := 1; i < len(r.at); i++ {
			if i%T > 0 && r.at[i] < r.at[i-1] {
				Fail(op, "%s falls from %d to %d at query %d of row %d: ranges may not go back; use Bias", r.name,
					r.at[i-1], r.at[i], i%T, i/T)
			}
		}
	}
	if c.Prefix == nil {
		return
	}
	c.Causal = false
	to := make([]int32, B*T)
	for i := range to {
		to[i] = max(int32(keys-T+i%T+1), c.Prefix[i/T])
		if c.To != nil {
			to[i] = min(to[i], c.To[i])
		}
	}
	c.To = to
}

// sees reports whether query t of row b attends to key s of the given number.
func (c *AttentionConfig) sees(b, t, s, T, keys int) bool {
	at := keys - T + t
	switch i := b*T + t; {
	case c.Start != nil && s < int(c.Start[b]), c.End != nil && s >= int(c.End[b]):
		return false
	case c.From != nil && s < int(c.From[i]), c.To != nil && s >= int(c.To[i]):
		return false
	case c.Causal && (s > at || c.Window > 0 && s <= at-c.Window):
		return false
	}
	return true
}

// composed is Attention out of smaller operations, which form all scores. A query that sees no key attends to an
// additional one whose value is 0.
func (c *AttentionConfig) composed(q, k, v *Tensor, keys int) *Tensor {
	const op = "Attention"
	B, T, H, D := q.Dims4()
	G := k.shape[2]
	bias := c.Bias
	bias.want(op, Float32)
	fits := len(bias.shape) == 4
	for i, n := range []int{B, H, T, keys} {
		fits = fits && (bias.shape[i] == n || bias.shape[i] == 1 && i < 3)
	}
	if !fits {
		Fail(op, "Bias %v: needs [%d or 1, %d or 1, %d or 1, %d]", bias.shape, B, H, T, keys)
	}
	scale := c.Scale
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(D)))
	}
	a := placeOf(q, k, v, bias).arena
	q = q.In(a).Transpose(0, 2, 1, 3).Reshape(B, G, H/G*T, D)
	k = k.In(a).Slice(1, 0, keys).Transpose(0, 2, 1, 3)   // [B, G, S, D]
	v = v.In(a).Slice(1, 0, keys).Transpose(0, 2, 1, 3)   // [B, G, S, D]
	z := q.MatMulT(k).Scale(scale).Reshape(B, H, T, keys) // [B, H, T, S]
	if c.Cap > 0 {
		z = z.Scale(1 / c.Cap).Tanh().Scale(c.Cap)
	}
	z = z.Add(bias)
	if mask, plain := c.mask(B, T, H, keys); !plain {
		z = z.Add(mask)
	}
	if blind := blindQueries(z, keys); slices.Contains(blind, 0) {
		z = Concat(3, z, Wrap(blind, B, H, T, 1))
		v = Concat(2, v, New(B, G, 1, D))
	}
	p := z.Softmax().Reshape(B, G, H/G*T, z.shape[3])
	return p.MatMul(v).Reshape(B, H, T, D).Transpose(0, 2, 1, 3)
}

// mask is 0, or ALiBi's bias, at what a query sees, else −Inf: [B, H or 1, T, keys]. plain says that it is 0
// throughout.
func (c *AttentionConfig) mask(B, T, H, keys int) (mask *Tensor, plain bool) {
	heads := 1
	if c.Slopes != nil {
		heads = H
	}
	m := make([]float32, B*heads*T*keys)
	plain = c.Slopes == nil
	for i := range m {
		b, h, t, s := i/(heads*T*keys), i/(T*keys)%heads, i/keys%T, i%keys
		switch {
		case !c.sees(b, t, s, T, keys):
			m[i], plain = float32(math.Inf(-1)), false
		case c.Slopes != nil:
			m[i] = c.Slopes[h] * float32(s-(keys-T)-t)
		}
	}
	return Wrap(m, B, heads, T, keys), plain
}

// blindQueries is 0 for each row of scores that are all −Inf, and −Inf for the others.
func blindQueries(z *Tensor, keys int) []float32 {
	blind, scores := make([]float32, z.n/max(keys, 1)), z.Detach().Host().Data()
	for i := range blind {
		for _, v := range scores[i*keys : (i+1)*keys] {
			if !math.IsInf(float64(v), -1) {
				blind[i] = float32(math.Inf(-1))
				break
			}
		}
	}
	return blind
}
