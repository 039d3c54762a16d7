//go:build linux || darwin

package mpi

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/ebitengine/purego"
)

// family is a binary interface: what handles are, and the values of constants.
type family int

const (
	openMPI  family = iota // handles are addresses of the library's variables
	mpich                  // handles are 32-bit integers
	standard               // MPI 5: handles are small integers as wide as pointers
)

func (f family) String() string {
	return [...]string{"Open MPI", "MPICH", "MPI 5's standard interface"}[f]
}

// library is a loaded MPI library.
type library struct {
	path   string
	family family

	world, float, bytes, sum, errorsReturn uintptr // handles
	inPlace, ignoreStatus                  uintptr
	serialized                             uintptr // MPI_Init_thread's level: any thread may call, one at a time
	handle                                 int     // bytes of a request

	init, finalize, rank, size, setErrhandler, errorString, version, abort uintptr // functions
	isend, irecv, allgatherv, allreduce, testall                           uintptr
}

// candidates are the names under which libraries are installed, those of the launcher that started this process first.
func candidates(getenv func(string) string) []string {
	open := []string{"libmpi.so.40", "libmpi.so.80"}
	mpich := []string{"libmpi.so.12", "libmpich.so.12", "libmpi_cray.so.12"} // the second is Debian's name
	abi := []string{"libmpi_abi.so.1", "libmpi_abi.so.0", "libmpi_abi.so"}
	first, second := open, mpich
	if getenv("OMPI_COMM_WORLD_SIZE") == "" && (getenv("PMI_SIZE") != "" || getenv("PMI_RANK") != "" ||
		getenv("PMI_FD") != "") {
		first, second = mpich, open
	}
	return append(append(append(append([]string{}, first...), second...), abi...), "libmpi.so", "libmpich.so")
}

// load opens a library. An empty path looks for one.
func load(path string) (*library, error) {
	// UCX and PSM would take SIGSEGV and the like away from Go's runtime, which needs them.
	for _, v := range [][2]string{{"UCX_ERROR_SIGNALS", ""}, {"IPATH_NO_BACKTRACE", "1"}, {"HFI_NO_BACKTRACE", "1"}} {
		if err := os.Setenv(v[0], v[1]); err != nil {
			return nil, err
		}
	}
	if path == "" {
		return find(candidates(os.Getenv))
	}
	l, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	return l, nil
}

// find opens the first of several libraries that is installed.
func find(names []string) (*library, error) {
	for _, name := range names {
		l, err := open(name)
		if err == nil {
			return l, nil
		}
		if strings.Contains(err.Error(), name+": it has no ") {
			return nil, fmt.Errorf("mpi: %w", err)
		}
	}
	return nil, fmt.Errorf("mpi: no MPI library is installed (looked for %s): install one on every host, on Debian "+
		"and Ubuntu `apt-get install openmpi-bin` or `apt-get install mpich`, on Fedora `dnf install openmpi` or "+
		"`dnf install mpich`, or load the cluster's module, so that the loader finds it (LD_LIBRARY_PATH)",
		strings.Join(names, ", "))
}

// loaded is whether this process has an MPI library.
var loaded atomic.Bool

// open opens a library by name or path.
func open(name string) (*library, error) {
	// Open MPI's plug-ins look for its symbols globally.
	handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	loaded.Store(true)
	l := &library{path: name}
	if err := l.bind(handle); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// bind looks up functions and handles.
func (l *library) bind(handle uintptr) error {
	var missing error
	symbol := func(name string) uintptr {
		p, err := purego.Dlsym(handle, name)
		if err != nil && missing == nil {
			missing = fmt.Errorf("it has no %s: is it an MPI library of version 3 or newer?", name)
		}
		return p
	}
	for _, f := range []struct {
		at   *uintptr
		name string
	}{
		{&l.init, "MPI_Init_thread"}, {&l.finalize, "MPI_Finalize"}, {&l.abort, "MPI_Abort"},
		{&l.rank, "MPI_Comm_rank"}, {&l.size, "MPI_Comm_size"}, {&l.setErrhandler, "MPI_Comm_set_errhandler"},
		{&l.errorString, "MPI_Error_string"}, {&l.version, "MPI_Get_library_version"},
		{&l.isend, "MPI_Isend"}, {&l.irecv, "MPI_Irecv"}, {&l.testall, "MPI_Testall"},
		{&l.allgatherv, "MPI_Iallgatherv"}, {&l.allreduce, "MPI_Allreduce"},
	} {
		*f.at = symbol(f.name)
	}
	if missing != nil {
		return missing
	}
	allOnes := ^uintptr(0)
	if _, err := purego.Dlsym(handle, "ompi_mpi_comm_world"); err == nil {
		l.family = openMPI
		l.world, l.float, l.bytes = symbol("ompi_mpi_comm_world"), symbol("ompi_mpi_float"), symbol("ompi_mpi_byte")
		l.sum, l.errorsReturn = symbol("ompi_mpi_op_sum"), symbol("ompi_mpi_errors_return")
		l.inPlace, l.ignoreStatus, l.serialized, l.handle = 1, 0, 2, 8
		return missing
	}
	if f, err := purego.Dlsym(handle, "MPI_Abi_get_version"); err == nil {
		version := new([2]int32)
		purego.SyscallN(f, uintptr(unsafe.Pointer(&version[0])), uintptr(unsafe.Pointer(&version[1])))
		if version[0] >= 1 {
			l.family = standard
			l.world, l.float, l.bytes, l.sum, l.errorsReturn = 0x101, 0x210, 0x247, 0x21, 0x142
			l.inPlace, l.ignoreStatus, l.serialized, l.handle = 1, 0, 2048, 8
			return nil
		}
	}
	l.family = mpich
	l.world, l.float, l.bytes, l.sum, l.errorsReturn = 0x44000000, 0x4c00040a, 0x4c00010d, 0x58000003, 0x54000001
	l.inPlace, l.ignoreStatus, l.serialized, l.handle = allOnes, 1, 2, 4
	return nil
}

// call calls a function of MPI, which returns an error code. What args point to stays where it is during the call: a
// goroutine's stack may move on the way to C, so the pragma keeps such variables off it.
//
//go:uintptrescapes
func call(f uintptr, args ...uintptr) int32 {
	code, _, _ := purego.SyscallN(f, args...)
	return int32(code)
}

// check makes an error of a code.
func (l *library) check(name string, code int32) error {
	if code == 0 {
		return nil
	}
	text, n := new([8192]byte), new(int32)
	if call(l.errorString, uintptr(code), uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(n))) != 0 {
		return fmt.Errorf("mpi: %s: error %d", name, code)
	}
	return fmt.Errorf("mpi: %s: %s", name, text[:max(0, min(int(*n), len(text)))])
}

// named is the library's own description, its first line.
func (l *library) named() string {
	text, n := new([8192]byte), new(int32)
	if call(l.version, uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(n))) != 0 {
		return l.path
	}
	line, _, _ := bytes.Cut(text[:max(0, min(int(*n), len(text)))], []byte("\n"))
	return fmt.Sprintf("%s (%s)", l.path, bytes.Trim(line, "\x00 \t\r"))
}
