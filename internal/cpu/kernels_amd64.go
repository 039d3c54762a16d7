//go:build amd64 && !purego

package cpu

// vectors returns the kernels of the active level.
func vectors() *kernels { return levels[vectorLevel()] }

var levels = [...]*kernels{generic: &goKernels, avx2: &avx2Kernels, avx512: &avx512Kernels}

func same(dst, x []float32) { copy(dst, x) }
