package tokenizer

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestScanWords holds the loop against the pattern that is written into the file.
func TestScanWords(t *testing.T) {
	slow, err := otherPattern(wordPattern)
	require.NoError(t, err)
	some := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("ab1▁▁ \t\r\n.,-é\u0301\u00a0\u2028٣½漢😀")), rapid.Rune()))
	rapid.Check(t, func(r *rapid.T) {
		s := newPassage(some.Draw(r, "text"), false).text
		for at := 0; at < len(s); {
			from, to := scanWords(s, at)
			wantFrom, wantTo := slow(s, at)
			require.Equal(t, [2]int{wantFrom, wantTo}, [2]int{from, to}, "%q from %d", s, at)
			at = to
		}
	})
}
