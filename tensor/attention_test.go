package tensor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// A Bias of zeros changes nothing: the composed attention equals the fused one under every mask, gradients included.
func TestBiasedAttentionIsFused(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	ints := func(x ...int32) []int32 { return x }
	for name, c := range map[string]tensor.AttentionConfig{
		"full": {}, "causal": {Causal: true}, "window": {Causal: true, Window: 2}, "keys": {Causal: true,
			Keys: 5}, "scale": {Scale: -0.3},
		"padded": {Start: ints(2, 0), End: ints(7, 4)}, "blind": {Causal: true,
			Start: ints(0, 6)}, "ALiBi": {Causal: true, Slopes: []float32{.5, .1, .3, 0}},
		"prefix": {Causal: true, Prefix: ints(6, 0)}, "ranges": {From: ints(0, 0, 1, 4, 0, 0, 0, 0),
			To: ints(0, 1, 5, 7, 2, 2, 2, 9)},
	} {
		q, k, v := tensor.Randn(r, 1, 2, 4, 4, 3).Param(), tensor.Randn(r, 1, 2, 7, 2, 3).Param(), tensor.Randn(r, 1,
			2, 7, 2, 3).Param()
		dy := tensor.Randn(r, 1, 2, 4, 4, 3)
		keys := 7
		if c.Keys > 0 {
			keys = c.Keys
		}
		var found [2][]*tensor.Tensor
		for i := range found {
			if i == 1 {
				c.Bias = tensor.New(1, 1, 1, keys)
			}
			y := tensor.Attention(q, k, v, c)
			found[i] = append(found[i], y.Detach().Clone())
			y.BackwardFrom(dy)
			for _, x := range []*tensor.Tensor{q, k, v} {
				found[i] = append(found[i], x.Grad().Clone())
				x.ZeroGrad()
			}
		}
		for j, want := range found[0] {
			t.Run(name, func(t *testing.T) { tensortest.Close(t, found[1][j], want, 1e-5, 1e-5) })
		}
	}
}

// A prefix attends to itself in both directions: its outputs are those of full attention over it, and what follows is
// causal.
func TestPrefix(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	const T, P = 67, 19
	q, k, v := tensor.Randn(r, 1, 1, T, 2, 8), tensor.Randn(r, 1, 1, T, 2, 8), tensor.Randn(r, 1, 1, T, 2, 8)
	y := tensor.Attention(q, k, v, tensor.AttentionConfig{Causal: true, Prefix: []int32{P}})
	full := tensor.Attention(q.Slice(1, 0, P), k, v, tensor.AttentionConfig{End: []int32{P}})
	causal := tensor.Attention(q, k, v, tensor.AttentionConfig{Causal: true})
	tensortest.Close(t, y.Slice(1, 0, P), full, 1e-6, 1e-6)
	tensortest.Close(t, y.Slice(1, P, T), causal.Slice(1, P, T), 1e-6, 1e-6)
	require.NotEqual(t, y.Slice(1, 0, P).Data(), causal.Slice(1, 0, P).Data())
}

// A mask of any form: what is hidden with −Inf has no part in the result, and a query that sees nothing yields 0.
func TestAttentionMask(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	hidden := float32(math.Inf(-1))
	q, k, v := tensor.Randn(r, 1, 1, 3, 1, 4), tensor.Randn(r, 1, 1, 4, 1, 4), tensor.Randn(r, 1, 1, 4, 1, 4)
	mask := tensor.From([]float32{0, hidden, 0, hidden, hidden, hidden, hidden, hidden, hidden, 0, hidden, hidden}, 1,
		1, 3, 4)
	y := tensor.Attention(q, k, v, tensor.AttentionConfig{Bias: mask})
	two := tensor.Gather(k.Reshape(4, 4), tensor.Ints([]int{0, 2}, 2)).Reshape(1, 2, 1, 4)
	vals := tensor.Gather(v.Reshape(4, 4), tensor.Ints([]int{0, 2}, 2)).Reshape(1, 2, 1, 4)
	tensortest.Close(t, y.Slice(1, 0, 1), tensor.Attention(q.Slice(1, 0, 1), two, vals, tensor.AttentionConfig{}),
		1e-6, 1e-6)
	require.Equal(t, make([]float32, 4), y.Slice(1, 1, 2).Data())
	require.Equal(t, v.Slice(1, 1, 2).Data(), y.Slice(1, 2, 3).Data())
}

