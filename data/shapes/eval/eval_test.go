package eval

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

func world(t testing.TB, c shapes.Config) *shapes.World {
	t.Helper()
	w, err := shapes.New(c)
	require.NoError(t, err)
	return w
}

func (s Set) answers() []string {
	all := make([]string, len(s))
	for i, item := range s {
		all[i] = item.Answer
	}
	return all
}

// TestPriors lets a guesser learn from many questions what is answered most often to each text, and checks that on
// others it reaches what Prior says, and not more.
func TestPriors(t *testing.T) {
	const n = 2000
	for name, c := range map[string]shapes.Config{"default": shapes.Default(21), "smoke": shapes.Smoke(21)} {
		w := world(t, c)
		scores, priors := map[shapes.Family]float64{}, map[shapes.Family]float64{}
		for _, f := range w.Families(shapes.Test) {
			counts := map[string]map[string]int{}
			for _, item := range Questions(w, shapes.Validation, f, n) {
				for _, key := range []string{item.Text, ""} {
					if counts[key] == nil {
						counts[key] = map[string]int{}
					}
					counts[key][item.Answer]++
				}
			}
			best := func(text string) string {
				answer, most := "", 0
				for a, k := range counts[text] {
					if k > most || k == most && a < answer {
						answer, most = a, k
					}
				}
				return answer
			}
			set := Questions(w, shapes.Test, f, n)
			var guesses []string
			for _, item := range set {
				text := item.Text
				if counts[text] == nil {
					text = ""
				}
				guesses = append(guesses, best(text))
			}
			scores[f], priors[f] = Exact(set, guesses), Prior(w, shapes.Test, f)
			t.Logf("%s %-16s blind %.3f, prior %.3f", name, f, scores[f], priors[f])
			require.Less(t, scores[f], priors[f]+0.03, "%s, %s", name, f)
			if f != shapes.Walk { // its answers repeat the names in the question, so counting does not learn them
				require.Greater(t, scores[f], priors[f]-0.03, "%s, %s", name, f)
			}
		}
		blind, prior := Mean(Weights(), scores), Mean(Weights(), priors)
		t.Logf("%s mix blind %.3f, prior %.3f", name, blind, prior)
		require.InDelta(t, prior, blind, 0.01)
		if name == "default" {
			require.Less(t, blind, 0.343)
		}
	}
}

// TestPerfect gives every scorer the right answers, and then those of other questions.
func TestPerfect(t *testing.T) {
	w := world(t, shapes.Default(22))
	for _, split := range []shapes.Split{shapes.Test, shapes.Comp} {
		for _, f := range w.Families(split) {
			set := Questions(w, split, f, 200)
			right := set.answers()
			require.Equal(t, 1.0, Exact(set, right))
			var wrong []string
			for _, i := range Shuffle(len(set), 1) {
				wrong = append(wrong, right[i])
			}
			require.Less(t, Exact(set, wrong), 0.62, "%s %s", split, f)
		}
	}
	walk := Questions(w, shapes.Test, shapes.Walk, 300)
	require.Equal(t, ReasoningScore{Faithful: 1, Facts: 3, Direction: 1, Exact: 1}, Reasoning(walk, walk.answers()))
	turned := walk.answers()
	for i, a := range turned {
		turned[i] = strings.NewReplacer("so go left", "so go right", "so go right", "so go left", "so go up", "so go down", "so go down", "so go up").Replace(a)
	}
	score := Reasoning(walk, turned)
	require.Zero(t, score.Direction)
	require.InDelta(t, 2.0/3, score.Faithful, 1e-9)

	brief := Questions(w, shapes.Test, shapes.Brief, 300)
	require.Equal(t, CaptionScore{Precision: 1, Recall: 1, F1: 1, AllRight: 1}, Captions(brief, brief.answers()))
	var others []string
	for _, i := range Shuffle(len(brief), 2) {
		others = append(others, brief[i].Answer)
	}
	c := Captions(brief, others)
	require.Less(t, c.F1, 0.2)
	require.Greater(t, c.CHAIRi, 0.8)

	require.Panics(t, func() { Exact(brief, nil) })
}

func TestPOPE(t *testing.T) {
	set := Set{}
	for _, a := range []string{"yes", "yes", "yes", "no", "no"} {
		set = append(set, Item{Question: shapes.Question{Answer: a}})
	}
	got := POPE(set, []string{"yes", "Yes, no doubt", "it is . no", "no", "Nothing"}) // as LLaVA reads them: yes no yes no yes
	require.Equal(t, POPEScore{Accuracy: 3.0 / 5, Precision: 2.0 / 3, Recall: 2.0 / 3, F1: 4.0 / 6, YesRatio: 3.0 / 5}, got)
	require.Zero(t, POPE(nil, nil))
}

