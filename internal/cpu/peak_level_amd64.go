//go:build amd64 && !purego

package cpu

func multiplyAdds(n int) int {
	switch vectorLevel() {
	case avx512:
		multiplyAddsAVX512(n)
		return 12 * 2 * 16
	case avx2:
		multiplyAddsAVX2(n)
		return 12 * 2 * 8
	}
	return multiplyAddsGo(n)
}

func halfMultiplyAdds(n int) int {
	switch {
	case active == amx:
		multiplyAddsAMX(&tileShapes[31][31], n)
		return 4 * 2 * 16 * 16 * 32
	case bf16Dot():
		multiplyAddsBF16(n)
		return 12 * 2 * 32
	}
	return multiplyAdds(n)
}

func read(x []float32) {
	if n := len(x) / 2 &^ 63; active != generic && n > 0 {
		readAVX2(n, &x[0], n)
		return
	}
	readGo(x)
}
