//go:build !purego

package cpu

import "syscall"

// mayUseAMX asks Linux for permission to use the tile registers, which every process that wants their larger context
// needs, and reports whether it was given: https://docs.kernel.org/arch/x86/xstate.html.
func mayUseAMX() bool {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18
	)
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
}
