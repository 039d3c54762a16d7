//go:build !amd64 || purego

package cpu

func (g *gemm) chooseUnit() {}

func amxRight() bool { return false }

func bf16Dot() bool { return false }

func splitRows(int, []float32, int, []float32, int, int) { panic("cpu: no matrix unit") }

func splitPairs([]float32, []float32, int, int, int) { panic("cpu: no matrix unit") }
