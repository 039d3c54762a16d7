//go:build !amd64 || purego

package cpu

func (g *gemm) chooseUnit(s *scratch, spread bool) { g.halve(s, spread) }

func pairsTiler() *tiler { panic("cpu: no products of pairs") }

func amxRight() bool { return false }

func bf16Dot() bool { return false }

func splitRows(int, []float32, int, []float32, int, int) { panic("cpu: no matrix unit") }

func splitPairs([]float32, []float32, int, int, int) { panic("cpu: no matrix unit") }
