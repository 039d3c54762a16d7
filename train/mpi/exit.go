//go:build linux || darwin

package mpi

import (
	"os"

	"github.com/ebitengine/purego"
)

// Exit ends the process as the end of a C program does, so that the exit handlers of an MPI library run. MPICH leaves
// its launcher in one of them: if a rank ends by os.Exit or a return from main, mpirun of MPICH 5 takes that for a
// crash, and ends the ranks that are still closing. Without a library it is os.Exit. [Comm.Close] comes first.
func Exit(code int) {
	if exit, err := purego.Dlsym(purego.RTLD_DEFAULT, "exit"); err == nil && loaded.Load() {
		call(exit, uintptr(code))
	}
	os.Exit(code)
}
