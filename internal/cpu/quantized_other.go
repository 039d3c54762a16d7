//go:build !amd64 || purego

package cpu

import "github.com/gollava/gollava/internal/backend"

type blockKernels struct {
	decode func(dst *float32, b *byte, n int)
	dot    func(n, rows int, w *byte, q *int8, d, s, out *float32)
}

func kernelsOf(backend.DType) *blockKernels { return nil }
