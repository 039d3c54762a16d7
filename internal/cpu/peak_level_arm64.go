//go:build !purego

package cpu

func multiplyAdds(n int) int {
	if active == generic || n <= 0 {
		return multiplyAddsGo(n)
	}
	multiplyAddsNEON(n)
	return 24 * 2 * 4
}

func halfMultiplyAdds(n int) int { return multiplyAdds(n) }

func read(x []float32) {
	if n := len(x) &^ 31; active != generic && n > 0 {
		readNEON(n, &x[0])
		return
	}
	readGo(x)
}
