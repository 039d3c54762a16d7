//go:build !(amd64 || arm64) || purego

package cpu

import "github.com/gollava/gollava/internal/backend"

func kernelsOf(backend.DType) *blockKernels { return nil }

func roundBlocks(n int, q []int8, d, s, x []float32) { roundRow(q, d, s, x[:32*n]) }

func roundOffset(int, []int8, []float32, []float32, []float32) { panic("no kernel adds 128 to codes") }

func dotProducts() bool { return false }
