package eval

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/shapes"
)

// ZeroShot is a classification of pictures of single objects by the texts of their pairs.
type ZeroShot struct {
	Labels []string // "a red circle ."
	Scenes []shapes.Scene
	Truth  []int // the label of each scene
}

// Classify makes n pictures of a split. The labels are the seen pairs; for [shapes.Comp], whose pictures show held-out
// pairs, all pairs.
func Classify(w *shapes.World, split shapes.Split, n int) ZeroShot {
	pairs := w.SeenPairs()
	if split == shapes.Comp {
		pairs = shapes.AllPairs()
	}
	var z ZeroShot
	for _, p := range pairs {
		article := "a"
		if p.Color == shapes.Orange {
			article = "an"
		}
		z.Labels = append(z.Labels, fmt.Sprintf("%s %s .", article, p))
	}
	for i := range n {
		s := w.Scene(split, i, shapes.Options{MinObjects: 1, MaxObjects: 1, Sign: shapes.NoSign})
		z.Scenes = append(z.Scenes, s)
		z.Truth = append(z.Truth, slices.Index(pairs, s.Objects[0].Pair()))
	}
	return z
}

// Accuracy is the share of scenes for which the right label was chosen.
func (z ZeroShot) Accuracy(chosen []int) float64 {
	must(len(z.Scenes), len(chosen))
	right := 0
	for i, c := range chosen {
		if c == z.Truth[i] {
			right++
		}
	}
	return share(right, len(chosen))
}
