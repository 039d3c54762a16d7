//go:build linux || darwin

package mpi

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Comm joins the processes of MPI_COMM_WORLD. It implements train.Comm. It serves one goroutine at a time.
type Comm struct {
	lib        *library
	rank, size int

	jobs    chan func()
	queue   []*transfer  // under way, oldest first; the thread's
	waiting atomic.Int32 // goroutines in Wait
	closed  sync.Once
}

// Open loads an MPI library and joins the world that the launcher made; without a launcher that is this process
// alone. An empty path looks for the library that suits the launcher. There is one world: Open may succeed once in a
// process.
func Open(path string) (*Comm, error) {
	l, err := load(path)
	if err != nil {
		return nil, err
	}
	c := &Comm{lib: l, jobs: make(chan func())}
	ready := make(chan error)
	go c.serve(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	if err := fits(c.size, l.named(), os.Getenv); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Join opens the world of the launcher that started this process, and lets the ranks of a host share its processors:
// unless GOMAXPROCS is set, each takes an equal part. Rank 0 says to w which library it is. leave closes the world;
// every rank must call it in the end, but not after an error of its own, as the launcher ends the others when this
// process ends. Started by no launcher, comm is nil, and no library is needed.
func Join(w io.Writer) (comm train.Comm, leave func(), err error) {
	if n, _ := Launched(os.Getenv); n == 1 {
		return nil, func() {}, nil
	}
	c, err := Open("")
	if err != nil {
		return nil, nil, err
	}
	if c.Rank() == 0 {
		fmt.Fprintf(w, "%d processes by %s\n", c.Size(), c.Library())
	}
	if n := c.Local(); n > 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/n))
	}
	return c, func() { _ = c.Close() }, nil
}

// Rank is this process's number, from 0.
func (c *Comm) Rank() int { return c.rank }

// Size is the number of processes.
func (c *Comm) Size() int { return c.size }

// Library names the MPI library.
func (c *Comm) Library() string { return c.lib.named() }

// Local is the number of processes on this host, as the launcher says; 1 if it does not.
func (c *Comm) Local() int {
	for _, v := range []string{"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_TASKS_PER_NODE"} {
		var n int
		if _, err := fmt.Sscan(os.Getenv(v), &n); err == nil && n > 0 { // Slurm writes 4(x2)
			return n
		}
	}
	return 1
}

// Close leaves the world: every rank must call it, at the end.
func (c *Comm) Close() error {
	var err error
	c.closed.Do(func() {
		done := make(chan struct{})
		c.jobs <- func() {
			err = c.lib.check("MPI_Finalize", call(c.lib.finalize))
			close(done)
		}
		<-done
		close(c.jobs)
	})
	return err
}

// transfer is a collective operation under way.
type transfer struct {
	c       *Comm
	name    string
	request uint64 // MPICH's are four bytes long
	flag    int32
	pins    runtime.Pinner // memory that the library reads and writes meanwhile
	done    chan struct{}
	err     error
}

// start begins a collective operation on the thread. begin gets the address of the request.
func (c *Comm) start(name string, keep []unsafe.Pointer, begin func(request uintptr) int32) *transfer {
	t := &transfer{c: c, name: name, done: make(chan struct{})}
	t.pins.Pin(t)
	for _, p := range keep {
		t.pins.Pin(p)
	}
	c.jobs <- func() {
		if t.err = c.lib.check(name, begin(uintptr(unsafe.Pointer(&t.request)))); t.err != nil {
			t.end()
			return
		}
		c.queue = append(c.queue, t)
	}
	return t
}

func (t *transfer) end() {
	t.pins.Unpin()
	close(t.done)
}

// Wait waits for the transfer's end.
func (t *transfer) Wait() error {
	t.c.waiting.Add(1)
	<-t.done
	t.c.waiting.Add(-1)
	return t.err
}

