//go:build !amd64 || purego

package cpu

func (g *gemm) usePairs() {}
