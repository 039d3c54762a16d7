package conformance

import (
	"runtime"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// threads: the same bits whatever the number of processors.
func threads(s *suite) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first [][]uint32
	const rows, cols = 131, 519
	a, b, w := s.normal(rows*cols, 1), s.normal(rows*cols, 1), s.uniform(cols, 0.5, 1.5)
	q := s.normal(2*100*3*32, 1)
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(s.r.IntN(cols))
	}
	for _, procs := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS(procs)
		s.start("GOMAXPROCS=%d", procs)
		var got [][]uint32
		var names []string
		keep := func(name string, bs ...*backend.Buffer) {
			for _, b := range bs {
				got, names = append(got, bits(b)), append(names, name)
			}
		}
		A, B, W := s.in(a), s.in(b), s.in(w)
		c := s.out(rows * rows)
		s.dev.MatMul(&backend.MatMul{A: A, B: B, C: c, M: rows, N: rows, K: cols, BT: true, Batch: 1})
		keep("MatMul", c)
		c = s.out(cols * cols)
		s.dev.MatMul(&backend.MatMul{A: A, B: B, C: c, M: cols, N: cols, K: rows, AT: true, Batch: 1})
		keep("MatMul of a transposed A", c)
		c = s.out(rows * 520)
		s.dev.MatMul(&backend.MatMul{A: A, B: B.Slice(0, 520*128), C: c, M: rows, N: 520, K: 128, BT: true, Batch: 1,
			Half: true})
		keep("MatMul of operands rounded to bfloat16", c)
		c = s.out(rows)
		s.dev.MatMul(&backend.MatMul{A: W, B: B, C: c, M: 1, N: rows, K: cols, BT: true, Batch: 1})
		keep("MatMul of a vector", c)
		y, mean, rstd, dw, db := s.out(rows*cols), s.out(rows), s.out(rows), s.out(cols), s.out(cols)
		s.dev.LayerNorm(y, mean, rstd, A, W, W, rows, cols, 1e-5)
		s.dev.LayerNormGrad(nil, dw, db, A, W, mean, rstd, B, rows, cols)
		keep("LayerNorm", y, dw, db)
		s.dev.RMSNormGrad(nil, dw, A, W, rstd, B, rows, cols)
		keep("RMSNorm", dw)
		s.dev.SumTo(dw, A, []int{rows, cols}, []int{0, 1})
		keep("SumTo", dw)
		total := s.out(1)
		s.dev.Reduce(backend.Sum, total, A, 1, rows*cols, 1)
		keep("Reduce", total)
		loss, lse := s.out(rows), s.out(rows)
		s.dev.CrossEntropy(loss, lse, A, s.ints(labels), rows, cols)
		keep("CrossEntropy", loss, lse)
		Q := s.in(q)
		out, l, dq, dk, dv := s.out(len(q)), s.out(2*3*100), s.out(len(q)), s.out(len(q)), s.out(len(q))
		at := backend.Attention{Q: Q, K: Q, V: Q, Out: out, LSE: l, B: 2, T: 100, S: 100, H: 3, G: 3, D: 32,
			Keys: 100, Causal: true, Scale: 0.2}
		s.dev.Attention(&at)
		s.dev.AttentionGrad(&at, dq, dk, dv, Q)
		keep("Attention", out, l, dq, dk, dv)
		picture := [3]int{1, 17, 33}
		x, k, z := A.Slice(0, 2*10*17*33), B.Slice(0, 12*10*9), s.out(2*12*17*33)
		cv := backend.Conv{X: x, W: k, Y: z, B: 2, C: 10, O: 12, Groups: 1, In: picture, Out: picture,
			Kernel: [3]int{1, 3, 3},
			Stride: [3]int{1, 1, 1}, Pad: [3]int{0, 1, 1}, Dilation: [3]int{1, 1, 1}}
		s.dev.Conv(&cv)
		cv.X, cv.W = s.out(x.Len), k
		s.dev.ConvInput(&cv)
		keep("Conv", z, cv.X)
		cv.X, cv.W = x, s.out(k.Len)
		s.dev.ConvWeight(&cv)
		keep("ConvWeight", cv.W)
		gx, gw, gb := s.out(60*900), s.out(30), s.out(30)
		gm, gr := s.out(2*6), s.out(2*6)
		s.dev.GroupNorm(gx, gm, gr, A.Slice(0, gx.Len), W.Slice(0, 30), nil, 2, 30, 900, 6, 1e-5)
		keep("GroupNorm", gx, gm, gr)
		s.dev.GroupNormGrad(gx, gw, gb, A.Slice(0, gx.Len), W.Slice(0, 30), gm, gr, B.Slice(0, gx.Len), 2, 30, 900, 6)
		keep("GroupNormGrad", gx, gw, gb)
		gs := backend.GridSample{X: A.Slice(0, gx.Len), Grid: W.Slice(0, 2*2*100), Y: s.out(2 * 30 * 100), N: 2,
			C: 30, P: 100, H: 30, W: 30}
		s.dev.GridSample(&gs)
		dGrid := s.out(gs.Grid.Len)
		s.dev.GridSampleGrad(&gs, gx, dGrid)
		keep("GridSample", gs.Y, gx, dGrid)
		mp := backend.MaxPool{X: A.Slice(0, gx.Len), Y: s.out(60 * 225), At: s.buffer(backend.Int32, 60*225),
			N: 60, In: [2]int{30, 30},
			Out: [2]int{15, 15}, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}}
		s.dev.MaxPool(&mp)
		s.dev.MaxPoolGrad(&backend.MaxPool{X: gx, Y: mp.Y, At: mp.At, N: 60, In: mp.In, Out: mp.Out})
		keep("MaxPool", mp.Y, mp.At, gx)
		top, at5 := s.out(rows*5), s.buffer(backend.Int32, rows*5)
		s.dev.TopK(top, at5, A, rows, cols, 1, 5, true)
		keep("TopK", top, at5)
		total.Float32()[0] = float32(s.dev.SumSquares([]*backend.Buffer{A, B, W}))
		keep("SumSquares", total)
		if first == nil {
			first = got
		}
		for i := range got {
			if !slices.Equal(got[i], first[i]) {
				s.wrong("%s differs from its result with one processor", names[i])
			}
		}
		s.done()
	}
}
