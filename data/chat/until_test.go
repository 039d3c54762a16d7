package chat_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
)

// TestUntil cuts random texts into random pieces: what is passed on is the text before the stop string that is complete
// first, however the text was cut, and nothing of that string was passed on while it was incomplete.
func TestUntil(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	stopped := 0
	for range 5000 {
		text := letters(r.IntN(14))
		stop := []string{letters(1 + r.IntN(4)), "", letters(2 + r.IntN(4))}
		want := len(text)
		for n := 1; n <= len(text) && want == len(text); n++ { // byte by byte
			for _, s := range stop {
				if s != "" && strings.HasSuffix(text[:n], s) {
					want = min(want, n-len(s))
				}
			}
		}
		u := chat.NewUntil(stop...)
		got := ""
		for rest := text; rest != ""; {
			n := 1 + r.IntN(len(rest))
			got += u.Add(rest[:n])
			rest = rest[n:]
			require.LessOrEqual(t, len(got), want, "%q of %q, stop %q", got, text, stop)
		}
		got += u.Rest()
		require.Equal(t, text[:want], got, "%q, stop %q", text, stop)
		require.Equal(t, want < len(text), u.Stopped())
		if u.Stopped() {
			stopped++
		}
	}
	require.Greater(t, stopped, 500)
	var all chat.Until
	require.Equal(t, "abc", all.Add("abc")+all.Rest())
}
