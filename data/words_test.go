package data

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// TestWords: words are what lies between the blanks of Python's str.split: Unicode's and the four separators below.
func TestWords(t *testing.T) {
	blank := func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
	r := rand.New(rand.NewPCG(1, 2))
	letters := []rune("ab é三\t\n\v\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u2003\u3000\x00\x1b\x7f😀")
	for _, n := range []int{0, 1, 2, 3, 17, 33} {
		for range 200 {
			var b strings.Builder
			for range n {
				b.WriteRune(letters[r.IntN(len(letters))])
			}
			s := b.String()
			if n > 2 && r.IntN(3) == 0 {
				s = s[:len(s)-1] + "\xff " + s // not UTF-8
			}
			require.Equal(t, len(strings.FieldsFunc(s, blank)), words(s), "%q", s)
		}
	}
}
