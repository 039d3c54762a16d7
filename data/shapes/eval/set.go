package eval

import (
	"math/rand/v2"
	"strings"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/internal/misuse"
)

// Item is a question with the scene that it is about and the answer that is right.
type Item struct {
	shapes.Question
	Scene shapes.Scene
}

// Set is the questions of a family.
type Set []Item

// Questions are the first n questions of a family about a split, the same for every caller. Answers come in turn, so
// anything that pairs question i with a neighbour's picture must shuffle, as [Shuffle] does.
func Questions(w *shapes.World, split shapes.Split, f shapes.Family, n int) Set {
	set := make(Set, n)
	for i := range set {
		set[i].Scene, set[i].Question = w.Ask(split, f, i)
	}
	return set
}

// Shuffle is a permutation of n pictures, to measure what a model answers that is shown the wrong ones.
func Shuffle(n int, seed uint64) []int { return rand.New(rand.NewPCG(seed, 0x5bd1e995)).Perm(n) }

// Exact is the share of answers that are right word for word. Answers are compared without regard to the space around
// and between words. It panics if there are not as many answers as questions, as all functions of this package do.
func Exact(set Set, answers []string) float64 {
	must(len(set), len(answers))
	right := 0
	for i, item := range set {
		if same(item.Answer, answers[i]) {
			right++
		}
	}
	return share(right, len(set))
}

func same(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}

func must(questions, answers int) {
	if questions != answers {
		panic(misuse.Errorf("eval", "as many answers are needed as there are questions"))
	}
}

// share is a/b, and 0 where b is.
func share(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Weights is the mix of families that [Mean] sums up a model with.
func Weights() shapes.Mix {
	return shapes.Mix{
		{Family: shapes.ColorOf, Weight: .12}, {Family: shapes.ShapeOf, Weight: .12},
		{Family: shapes.PopeRandom, Weight: .12}, {Family: shapes.PopeAdversarial, Weight: .12},
		{Family: shapes.CountAll, Weight: .08}, {Family: shapes.CountColor, Weight: .08},
		{Family: shapes.LeftOf, Weight: .10}, {Family: shapes.Above, Weight: .10}, {Family: shapes.Where, Weight: .16},
	}
}

// Mean is the mean of scores in a mix. Families without a score count for nothing, and if there is none at all the mean
// is 0.
func Mean(m shapes.Mix, scores map[shapes.Family]float64) float64 {
	sum, weights := 0.0, 0.0
	for _, s := range m {
		if x, ok := scores[s.Family]; ok {
			sum += s.Weight * x
			weights += s.Weight
		}
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}

// Prior is the share of questions of a family that the best guesser gets right who knows how [shapes.World.Ask] draws
// them and reads the question, but does not see the picture. It is 0 where answers are no short list.
func Prior(w *shapes.World, split shapes.Split, f shapes.Family) float64 {
	answers := w.Answers(split, f)
	if len(answers) == 0 {
		return 0
	}
	switch f {
	case shapes.ColorOf, shapes.ShapeOf: // all pairs equally often: one of the pairs that share what the question names
		pairs, named := w.SeenPairs(), map[int]bool{}
		if split == shapes.Comp {
			pairs = w.HeldOut
		}
		for _, p := range pairs {
			if f == shapes.ColorOf {
				named[int(p.Shape)] = true
			} else {
				named[int(p.Color)] = true
			}
		}
		return share(len(named), len(pairs))
	case shapes.Walk: // a direction, and the places that have it: a diagonal one leaves the fewest
		ways := w.Grid * (w.Grid - 1) / 2
		return 1 / float64(len(answers)*ways*ways)
	default:
		return 1 / float64(len(answers))
	}
}
