package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// meeting joins goroutines of one process.
type meeting struct {
	mu    sync.Mutex
	here  int
	parts [][]byte
	done  chan struct{} // of the call that ranks are in
}

type attendee struct {
	*meeting
	rank int
}

func ranks(n int) (all []attendee) {
	m := &meeting{parts: make([][]byte, n), done: make(chan struct{})}
	for i := range n {
		all = append(all, attendee{m, i})
	}
	return all
}

func (a attendee) Rank() int { return a.rank }
func (a attendee) Size() int { return len(a.parts) }

func (a attendee) Share(message []byte) ([][]byte, error) {
	a.mu.Lock()
	done, parts := a.done, a.parts
	parts[a.rank] = slices.Clone(message)
	if a.here++; a.here == len(parts) {
		a.meeting.here, a.meeting.parts, a.meeting.done = 0, make([][]byte, len(parts)), make(chan struct{})
		close(done)
	}
	a.mu.Unlock()
	<-done
	return parts, nil
}

// counter is a teacher that knows how often each picture was asked about, and that fails at one.
type counter struct {
	mu     sync.Mutex
	times  map[int64]int
	fails  int64  // −1: at none
	before func() // each reply; nil: nothing
}

func (c *counter) Ask(_ context.Context, r *Request) (Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before()
	}
	if c.fails == r.Scene.ID {
		return Reply{}, errors.New("the line is cut")
	}
	c.times[r.Scene.ID]++
	text := dialogue
	if r.Scene.ID%5 == 2 && c.times[r.Scene.ID] == 1 {
		text = "I am sorry."
	}
	return Reply{Status: 200, Role: "assistant", Model: "small", Text: &text, Finish: "stop",
		Usage: &Usage{100, 50}}, nil
}

// written are the files of a run, without the log, whose order is that of the replies.
func written(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		if all[f.Name()] = string(b); f.Name() == logName {
			all[f.Name()] = fmt.Sprint(len(b), " bytes")
		}
	}
	return all
}

// TestRanks: several ranks write what one writes and ask nothing twice, also when a run of some is stopped and one of
// others goes on.
func TestRanks(t *testing.T) {
	together := func(n int, dir string, teacher *counter) error {
		errs, reports := make([]error, n), make([]*Report, n)
		var all sync.WaitGroup
		for i, c := range ranks(n) {
			all.Go(func() {
				o := Options{Teacher: teacher, Out: dir, Wait: time.Millisecond, Comm: c}
				reports[i], errs[i] = Run(t.Context(), cats(23), talk(), o)
			})
		}
		all.Wait()
		for i := range n {
			require.Equal(t, reports[0], reports[i])
			require.Equal(t, errs[0] == nil, errs[i] == nil)
		}
		return errs[0]
	}
	alone := t.TempDir()
	teacher := &counter{times: map[int64]int{}, fails: -1}
	_, err := Run(t.Context(), cats(23), talk(), Options{Teacher: teacher, Out: alone, Wait: time.Millisecond})
	require.NoError(t, err)
	want, times := written(t, alone), teacher.times
	require.Equal(t, 2, times[7], "a refusal is asked again")
	for _, n := range []int{2, 3} {
		dir := t.TempDir()
		teacher := &counter{times: map[int64]int{}, fails: -1}
		require.NoError(t, together(n, dir, teacher))
		require.Equal(t, want, written(t, dir), "%d ranks", n)
		require.Equal(t, times, teacher.times, "%d ranks", n)
	}
	for _, n := range []int{1, 3, 4} {
		dir := t.TempDir()
		teacher := &counter{times: map[int64]int{}, fails: 9}
		require.ErrorContains(t, together(3, dir, teacher), "picture 9, conversation: the line is cut")
		teacher.fails = -1
		require.NoError(t, together(n, dir, teacher))
		require.Equal(t, want, written(t, dir), "then %d ranks", n)
		require.Equal(t, times, teacher.times, "then %d ranks", n)
	}
	dir := t.TempDir()
	damaged := &counter{times: map[int64]int{}, fails: -1, before: func() {
		line := []byte(`{"request": "gone", "attempt": 2}` + "\n")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "replies-0007.jsonl"), line, 0o666))
	}}
	require.ErrorContains(t, together(2, dir, damaged), "attempt 2 where 1 belongs")

	c := talk()
	c.BudgetTokens = 1000
	_, err = Run(t.Context(), cats(3), c, Options{Teacher: teacher, Out: t.TempDir(), Comm: ranks(2)[0]})
	require.ErrorContains(t, err, "a budget is counted by one process")
}
