//go:build mpi && (linux || darwin)

package main

import (
	"os"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/mpi"
)

// join joins the processes that the launcher started; comm is nil if it is this one alone.
func join() (comm train.Comm, leave func(), err error) { return mpi.Join(os.Stderr) }

// end ends the process.
func end(code int) { mpi.Exit(code) }
