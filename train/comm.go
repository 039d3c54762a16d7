package train

import "github.com/gollava/gollava/tensor"

// Comm joins the processes, called ranks, that train one model together: each computes a share of every step's
// micro-batches. All ranks call the same methods in the same order, with lengths that agree. Exchange, AllGather and
// AllReduce may return before the transfer has ended, so that computation goes on meanwhile; several may be under way.
// A Comm is used by one goroutine at a time. Package train/mpi has one over MPI, and [Local] joins goroutines of one
// process.
type Comm interface {
	Rank() int // of this process: 0 to Size−1
	Size() int // number of ranks

	// Exchange sends the q-th piece of send to each other rank q, and receives rank q's piece for this rank as the
	// q-th piece of recv (MPI_Alltoallv). Both are float32 vectors; sends and recvs are the lengths of their Size
	// pieces, which lie one after another. This rank's own piece stays in send: recvs has 0 for it.
	Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) Pending

	// AllGather makes recv the vectors send of all ranks, rank after rank; counts are their lengths. All are float32
	// or all bfloat16 (MPI_Allgatherv). send may be this rank's part of recv.
	AllGather(recv *tensor.Tensor, counts []int, send *tensor.Tensor) Pending

	// AllReduce replaces x, a float32 vector, by its sum over all ranks, in an order that the implementation chooses
	// (MPI_Allreduce).
	AllReduce(x *tensor.Tensor) Pending

	// Share gives every rank the messages of all, in rank order.
	Share(message []byte) ([][]byte, error)

	// Abort ends the run on all ranks because this one failed with err: their transfers return an error that names
	// this rank, or the processes end. It may not return.
	Abort(err error)
}

// Pending is a transfer under way. Its tensors must not be used before Wait has returned.
type Pending interface {
	Wait() error
	Done() bool // reports whether Wait returns at once
}

// alone is the Comm of a run in one process.
type alone struct{}

func (alone) Rank() int                              { return 0 }
func (alone) Size() int                              { return 1 }
func (alone) AllReduce(*tensor.Tensor) Pending       { return done{} }
func (alone) Share(message []byte) ([][]byte, error) { return [][]byte{message}, nil }
func (alone) Abort(error)                            {}
func (alone) Exchange(*tensor.Tensor, []int, *tensor.Tensor, []int) Pending {
	return done{}
}

func (alone) AllGather(recv *tensor.Tensor, _ []int, send *tensor.Tensor) Pending {
	recv.CopyFrom(send)
	return done{}
}

// done is a transfer that has ended.
type done struct{ err error }

func (d done) Wait() error { return d.err }
func (d done) Done() bool  { return true }
