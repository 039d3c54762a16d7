package train

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// signals notes the first SIGINT, SIGTERM or SIGUSR1; at the second the process exits.
type signals struct {
	first atomic.Int32
	c     chan os.Signal
	quit  chan struct{}
}

func catchSignals(on bool) *signals {
	s := &signals{}
	if !on {
		return s
	}
	s.c, s.quit = make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(s.c, append(moreSignals, os.Interrupt, syscall.SIGTERM)...)
	go func() {
		for {
			select {
			case <-s.quit:
				return
			case sig := <-s.c:
				code := int32(130)
				if n, ok := sig.(syscall.Signal); ok {
					code = 128 + int32(n)
				}
				if !s.first.CompareAndSwap(0, code) {
					os.Exit(int(code))
				}
				fmt.Fprintf(os.Stderr, "\n%v: finishing the step and saving; once more to exit at once\n", sig)
			}
		}
	}()
	return s
}

// code is the exit status that the first signal asks for, or 0.
func (s *signals) code() int { return int(s.first.Load()) }

func (s *signals) stop() {
	if s.c != nil {
		signal.Stop(s.c)
		close(s.quit)
	}
}
