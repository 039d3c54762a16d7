package mpi

import "golang.org/x/sys/unix"

// yield lets another thread run.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// nanosleep pauses this thread; a signal may end it early.
func nanosleep(ns int64) {
	t := unix.NsecToTimespec(ns)
	_ = unix.Nanosleep(&t, nil)
}
