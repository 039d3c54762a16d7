//go:build !amd64 || purego

package cpu

import "github.com/gollava/gollava/internal/backend"

type blockKernels struct {
	decode    func(dst *float32, b *byte, n int)
	dot, dots func(n, rows int, w *byte, q *int8, d, s, out *float32)
}

func kernelsOf(backend.DType) *blockKernels { return nil }

func roundBlocks(n int, q []int8, d, s, x []float32, step int) {
	for i := range n {
		roundRow(q[32*step*i:][:32], d[step*i:], s[step*i:], x[32*i:][:32])
	}
}
