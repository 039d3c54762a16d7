package shapes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts calls f with every text that training could see about a scene.
func texts(s Scene, r *rand.Rand, f func(kind, text string)) {
	f("caption", s.Caption())
	f("detail", s.Detail())
	f("words", s.InWords(r))
	right, wrong := s.Contrast(r)
	f("contrast", right)
	f("hard negative", wrong)
	for _, q := range s.Converse(r, Conversation(), 4) {
		f("question", q.Text+" "+q.Answer)
	}
	for _, family := range []Family{Exist, PopeRandom, PopePopular, PopeAdversarial, WhatIsAt, LeftOf, Above, Walk, Brief, Detail, Widget} {
		if q, ok := s.Ask(r, family); ok {
			f(string(family), q.Text+" "+q.Answer)
		}
	}
}

// TestTextGolden pins what is said and asked about the first scenes.
func TestTextGolden(t *testing.T) {
	for name, want := range map[string]string{"default": "c890103b648022cf", "smoke": "203966efffa5f5b4"} {
		w := world(t, Default(1))
		if name == "smoke" {
			w = world(t, Smoke(1))
		}
		h := sha256.New()
		for i := range 50 {
			texts(w.Scene(Train, i, Options{}), w.Rand("golden", i), func(kind, text string) { fmt.Fprintln(h, kind, text) })
			for _, split := range []Split{Test, Comp} {
				for _, f := range w.Families(split) {
					_, q := w.Ask(split, f, i)
					fmt.Fprintln(h, q.Text, q.Answer)
				}
			}
		}
		assert.Equal(t, want, hex.EncodeToString(h.Sum(nil))[:16], name)
	}
}

// TestHeldOutIsNeverNamed looks for held-out pairs in all training texts, and for words that the vocabulary has not, or
// has for nothing.
func TestHeldOutIsNeverNamed(t *testing.T) {
	used := map[string]bool{}
	vocabulary := Vocabulary()
	for name, w := range worlds(t) {
		held := map[string]bool{}
		for p := range w.held {
			held[p.String()] = true
		}
		for i := range 300 {
			for _, split := range []Split{Train, Validation, Text} {
				texts(w.Scene(split, i, Options{}), w.Rand("texts", i), func(kind, text string) {
					before := ""
					for _, word := range strings.Fields(text) {
						if !used[word] {
							require.Contains(t, vocabulary, word)
							used[word] = true
						}
						if held[before+" "+word] {
							t.Fatalf("%s: %s names %s %s: %s", name, kind, before, word, text)
						}
						before = word
					}
				})
			}
		}
	}
	for _, word := range vocabulary {
		if len(word) > 1 || word[0] > 'Z' { // rare letters need more scenes than this
			assert.True(t, used[word] || slices.Contains([]string{"zero", "five", "six", "seven", "eight", "nine"}, word), "%q is never said", word)
		}
	}
	t.Logf("%d words", len(vocabulary))

	c := Default(13)
	c.TextHeldOut = 0.5
	w, held := world(t, c), 0
	for i := range 400 {
		if s := w.Scene(Text, i, Options{}); slices.ContainsFunc(s.Objects, func(o Object) bool { return w.held[o.Pair()] }) {
			held++
		}
	}
	require.InDelta(t, 200, held, 50)
}

// TestHeldOutIsNamedEitherWay counts yes and no among the existence questions that name held-out pairs.
func TestHeldOutIsNamedEitherWay(t *testing.T) {
	w := world(t, Default(14))
	for _, f := range []Family{PopeRandom, PopeAdversarial} {
		strange := map[string]int{}
		for i := range 400 {
			s, q := w.Ask(Comp, f, i)
			named := slices.IndexFunc(w.HeldOut, func(p Pair) bool { return strings.HasSuffix(q.Text, " "+p.String()+" ?") })
			require.GreaterOrEqual(t, named, 0, q.Text)
			if slices.ContainsFunc(s.Objects, func(o Object) bool { return w.held[o.Pair()] }) {
				strange[q.Answer]++
			}
		}
		require.Equal(t, 200, strange["yes"])
		require.Greater(t, strange["no"], 120) // so a strange pair somewhere in the picture is no reason to say yes
	}
	for _, f := range []Family{ColorOf, ShapeOf, Where, SizeOf} {
		for i := range 100 {
			s, q := w.Ask(Comp, f, i)
			o := s.Objects[slices.IndexFunc(s.Objects, func(o Object) bool { return w.held[o.Pair()] })]
			answer := map[Family]string{ColorOf: o.Color.String(), ShapeOf: o.Shape.String(), Where: w.Place(o.Cell), SizeOf: o.Size.String()}[f]
			require.Equal(t, answer, q.Answer)
		}
	}
}

