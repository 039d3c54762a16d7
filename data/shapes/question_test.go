package shapes

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// worlds are the two presets and odd ones: a single object, as many as there is room for, many held-out pairs or none.
func worlds(t testing.TB) map[string]*World {
	all := map[string]*World{"default": world(t, Default(11)), "smoke": world(t, Smoke(11))}
	for name, change := range map[string]func(*Config){
		"single": func(c *Config) { c.MaxObjects = 1 },
		"two":    func(c *Config) { c.MinObjects, c.MaxObjects = 2, 2 },
		"six":    func(c *Config) { c.MinObjects, c.MaxObjects = 6, 6 },
		"none held": func(c *Config) {
			c.HeldOut = nil
		},
		"no red": func(c *Config) {
			c.HeldOut = AllPairs()[:5]
		},
		"full": func(c *Config) { c.Grid, c.Signs, c.MinObjects, c.MaxObjects = 2, 0, 4, 4 },
	} {
		c := Default(12)
		change(&c)
		all[name] = world(t, c)
	}
	return all
}

// TestAnswersAreTrue compares every answer with one that is looked up from the question's words, and every word with
// the vocabulary.
func TestAnswersAreTrue(t *testing.T) {
	vocabulary := Vocabulary()
	for name, w := range worlds(t) {
		for _, split := range Splits() {
			families := w.Families(split)
			for _, f := range families {
				answers := w.Answers(split, f)
				for i := range 30 {
					s, q := w.Ask(split, f, i)
					at := []any{"%s, %s, %s, %d: %+v %+v", name, split, f, i, q, s.Objects}
					answer, err := s.Answer(q.Text)
					require.NoError(t, err, at...)
					require.Equal(t, q.Answer, answer, at...)
					require.Equal(t, f, q.Family, at...)
					if f != Walk {
						require.Contains(t, answers, q.Answer, at...)
					}
					for _, word := range strings.Fields(q.Text + " " + q.Answer) {
						_, found := slices.BinarySearch(vocabulary, word)
						require.True(t, found, word)
					}
					again, qAgain := w.Ask(split, f, i)
					require.Equal(t, s, again)
					require.Equal(t, q, qAgain)
				}
			}
		}
	}
}