func TestAttentionMaskFaults(t *testing.T) {
	q, k := tensor.New(2, 3, 2, 4), tensor.New(2, 5, 2, 4)
	for says, c := range map[string]tensor.AttentionConfig{
		"Prefix needs Causal":                         {Prefix: []int32{1, 1}},
		"Prefix with a Window of 2":                   {Causal: true, Window: 2, Prefix: []int32{1, 1}},
		"Prefix has length 1":                         {Causal: true, Prefix: []int32{1}},
		"From has length 3":                           {From: make([]int32, 3)},
		"To falls from 4 to 3 at query 2 of row 1":    {To: []int32{1, 1, 1, 4, 4, 3}},
		"Bias [1 1 3 4]: needs [2 or 1, 2 or 1, 3 or": {Bias: tensor.New(1, 1, 3, 4)},
	} {
		require.ErrorContains(t, tensor.Catch(func() { tensor.Attention(q, k, k, c) }), says)
	}
}

// Rows of their own length get what each gets alone, to the last bit.
func TestAttentionRows(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, T := range []int{1, 3, 20} {
		for _, c := range []tensor.AttentionConfig{{}, {Window: 5, Scale: 0.3}, {Slopes: []float32{.5, .1, .3, 0}}} {
			q := tensor.Randn(r, 1, 3, T, 4, 8)
			var ks, vs, wantK, wantV []*tensor.Tensor
			keys := []int{T, 40, 258} // of the last, three are on both sides of a task's end
			k, v := tensor.Randn(r, 1, 3, T, 2, 8), tensor.Randn(r, 1, 3, T, 2, 8)
			for b, n := range keys {
				ks, vs = append(ks, tensor.Randn(r, 1, 1, n+7, 2, 8)), append(vs, tensor.Randn(r, 1, 1, n+7, 2, 8))
				wantK, wantV = append(wantK, ks[b].Clone()), append(wantV, vs[b].Clone())
				wantK[b].OverwriteRow(n-T, k, b, 0, T)
				wantV[b].OverwriteRow(n-T, v, b, 0, T)
			}
			y := tensor.AttentionRows(q, k, v, ks, vs, keys, c)
			c.Causal = true
			for b := range 3 {
				c.Keys = keys[b]
				want := tensor.Attention(q.Slice(0, b, b+1), wantK[b], wantV[b], c)
				require.Equal(t, want.Data(), y.Slice(0, b, b+1).Data(), "T %d, row %d", T, b)
				require.Equal(t, wantK[b].Data(), ks[b].Data(), "keys, T %d, row %d", T, b)
				require.Equal(t, wantV[b].Data(), vs[b].Data(), "values, T %d, row %d", T, b)
			}
		}
	}
	q, k := tensor.New(1, 2, 2, 4), tensor.New(1, 5, 2, 4)
	for says, f := range map[string]func(){
		"k [1 5 2 4] and v [1 2 2 4] for q": func() {
			tensor.AttentionRows(q, k, q, []*tensor.Tensor{k}, []*tensor.Tensor{k}, []int{5}, tensor.AttentionConfig{})
		},
		"of which 6 count": func() {
			tensor.AttentionRows(q, q, q, []*tensor.Tensor{k}, []*tensor.Tensor{k}, []int{6},
				tensor.AttentionConfig{})
		},
		"is not recorded": func() {
			tensor.AttentionRows(tensor.New(1, 2, 2, 4).Param(), q, q, []*tensor.Tensor{k}, []*tensor.Tensor{k},
				[]int{5}, tensor.AttentionConfig{})
		},
		"do not fit at 4": func() { k.OverwriteRow(4, tensor.New(2, 3, 2, 4), 1, 0, 2) },
		"1 keys, 0 values": func() {
			tensor.AttentionRows(q, q, q, []*tensor.Tensor{k}, nil, []int{5},
				tensor.AttentionConfig{})
		},
		"positions 0 to 4 of": func() { k.OverwriteRow(0, tensor.New(2, 3, 2, 4), 1, 0, 4) },
	} {
		require.ErrorContains(t, tensor.Catch(f), says)
	}
	k.OverwriteRow(3, tensor.From([]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
		21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}, 2, 2, 2, 4), 1, 1, 2)
	require.Equal(t, []float32{24, 25, 26, 27, 28, 29, 30, 31}, k.Data()[24:32])
}