// TestSkew measures for every two factors of an object how far any combination is from as often as chance would have
// it. Colour and shape are apart, since held-out pairs are never together: there the seen pairs must be equally often.
func TestSkew(t *testing.T) {
	const scenes = 8_000
	for name, c := range map[string]Config{"default": Default(15), "smoke": Smoke(15)} {
		w := world(t, c)
		factors := []string{"colour", "shape", "size", "cell", "objects", "sign", "tint"}
		counts := map[string]float64{}
		total := 0.0
		for i := range scenes {
			s := w.Scene(Train, i, Options{})
			for _, o := range s.Objects {
				total++
				values := []int{int(o.Color), int(o.Shape), int(o.Size), 3*o.Cell.Row + o.Cell.Col, len(s.Objects), 0, s.Tint}
				if s.Sign != nil {
					values[5] = 1 + s.Sign.Row
				}
				for a, x := range values {
					counts[fmt.Sprint(factors[a], x)]++
					for b, y := range values[:a] {
						counts[fmt.Sprint(factors[b], y, " ", factors[a], x)]++
					}
				}
			}
		}
		for both, n := range counts {
			left, right, pair := strings.Cut(both, " ")
			expected := counts[left] * counts[right] / total
			switch {
			case !pair, strings.HasPrefix(left, "cell") && strings.HasPrefix(right, "sign"): // a sign keeps its row free
				continue
			case strings.HasPrefix(left, "colour") && strings.HasPrefix(right, "shape"):
				expected = total / float64(len(w.seen))
			}
			require.InDelta(t, expected, n, 5*math.Sqrt(expected)+0.03*expected, "%s: %s %.0f", name, both, n)
		}
	}
}

// TestQuestionsDoNotOverlap compares the scenes of questions and counterfactuals with those of training.
func TestQuestionsDoNotOverlap(t *testing.T) {
	w := world(t, Default(16))
	trained := map[uint64]bool{}
	for i := range 30_000 {
		trained[w.Scene(Train, i, Options{}).fingerprint()] = true
	}
	for i := range 300 {
		_, q := w.Ask(Train, Where, i)
		require.NotEmpty(t, q.Text)
	}
	for _, split := range Splits()[1:] {
		for _, f := range w.Families(split) {
			for i := range 40 {
				s, q := w.Ask(split, f, i)
				require.False(t, trained[s.fingerprint()])
				if f == CountAll || f == ReadWord || f == ReadNumber {
					continue
				}
				if other, _, ok := s.Counterfactual(w.Rand("other", i), q); ok {
					require.False(t, trained[other.fingerprint()])
				}
			}
		}
	}
}

// TestAnswersAreBalanced counts the answers to a family's questions, which take turns.
func TestAnswersAreBalanced(t *testing.T) {
	w := world(t, Default(17))
	for _, f := range w.Families(Test) {
		answers := w.Answers(Test, f)
		n := 4 * len(answers)
		if f == ColorOf || f == ShapeOf {
			n = 4 * len(w.seen)
		}
		counts := map[string]int{}
		for i := range n {
			_, q := w.Ask(Test, f, i)
			answer := q.Answer
			if f == Walk {
				_, answer, _ = strings.Cut(strings.TrimSuffix(answer, " ."), " so go ")
			}
			counts[answer]++
		}
		require.Len(t, counts, len(answers), f)
		for answer, k := range counts {
			if f == ColorOf || f == ShapeOf {
				require.GreaterOrEqual(t, k, 16, "%s %s", f, answer)
			} else {
				require.Equal(t, 4, k, "%s %s", f, answer)
			}
		}
	}
}

