//go:build linux || darwin

package mpi

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Comm joins the processes of MPI_COMM_WORLD. It implements train.Comm. It serves one goroutine at a time.
type Comm struct {
	lib        *library
	rank, size int

	mu     sync.Mutex    // of the library, which one thread calls at a time, and of queue and failed
	queue  []*transfer   // under way, oldest first
	failed []*transfer   // ended with an error
	work   chan struct{} // wakes advanceAlone
	closed sync.Once
	leave  chan struct{} // closed, member finalizes MPI
	left   chan error    // and says how that went
}

// Open loads an MPI library and joins the world that the launcher made; without a launcher that is this process
// alone. An empty path looks for the library that suits the launcher. There is one world: Open may succeed once in a
// process.
func Open(path string) (*Comm, error) {
	l, err := load(path)
	if err != nil {
		return nil, err
	}
	c := &Comm{lib: l, work: make(chan struct{}, 1), leave: make(chan struct{}), left: make(chan error)}
	joined := make(chan error)
	go c.member(joined)
	if err := <-joined; err != nil {
		return nil, err
	}
	go c.advanceAlone()
	if err := fits(c.size, l.named(), os.Getenv); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Join opens the world of the launcher that started this process, and lets the ranks of a host share its processors:
// unless GOMAXPROCS is set, each takes an equal part. Rank 0 says to w which library it is. leave closes the world;
// every rank must call it in the end, and then [Exit], but not after an error of its own, as the launcher ends the
// others when this process ends. Started by no launcher, comm is nil, and no library is needed.
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

// Close leaves the world: every rank must call it, at the end, and then [Exit].
func (c *Comm) Close() error {
	var err error
	c.closed.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.work)
		close(c.leave)
		err = <-c.left
	})
	return err
}

// member initializes MPI and, when c is closed, finalizes it on the same thread, as the standard asks of MPI_Finalize.
// Any thread may make the calls between the two.
func (c *Comm) member(joined chan<- error) {
	runtime.LockOSThread()
	err := c.join()
	joined <- err
	if err != nil {
		return
	}
	<-c.leave
	c.left <- c.lib.check("MPI_Finalize", call(c.lib.finalize))
}

// Exchange sends and receives each piece by itself (MPI_Isend, MPI_Irecv): the libraries' collective operations that
// do not block are several times slower.
func (c *Comm) Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) train.Pending {
	return c.pieces("exchange", bytesOf(recv.Bytes(), recvs, 4), bytesOf(send.Bytes(), sends, 4))
}

// AllGather sends the vector to each other rank, and receives theirs, as [Comm.Exchange] does.
func (c *Comm) AllGather(recv *tensor.Tensor, counts []int, send *tensor.Tensor) train.Pending {
	unit := 4
	if send.DType() == tensor.BFloat16 {
		unit = 2
	}
	s := make([][]byte, c.size)
	for q := range s {
		s[q] = send.Bytes()
	}
	r := bytesOf(recv.Bytes(), counts, unit)
	copy(r[c.rank], s[c.rank]) // at once if it is there already
	return c.pieces("all-gather", r, s)
}

// bytesOf cuts a vector into pieces of so many units.
func bytesOf(b []byte, counts []int, unit int) [][]byte {
	pieces := make([][]byte, len(counts))
	for i, n := range counts {
		pieces[i], b = b[:n*unit:n*unit], b[n*unit:]
	}
	return pieces
}

// pieces sends send[q] to each other rank q, which receives it as recv[this rank]. Messages of two ranks arrive in the
// order in which they were sent, so one tag does for all transfers.
func (c *Comm) pieces(name string, recv, send [][]byte) *transfer {
	t := c.transfer(name, 2*c.size)
	return c.start(t, func() (code int32) {
		for i := 1; i < c.size && code == 0; i++ { // each begins with its neighbour
			if q := (c.rank + c.size - i) % c.size; len(recv[q]) > 0 {
				code = t.piece(c.lib.irecv, recv[q], q)
			}
		}
		for i := 1; i < c.size && code == 0; i++ {
			if q := (c.rank + i) % c.size; len(send[q]) > 0 {
				code = t.piece(c.lib.isend, send[q], q)
			}
		}
		return code
	})
}

// piece begins MPI_Isend or MPI_Irecv of b, to or from rank q.
func (t *transfer) piece(f uintptr, b []byte, q int) int32 {
	return call(f, t.keep(b), uintptr(len(b)), t.c.lib.bytes, uintptr(q), 0, t.c.lib.world, t.next())
}

// AllReduce is MPI_Allreduce, in place. It returns when the sum is there.
func (c *Comm) AllReduce(x *tensor.Tensor) train.Pending {
	t := c.transfer("MPI_Allreduce", 0)
	return c.start(t, func() int32 {
		return call(c.lib.allreduce, c.lib.inPlace, t.keep(x.Bytes()), uintptr(x.Len()), c.lib.float, c.lib.sum,
			c.lib.world)
	})
}

// gather is MPI_Iallgatherv of bytes: the libraries spread short messages in few steps.
func (c *Comm) gather(recv []byte, counts []int, send []byte) *transfer {
	n, at := make([]int32, len(counts)), make([]int32, len(counts))
	sum := 0
	for i, k := range counts {
		n[i], at[i] = int32(k), int32(sum)
		sum += k
	}
	t := c.transfer("MPI_Iallgatherv", 1)
	return c.start(t, func() int32 {
		return call(c.lib.allgatherv, t.keep(send), uintptr(len(send)), c.lib.bytes, t.keep(recv),
			t.pin(unsafe.Pointer(&n[0])), t.pin(unsafe.Pointer(&at[0])), c.lib.bytes, c.lib.world, t.next())
	})
}

// gatherAtMost is how many bytes MPI_Iallgatherv is given: that of Intel MPI 2021.19 never ends if one of three ranks
// sends nothing and another 60,000 bytes.
const gatherAtMost = 16 << 10

// Share gathers the messages' lengths, then the messages.
func (c *Comm) Share(message []byte) ([][]byte, error) {
	own, all := binary.LittleEndian.AppendUint64(nil, uint64(len(message))), make([]byte, 8*c.size)
	counts := make([]int, c.size)
	for i := range counts {
		counts[i] = 8
	}
	if err := c.gather(all, counts, own).Wait(); err != nil {
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
	text := make([]byte, total)
	out := bytesOf(text, counts, 1)
	var gathered *transfer
	if total <= gatherAtMost {
		gathered = c.gather(text, counts, message)
	} else {
		all := make([][]byte, c.size)
		for q := range all {
			all[q] = message
		}
		copy(out[c.rank], message)
		gathered = c.pieces("gathering messages", out, all)
	}
	if err := gathered.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// Abort prints err and ends all processes.
func (c *Comm) Abort(err error) {
	fmt.Fprintf(os.Stderr, "mpi: %v\n", err)
	time.Sleep(time.Second) // a launcher forwards no output once the job is aborted
	for range 1000 {        // a sum that waits for another rank holds the library: this one must end all the same
		if c.mu.TryLock() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	call(c.lib.abort, c.lib.world, 1)
	os.Exit(1)
}
