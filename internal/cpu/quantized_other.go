//go:build !(amd64 || arm64) || purego

package cpu

import "github.com/gollava/gollava/internal/backend"

type blockKernels struct {
	decode   func(dst *float32, b *byte, n int)
	pack     func(n, stride int, w *byte, codes *int8, scales *float32, ahead int)
	multiply *[3]func(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int)
	scales   int
	row      func(n, stride int, w *byte, q *int8, d, s, c *float32)
}

func kernelsOf(backend.DType) *blockKernels { return nil }

func roundBlocks(n int, q []int8, d, s, x []float32) { roundRow(q, d, s, x[:32*n]) }

func dotProducts() bool { return false }