func TestContrast(t *testing.T) {
	w := world(t, Default(18))
	var one, size, place, none int
	const n = 4000
	for i := range n {
		s := w.Scene(Train, i, Options{MinObjects: 2, Sign: NoSign})
		right, wrong := s.Contrast(w.Rand("contrast", i))
		one += toInt(strings.Count(right, " and ") == 0)
		size += toInt(strings.Contains(right, "small") || strings.Contains(right, "large"))
		place += toInt(strings.Contains(right, " at the "))
		none += toInt(wrong == "")
		require.NotEqual(t, right, wrong)
		if wrong != "" {
			require.Equal(t, len(strings.Fields(right)), len(strings.Fields(wrong)), "%s / %s", right, wrong)
		}
	}
	require.InDelta(t, 0.30, float64(one)/n, 0.03)
	require.InDelta(t, 0.50, float64(size)/n, 0.03)
	require.InDelta(t, 0.75, float64(place)/n, 0.03)
	require.Less(t, none, n/50)
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestConverse(t *testing.T) {
	w := world(t, Default(19))
	counts, read, signs := map[Family]int{}, 0, 0
	for i := range 2000 {
		s := w.Scene(Train, i, Options{})
		turns := s.Converse(w.Rand("talk", i), Conversation(), 4)
		require.LessOrEqual(t, len(turns), 4)
		require.NotEmpty(t, turns)
		seen := map[string]bool{}
		for _, q := range turns {
			require.False(t, seen[q.Text])
			seen[q.Text] = true
			counts[q.Family]++
			answer, err := s.Answer(q.Text)
			require.NoError(t, err)
			require.Equal(t, answer, q.Answer)
			if q.Family == Read {
				read++
			}
		}
		if s.Sign != nil {
			signs++
		}
		for _, q := range s.Converse(w.Rand("look", i), LookUp(), 3) {
			require.Contains(t, []Family{Exist, ColorOf, ShapeOf, Where, Read}, q.Family)
		}
		require.Empty(t, s.Converse(w.Rand("none", i), LookUp(), 0))
	}
	require.InDelta(t, 0.7, float64(read)/float64(signs), 0.05)
	for _, share := range Conversation() {
		require.Greater(t, counts[share.Family], 100, share.Family)
	}
	require.Panics(t, func() { w.Scene(Train, 0, Options{}).Ask(w.Rand("x", 0), "nonsense") })
	require.Panics(t, func() { w.Ask(Test, "nonsense", 0) })
	require.PanicsWithError(t, "shapes: a mix without weights", func() { w.Scene(Train, 0, Options{}).Converse(w.Rand("x", 0), nil, 1) })
	require.Panics(t, func() { w.Ask(Comp, PopePopular, 0) })
}

func TestAnswerFails(t *testing.T) {
	w := world(t, Default(20))
	s := w.Scene(Train, 0, Options{MinObjects: 2, MaxObjects: 2, Sign: NoSign})
	for _, q := range []string{"", "is", "is the", "is there a", "is there a red", "is there a red circle", "is there a red circle ? yes", "where is the cat ?", "how many cats are there ?", "what is at the moon ?"} {
		_, err := s.Answer(q)
		require.ErrorContains(t, err, "cannot read", q)
	}
	for _, q := range []string{"where is the red square ?", "read the sign .", "is the red square small or large ?", "is the red square above the blue circle ?"} {
		_, err := s.Answer(q)
		require.ErrorContains(t, err, "no single answer", q)
	}
}

// TestBabble asks questions and gives contexts of random words: nothing may panic.
func TestBabble(t *testing.T) {
	w := world(t, Default(21))
	r, vocabulary := w.Rand("babble", 0), append(Vocabulary(), "\n\n", "\n", "[0.1,", "0.2]", "", "sign:", "red")
	for i := range 20_000 {
		s := w.Scene(Train, i%100, Options{})
		words := strings.Fields(s.Caption())
		if i%2 == 0 {
			q, _ := s.Ask(r, CountColor)
			words = strings.Fields(q.Text)
		}
		for k := range words {
			if r.IntN(4) == 0 {
				words[k] = vocabulary[r.IntN(len(vocabulary))]
			}
		}
		text := strings.Join(words[:r.IntN(len(words)+1)], " ")
		_, _ = s.Answer(text)
		_, _ = w.ReadContext(text)
	}
}
