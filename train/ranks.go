package train

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
)

// agreed is an error that every rank has: no rank need be told.
type agreed struct{ error }

func (a agreed) Unwrap() error { return a.error }

// comm is how this run talks with its other ranks.
func (s *session) comm() Comm {
	switch {
	case s.watched != nil:
		return s.watched
	case s.o.Comm == nil:
		return alone{}
	}
	return s.o.Comm
}

// share gives every rank of c the values v of all, in rank order.
func share[T any](c Comm, v T) ([]T, error) {
	if c.Size() == 1 {
		return []T{v}, nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&v); err != nil {
		return nil, err
	}
	messages, err := c.Share(b.Bytes())
	if err != nil {
		return nil, err
	}
	all := make([]T, len(messages))
	for i, m := range messages {
		if err := gob.NewDecoder(bytes.NewReader(m)).Decode(&all[i]); err != nil {
			return nil, fmt.Errorf("message of rank %d: %w", i, err)
		}
	}
	return all, nil
}

// agree returns nil if err is nil on every rank, else on every rank an error: its own, or that of the first rank that
// has one.
func (s *session) agree(err error) error {
	if s.comm().Size() == 1 {
		return err
	}
	said := ""
	if err != nil {
		said = " " + err.Error()
	}
	all, failed := share(s.comm(), said)
	if failed != nil {
		return errors.Join(err, failed)
	}
	for rank, m := range all {
		if m != "" && err == nil {
			err = fmt.Errorf("%s:%s", s.named(rank), m)
		}
	}
	if err != nil {
		return agreed{err}
	}
	return nil
}

// first runs f on rank 0 and gives its result to all.
func first[T any](s *session, f func() (T, error)) (v T, err error) {
	type result struct {
		V   T
		Err string
	}
	var r result
	if s.comm().Rank() == 0 {
		if r.V, err = f(); err != nil {
			r.Err = " " + err.Error()
		}
	}
	if s.comm().Size() == 1 {
		return r.V, err
	}
	all, failed := share(s.comm(), r)
	switch {
	case failed != nil:
		return v, errors.Join(err, failed)
	case all[0].Err == "":
		return all[0].V, nil
	case err == nil:
		err = fmt.Errorf("%s:%s", s.named(0), all[0].Err)
	}
	return all[0].V, agreed{err}
}

// named is how messages call a rank.
func (s *session) named(rank int) string {
	if rank < len(s.peers) {
		return fmt.Sprintf("rank %d on %s", rank, s.peers[rank].Host)
	}
	return fmt.Sprintf("rank %d", rank)
}

// fail takes the other ranks down with this one, unless they know already.
func (s *session) fail(err error) {
	var known agreed
	var stop *Stopped
	if err == nil || s.comm().Size() == 1 || errors.As(err, &known) || errors.As(err, &stop) {
		return
	}
	s.comm().Abort(fmt.Errorf("%s, step %d: %w", s.named(s.comm().Rank()), s.at.Step, err))
}
