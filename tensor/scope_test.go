package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// A result belongs to the scope of any one of its operands, with and without gradients, and is the same as without a
// scope.
func TestResultsBelongToTheScopeOfTheirOperands(t *testing.T) {
	for _, c := range gradientCases() {
		for i := range c.in {
			for _, frozen := range []bool{false, true} {
				in := slices.Clone(c.in)
				if frozen {
					for k := range in {
						in[k] = in[k].NoGrad()
					}
				}
				want := c.f(in).Clone().Data()
				var y *T
				tensor.Scope(func(s *tensor.Arena) {
					in[i] = in[i].In(s)
					y = c.f(in)
					require.Same(t, s, y.Arena(), "%s, operand %d, frozen %v", c.name, i, frozen)
					require.Equal(t, want, slices.Clone(y.Data()), c.name)
				})
				require.Error(t, tensor.Catch(func() { y.Data() }), "%s, operand %d, frozen %v: not recycled", c.name, i, frozen)
			}
		}
	}
}

// Ids and labels carry a scope too, and ArgMax passes it on.
func TestIntegersCarryScopes(t *testing.T) {
	table, ids := tensor.Full(1, 5, 3), tensor.Ints([]int{3, 1}, 2)
	tensor.Scope(func(s *tensor.Arena) {
		id := ids.In(s)
		for name, y := range map[string]*T{
			"Gather":             tensor.Gather(table, id),
			"ScatterAddRows":     tensor.ScatterAddRows(5, id, tensor.Full(1, 2, 3)),
			"ScatterRows":        tensor.ScatterRows(table, id, tensor.Full(2, 2, 3)),
			"CrossEntropy":       tensor.CrossEntropy(tensor.Full(1, 2, 4), id),
			"LinearCrossEntropy": tensor.LinearCrossEntropy(tensor.Full(1, 2, 3), table, id),
			"Cast":               id.Cast(tensor.Float32),
			"ArgMax":             table.In(s).ArgMax(1),
			"NoGrad":             id.NoGrad(),
			"Detach":             id.Detach(),
			"GatherAlong":        tensor.Full(1, 5).GatherAlong(0, id),
			"GatherBatch":        table.Reshape(1, 5, 3).GatherBatch(id.Reshape(1, 2)),
			"OneHot":             tensor.OneHot(id, 5),
			"Less":               table.In(s).Less(table),
			"Where":              tensor.Where(id.Cast(tensor.Float32), tensor.Full(1, 2), tensor.Full(2, 2)),
			"MaskedFill":         tensor.Full(1, 2).MaskedFill(id.Cast(tensor.Float32), 3),
			"TopK":               second(table.In(s).TopK(2, 0)),
		} {
			require.Same(t, s, y.Arena(), name)
		}
	})
}

func second(_, at *T) *T { return at }

func TestInnermostScopeWins(t *testing.T) {
	x := tensor.Full(3, 7)
	tensor.Scope(func(outer *tensor.Arena) {
		a := x.In(outer)
		var b *T
		tensor.Scope(func(inner *tensor.Arena) {
			b = a.Add(x.In(inner))
			require.Same(t, inner, b.Arena())
			require.Same(t, inner, x.In(inner).Add(a).Arena())
			require.Same(t, inner, a.In(inner).Arena())
			require.Same(t, inner, x.In(inner).In(outer).Arena())
		})
		require.Error(t, tensor.Catch(func() { b.Data() }))
		require.Equal(t, float32(6), a.Add(a).Data()[0])

		var kept *T // outlives its scope, and what is computed from it belongs to nobody
		tensor.Scope(func(inner *tensor.Arena) { kept = x.In(inner).Scale(2).Keep() })
		require.Equal(t, float32(12), kept.Scale(2).Data()[0])
		require.Same(t, outer, kept.Add(a).Arena())
	})
	require.Nil(t, x.Scale(2).Arena())
	require.Same(t, x, x.In(nil))
}

// What a scope costs is counted for it alone.
func TestScopeCounts(t *testing.T) {
	x, w := tensor.Full(1, 4, 100), tensor.Full(1, 50, 100).Param()
	tensor.Scope(func(s *tensor.Arena) {
		tensor.Scope(func(other *tensor.Arena) { x.In(other).MatMulT(w).Exp() })
		require.Zero(t, s.FLOPs())
		require.Zero(t, s.Peak())
		y := x.In(s).MatMulT(w)
		require.EqualValues(t, 2*4*50*100, s.FLOPs())
		require.EqualValues(t, 4*4*50, s.Peak())
		y.Sum().Backward()
		require.EqualValues(t, 2*2*4*50*100, s.FLOPs(), "only the weight takes a gradient")
		require.EqualValues(t, 4*(2*4*50+2), s.Peak(), "y and its gradient, the loss and its own")
	})
}

