//go:build !(amd64 || arm64) || purego

package cpu

// vectors returns the kernels of the active level.
func vectors() *kernels { return &goKernels }
