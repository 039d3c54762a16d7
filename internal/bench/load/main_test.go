package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake streams an answer of three tokens, the seed among them, and spoils some.
func fake(t *testing.T, n *atomic.Int64, spoil func(n int64) string) *server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Seed int }
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		kind := spoil(n.Add(1))
		if kind == "busy" {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if kind == "mixed" {
			q.Seed++
		}
		event := `data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": null}]}` + "\n\n"
		fmt.Fprintf(w, event, "an")
		fmt.Fprintf(w, event, fmt.Sprint(q.Seed))
		if kind == "cut" {
			return
		}
		fmt.Fprint(w, `data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}`+"\n\n"+
			`data: {"choices": [], "usage": {"completion_tokens": 3}}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return &server{url: s.URL, pid: os.Getpid()}
}

func TestLoadCounts(t *testing.T) {
	requests := questions(options{prompts: 5, tokens: 8, images: true})
	var asked atomic.Int64
	s := fake(t, &asked, func(n int64) string { return map[int64]string{9: "mixed", 12: "cut", 15: "busy"}[n] })
	require.NoError(t, s.learn(t.Context(), requests))
	require.Equal(t, []string{"an1000", "an1001", "an1002", "an1003", "an1004"}, s.alone)
	var r row
	for asked.Load() < 20 { // until all that is spoilt was asked for
		r = better(r, s.load(t.Context(), requests, 3, 20*time.Millisecond))
	}
	require.Equal(t, 1, r.others)
	require.Equal(t, 2, r.failed)
	require.Error(t, r.err)
	require.Positive(t, r.rate)
	require.NotEmpty(t, r.first)
	if s.resident() > 0 {
		require.Positive(t, r.resident)
	}
}

func TestWithin(t *testing.T) {
	at := time.Unix(100, 0)
	a := reply{began: at, first: time.Second, end: 3 * time.Second}
	for s, want := range map[int]float64{0: 0, 1: 0, 2: 0.5, 3: 1, 9: 1} {
		require.InDelta(t, want, within(a, at.Add(time.Duration(s)*time.Second)), 1e-9)
	}
	require.InDelta(t, 1, within(reply{began: at}, at.Add(1)), 1e-9, "a single token")
}

func TestPercentile(t *testing.T) {
	require.Zero(t, percentile(nil, 50))
	x := []float64{3, 1, 2, 4}
	for p, want := range map[int]float64{1: 1, 50: 2, 95: 4, 100: 4} {
		require.Equal(t, want, percentile(x, p))
	}
}

func TestNumbers(t *testing.T) {
	n, err := numbers("1, 16")
	require.NoError(t, err)
	require.Equal(t, []int{1, 16}, n)
	for _, bad := range []string{"", "0", "a", "1,,2"} {
		_, err := numbers(bad)
		require.ErrorContains(t, err, "-clients")
	}
}