func TestCheckFiniteIsAboutItsScope(t *testing.T) {
	x := tensor.Full(100, 3)
	err := tensor.Catch(func() {
		tensor.CheckFinite(func(s *tensor.Arena) {
			x.Exp() // another's
			tensor.CheckFinite(func(inner *tensor.Arena) { x.In(inner).Scale(2) })
			x.In(s).Scale(0.5).Scale(4).Exp()
		})
	})
	require.EqualError(t, err, "tensor: Exp: the result [3] holds NaN or Inf")
}

// Attention over sequences that are packed into one row counts about what it counts in rows of their own.
func TestAttentionFLOPs(t *testing.T) {
	count := func(B, T int, c tensor.AttentionConfig) (n uint64) {
		tensor.Scope(func(s *tensor.Arena) {
			q := tensor.New(B, T, 2, 8).In(s)
			tensor.Attention(q, q, q, c)
			n = s.FLOPs()
		})
		return n
	}
	const n, T = 6, 50
	from := make([]int32, n*T)
	for i := range from {
		from[i] = int32(i / T * T)
	}
	apart := count(n, T, tensor.AttentionConfig{Causal: true})
	require.EqualValues(t, 4*2*8*n*T*T, apart)
	packed := count(1, n*T, tensor.AttentionConfig{Causal: true, From: from})
	require.InEpsilon(t, apart, packed, 1.01/T)
	require.EqualValues(t, apart, count(n, T, tensor.AttentionConfig{Causal: true, Prefix: make([]int32, n)}))
	one := make([]int32, 3*T)
	for i := range one {
		one[i] = 1
	}
	require.EqualValues(t, 4*2*8*3*T, count(3, T, tensor.AttentionConfig{To: one}))
}

// Goroutines with scopes of their own compute what each computes alone, on shared weights, and release in time.
func TestScopesOfManyGoroutines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := [2]*T{tensor.Randn(r, 0.1, 33, 17).Param(), tensor.Randn(r, 0.1, 17, 33).Param()}
	frozen := tensor.Randn(r, 0.1, 17, 17)
	work := func(seed uint64) string {
		r := rand.New(rand.NewPCG(seed, 3))
		var out []float32
		for range 20 {
			tensor.Scope(func(s *tensor.Arena) {
				x := tensor.Randn(r, 1, 1+r.IntN(9), 17).NoGrad().In(s)
				for _, m := range w {
					x = tensor.Compact(func(in []*T) *T { return in[0].MatMulT(m).GELU() }, x)
				}
				own := tensor.Full(0.5, 17).Param()
				x.MatMulT(frozen).Mul(own.In(s)).Sum() // nothing is recorded of x
				y := x.Detach().MatMulT(frozen).Mul(own)
				l := y.Mul(y).Sum()
				l.Backward()
				out = append(out, append(own.Grad().Data(), l.Item(), x.Data()[0])...)
				tensor.Scope(func(s *tensor.Arena) { out = append(out, x.In(s).Scale(2).Sum().Item()) })
			})
		}
		return fmt.Sprint(out)
	}
	var want [8]string
	for i := range want {
		want[i] = work(uint64(i))
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			for range 5 {
				if got := work(uint64(i)); got != want[i] {
					t.Errorf("goroutine %d computes something else than alone", i)
				}
			}
		})
	}
	wg.Wait()
}

// Goroutines may share a scope.
func TestSharedScope(t *testing.T) {
	var ys [8][]*T
	tensor.Scope(func(s *tensor.Arena) {
		x := tensor.Full(2, 5).In(s)
		var wg sync.WaitGroup
		for i := range ys {
			wg.Go(func() {
				for range 50 {
					ys[i] = append(ys[i], x.Scale(float32(i)))
				}
			})
		}
		wg.Wait()
		for i := range ys {
			require.Equal(t, float32(2*i), ys[i][49].Data()[0])
		}
	})
	for _, list := range ys {
		for _, y := range list {
			require.Error(t, tensor.Catch(func() { y.Scale(2) }))
		}
	}
}

// A graph that outlives what it was recorded from says so, and computes nothing from memory that is another's by now.
func TestLateBackward(t *testing.T) {
	q := normal(1, 4, 2, 3)
	var y *T
	tensor.Scope(func(s *tensor.Arena) {
		h := q.In(s).Scale(2)
		y = tensor.Attention(h, h, h, tensor.AttentionConfig{}).Sum().Keep()
	})
	err := tensor.Catch(func() { y.Backward() })
	require.ErrorContains(t, err, "was released")
}