// layout are counts and displacements as MPI takes them.
func layout(counts []int, unit int) (n, at []int32) {
	n, at = make([]int32, len(counts)), make([]int32, len(counts))
	sum := 0
	for i, k := range counts {
		n[i], at[i] = int32(k*unit), int32(sum*unit)
		sum += k
	}
	return n, at
}

func address[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// memory is a tensor's.
func memory(t *tensor.Tensor) unsafe.Pointer { return address(t.Bytes()) }

// Exchange is MPI_Ialltoallv of float32.
func (c *Comm) Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) train.Pending {
	sn, sat := layout(sends, 1)
	rn, rat := layout(recvs, 1)
	keep := []unsafe.Pointer{memory(send), address(sn), address(sat), memory(recv), address(rn), address(rat)}
	return c.start("MPI_Ialltoallv", keep, func(request uintptr) int32 {
		return call(c.lib.alltoallv, uintptr(keep[0]), uintptr(keep[1]), uintptr(keep[2]), c.lib.float,
			uintptr(keep[3]), uintptr(keep[4]),
			uintptr(keep[5]), c.lib.float, c.lib.world, request)
	})
}

// AllGather is MPI_Iallgatherv of the elements' bytes.
func (c *Comm) AllGather(recv *tensor.Tensor, counts []int, send *tensor.Tensor) train.Pending {
	unit := 4
	if send.DType() == tensor.BFloat16 {
		unit = 2
	}
	return c.gather(memory(recv), counts, unit, memory(send), len(send.Bytes()))
}

func (c *Comm) gather(recv unsafe.Pointer, counts []int, unit int, send unsafe.Pointer, n int) *transfer {
	rn, rat := layout(counts, unit)
	keep := []unsafe.Pointer{send, recv, address(rn), address(rat)}
	return c.start("MPI_Iallgatherv", keep, func(request uintptr) int32 {
		return call(c.lib.allgatherv, uintptr(keep[0]), uintptr(n), c.lib.bytes, uintptr(keep[1]), uintptr(keep[2]),
			uintptr(keep[3]),
			c.lib.bytes, c.lib.world, request)
	})
}

// AllReduce is MPI_Iallreduce, in place.
func (c *Comm) AllReduce(x *tensor.Tensor) train.Pending {
	keep := []unsafe.Pointer{memory(x)}
	return c.start("MPI_Iallreduce", keep, func(request uintptr) int32 {
		return call(c.lib.allreduce, c.lib.inPlace, uintptr(keep[0]), uintptr(x.Len()), c.lib.float, c.lib.sum,
			c.lib.world, request)
	})
}

// Share gathers the messages' lengths, then the messages.
func (c *Comm) Share(message []byte) ([][]byte, error) {
	own, all := binary.LittleEndian.AppendUint64(nil, uint64(len(message))), make([]byte, 8*c.size)
	counts := make([]int, c.size)
	for i := range counts {
		counts[i] = 8
	}
	if err := c.gather(address(all), counts, 1, address(own), 8).Wait(); err != nil {
		return nil, err
	}
	total := 0
	for i := range counts {
		counts[i] = int(binary.LittleEndian.Uint64(all[8*i:]))
		total += counts[i]
	}
	if total > 1<<31-1 {
		return nil, fmt.Errorf("mpi: messages of %d bytes in all: at most 2³¹−1", total)
	}
	text := make([]byte, max(1, total))
	ended := address(append(slices.Clip(message), 0))
	if err := c.gather(address(text), counts, 1, ended, len(message)).Wait(); err != nil {
		return nil, err
	}
	out := make([][]byte, c.size)
	for i, n := range counts {
		out[i], text = text[:n:n], text[n:]
	}
	return out, nil
}

// Abort prints err and ends all processes.
func (c *Comm) Abort(err error) {
	fmt.Fprintf(os.Stderr, "mpi: %v\n", err)
	time.Sleep(time.Second) // a launcher forwards no output once the job is aborted
	done := make(chan struct{})
	c.jobs <- func() {
		call(c.lib.abort, c.lib.world, 1)
		close(done)
	}
	<-done
	os.Exit(1)
}
