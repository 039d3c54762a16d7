//go:build amd64 && !purego

package imaging

import "golang.org/x/sys/cpu"

// hasAVX2 says that the kernels run. They compute the same bytes as the loops in Go.
var hasAVX2 = cpu.X86.HasAVX2
