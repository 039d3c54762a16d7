package main

import (
	"fmt"
	"io"

	"github.com/gollava/gollava/train"
)

// ranks runs f on each of the processes that a launcher started, or on this one alone, where comm is nil. Rank 0 alone
// prints. All compute with the same instructions, so that answers do not depend on which rank gives them.
func (c console) ranks(f func(c console, comm train.Comm) error) error {
	comm, leave, err := join()
	if err != nil {
		return err
	}
	if !first(comm) {
		c.out, c.err, c.plain, c.progress = io.Discard, io.Discard, io.Discard, io.Discard
	}
	unit, slowed, err := train.CommonUnit(comm)
	if err != nil {
		return err
	}
	if slowed != "" {
		fmt.Fprintf(c.err, "all ranks compute on %s; %s\n", unit, slowed)
	}
	if err := f(c, comm); err != nil {
		return err
	}
	leave() // else the launcher ends the others when this process does
	return nil
}

// first reports whether this process is the one that prints and writes.
func first(comm train.Comm) bool { return comm == nil || comm.Rank() == 0 }
