//go:build !linux

package mpi

import (
	"runtime"
	"time"
)

// yield lets another goroutine run.
func yield() { runtime.Gosched() }

func nanosleep(ns int64) { time.Sleep(time.Duration(ns)) }
