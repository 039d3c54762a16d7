package eval

import "github.com/gollava/gollava/data/shapes"

// Twins are questions about scenes and about their counterfactuals: B[i] has the text of A[i], another answer, and a
// scene in which one thing about one object is different.
type Twins struct{ A, B Set }

// Counterfactuals are the first n questions of a family that have a counterfactual, or fewer: none where a family has
// none.
func Counterfactuals(w *shapes.World, split shapes.Split, f shapes.Family, n int) Twins {
	var t Twins
	for i := 0; len(t.A) < n && i < 10*n; i++ {
		s, q := w.Ask(split, f, i)
		if changed, other, ok := s.Counterfactual(w.Rand("counterfactual/"+string(f), i), q); ok {
			t.A, t.B = append(t.A, Item{q, s}), append(t.B, Item{other, changed})
		} else if i > 100 && len(t.A) == 0 {
			break
		}
	}
	return t
}

// Both is the share of pairs in which both answers are right: who answers without looking gets none.
func (t Twins) Both(a, b []string) float64 {
	must(len(t.A), len(a))
	must(len(t.B), len(b))
	both := 0
	for i := range t.A {
		if same(t.A[i].Answer, a[i]) && same(t.B[i].Answer, b[i]) {
			both++
		}
	}
	return share(both, len(t.A))
}
