//go:build !amd64 || purego

package imaging

// hasAVX2 says that the kernels run: here are none, and nothing calls them.
const hasAVX2 = false

func downAVX2(dst *byte, n int, rows *[]byte, weight *int32, taps int)                           {}
func acrossAVX2(dstA, dstB *byte, n int, srcA, srcB *byte, at *int32, weight *int16, groups int) {}
func fromYCCAVX2(dst *byte, luma *byte, cb *byte, cr *byte, n int)                               {}
func stretchAVX2(dst *byte, near *byte, far *byte, n int)                                        {}
func inverseDCTAVX2(b *[64]int32, dst *byte, stride int)                                         {}