func TestCaptions(t *testing.T) {
	w := world(t, shapes.Default(23))
	var s shapes.Scene
	for i := 0; len(s.Objects) != 2; i++ {
		s = w.Scene(shapes.Test, i, shapes.Options{})
	}
	a, b := s.Objects[0], s.Objects[1]
	other := shapes.Red
	if a.Color == other || b.Color == other {
		other = shapes.Blue
		if a.Color == other || b.Color == other {
			other = shapes.Green
		}
	}
	text := "a " + a.Size.String() + " " + a.Pair().String() + " at the " + w.Place(a.Cell) + " and a " + b.Pair().String() +
		" and a " + other.String() + " star and a " + other.String() + " star ."
	got := Captions(Set{{Scene: s}}, []string{text})
	require.Equal(t, CaptionScore{Precision: 2.0 / 3, Recall: 1, F1: 4.0 / 5, CHAIRi: 0.5, CHAIRs: 1, AllRight: 0.5}, got)
}

// TestFacts reads back all that the world says about its scenes, and finds the one thing that is wrong with hard
// negatives and with descriptions of counterfactuals.
func TestFacts(t *testing.T) {
	for _, c := range []shapes.Config{shapes.Default(24), shapes.Smoke(24)} {
		w := world(t, c)
		for i := range 500 {
			s := w.Scene(shapes.Train, i, shapes.Options{})
			r := w.Rand("facts", i)
			n, sign := len(s.Objects), 0
			if s.Sign != nil {
				sign = 1
			}
			for text, want := range map[string]int{s.Caption(): 3*n + sign, s.Detail(): 1 + 2*n + sign} {
				ok, stated := Facts(s, "", text)
				require.Equal(t, []int{want, want}, []int{ok, stated}, text)
			}
			right, wrong := s.Contrast(r)
			ok, stated := Facts(s, "", right)
			require.Equal(t, stated, ok, right)
			if wrong != "" {
				ok, all := Facts(s, "", wrong)
				require.Equal(t, stated, all)
				require.Less(t, ok, all, "%s is true of %s", wrong, s.Caption())
			}
			if q, ok := s.Ask(r, shapes.SizeOf); ok {
				if other, _, changed := s.Counterfactual(r, q); changed {
					ok, stated := Facts(other, "", s.Detail())
					require.Equal(t, stated-1, ok)
				}
			}
		}
		s := w.Scene(shapes.Train, 0, shapes.Options{})
		for _, babble := range []string{"the the", "a", "it is small", "so go", "red circle", "a red circle circle", "there are shapes", "the sign says", "is is is"} {
			ok, stated := Facts(s, "how ?", babble+" .")
			require.Equal(t, []int{0, 1}, []int{ok, stated}, babble)
		}
		ok, stated := Facts(s, "", " . ")
		require.Zero(t, ok+stated)
	}
}

func TestCounterfactuals(t *testing.T) {
	w := world(t, shapes.Default(25))
	for _, f := range []shapes.Family{shapes.ColorOf, shapes.ShapeOf, shapes.Where, shapes.SizeOf, shapes.PopeRandom, shapes.LeftOf, shapes.Above, shapes.CountColor} {
		twins := Counterfactuals(w, shapes.Test, f, 60)
		require.Len(t, twins.A, 60, f)
		require.Equal(t, 1.0, twins.Both(twins.A.answers(), twins.B.answers()))
		require.Zero(t, twins.Both(twins.A.answers(), twins.A.answers()))
		for i, a := range twins.A {
			b := twins.B[i]
			require.Equal(t, a.Text, b.Text)
			truth, err := b.Scene.Answer(b.Text)
			require.NoError(t, err)
			require.Equal(t, truth, b.Answer)
			require.Equal(t, len(a.Scene.Objects), len(b.Scene.Objects))
		}
	}
	require.Empty(t, Counterfactuals(w, shapes.Test, shapes.CountAll, 60).A)
}

func TestZeroShot(t *testing.T) {
	w := world(t, shapes.Default(26))
	for split, labels := range map[shapes.Split]int{shapes.Test: 25, shapes.Comp: 30} {
		z := Classify(w, split, 100)
		require.Len(t, z.Labels, labels)
		require.Equal(t, 1.0, z.Accuracy(z.Truth))
		for i, s := range z.Scenes {
			require.Contains(t, z.Labels[z.Truth[i]], s.Objects[0].Pair().String())
		}
	}
}

// TestBabble scores random words: nothing may panic, and no text states more truths than facts.
func TestBabble(t *testing.T) {
	w := world(t, shapes.Default(27))
	r, vocabulary := w.Rand("babble", 0), append(shapes.Vocabulary(), "", ".", ".", "the", "is", "red", "circle", "and")
	for i := range 5_000 {
		s, q := w.Ask(shapes.Test, shapes.Walk, i%100)
		words := strings.Fields(q.Answer)
		if i%2 == 0 {
			words = strings.Fields(s.Caption())
		}
		for k := range words {
			if r.IntN(3) == 0 {
				words[k] = vocabulary[r.IntN(len(vocabulary))]
			}
		}
		text := strings.Join(words[:r.IntN(len(words)+1)], " ")
		ok, stated := Facts(s, q.Text, text)
		require.LessOrEqual(t, ok, stated)
		set := Set{{Scene: s, Question: q}}
		Captions(set, []string{text})
		Reasoning(set, []string{text})
		POPE(set, []string{text})
		Facts(s, text, q.Answer)
	}
}
