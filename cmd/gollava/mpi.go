//go:build mpi && (linux || darwin)

package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/mpi"
)

// join joins the processes that the launcher started. Started by no launcher it needs no MPI library.
func join() (comm train.Comm, leave func(), err error) {
	if n, _ := mpi.Launched(os.Getenv); n == 1 {
		return nil, func() {}, nil
	}
	c, err := mpi.Open("")
	if err != nil {
		return nil, nil, err
	}
	if c.Rank() == 0 {
		fmt.Fprintf(os.Stderr, "%d processes by %s\n", c.Size(), c.Library())
	}
	if n := c.Local(); n > 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/n)) // processes of one host share its processors
	}
	return c, func() { _ = c.Close() }, nil
}
