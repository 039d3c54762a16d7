//go:build amd64 && !purego

package cpu

import "golang.org/x/sys/cpu"

// supported is the highest level that processor and operating system support.
func supported() level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return generic
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL:
		return avx2
	case !x.HasAMXTile || !x.HasAMXBF16 || !mayUseAMX():
		return avx512
	}
	return amx
}
