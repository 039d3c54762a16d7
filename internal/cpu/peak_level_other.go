//go:build !(amd64 || arm64) || purego

package cpu

func multiplyAdds(n int) int { return multiplyAddsGo(n) }

func halfMultiplyAdds(n int) int { return multiplyAdds(n) }

func read(x []float32) { readGo(x) }
