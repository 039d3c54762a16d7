package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// stopped returns a *Stopped if a signal came, somebody asked for it or ctx is done, on any rank, and saves if
// somebody asked for that.
func (r *runner[B]) stopped(ctx context.Context) error {
	type reason struct {
		Code  int
		Cause string
		Save  bool
	}
	why := reason{Code: r.signal.code(), Save: r.o.Control.wanted()}
	if r.o.Control.ended() {
		why.Cause = errAsked.Error()
	}
	if err := ctx.Err(); err != nil {
		why.Cause = err.Error()
	}
	all, err := share(r.comm(), why)
	if err != nil {
		return err
	}
	for rank, why := range all {
		if why == (reason{Save: why.Save}) {
			continue
		}
		cause := ctx.Err()
		if cause == nil && r.o.Control.ended() {
			cause = errAsked
		}
		if rank != r.comm().Rank() && why.Cause != "" {
			cause = fmt.Errorf("%s: %s", r.named(rank), why.Cause)
		}
		return r.halt(why.Code, cause)
	}
	if slices.ContainsFunc(all, func(why reason) bool { return why.Save }) {
		return r.checkpoint()
	}
	return nil
}

// interrupted is stopped within a step: only ctx can do that, and only if there are no other ranks, which would wait
// for this one's share; a signal lets the step finish.
func (r *runner[B]) interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return r.halt(r.signal.code(), ctx.Err())
}

// whole is the context of what all ranks do together: it does not end before they have agreed to.
func whole(ctx context.Context, c Comm) context.Context {
	if c.Size() > 1 {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// halt saves and returns the *Stopped.
func (r *runner[B]) halt(code int, cause error) error {
	e := &Stopped{Stage: r.stage.Name, Step: r.at.Step, Code: code, Cause: cause, Resume: r.o.Command}
	if code == 0 {
		e.Code = 1
	}
	if r.o.Dir == "" {
		return e
	}
	err := r.settle(true)
	if err == nil {
		err = r.cleared()
	}
	if err == nil {
		err = r.save()
	}
	if err != nil {
		e.Cause = errors.Join(e.Cause, fmt.Errorf("saving: %w", err))
	}
	if r.last != "" {
		e.Dir = filepath.Join(r.o.Dir, r.last)
	}
	return e
}
