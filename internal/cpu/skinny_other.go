//go:build !(amd64 || arm64) || purego

package cpu

func (g *gemm) isSkinny() bool { return false }

func (g *gemm) rowsOfA(*scratch) []float32 { return nil }

func (g *gemm) skinnyPart([]float32, int, int, *scratch) {}

func (g *gemm) skinny(*scratch) {}
