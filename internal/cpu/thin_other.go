//go:build !amd64 || purego

package cpu

func (g *gemm) isThin() bool { return false }

func (g *gemm) rowsOfA(*scratch) []float32 { return nil }

func (g *gemm) thinPart([]float32, int, int, *scratch) {}

func (g *gemm) thin(*scratch) {}
