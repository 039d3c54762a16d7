package study

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// WidgetLesson is a lesson of n pictures that show widgets, in all the variants whose names are the same: with ten
// pictures of each, a widget has else been seen at half of the places only, and next to few others.
func (j *Study) WidgetLesson(l *Lesson, m *connector.VLM, n int) *Lesson {
	few := *l
	few.Pool = NewExam(j.World, shapes.Train, shapes.Widget, n).Pool.varied(j.World.Cell)
	few.Pool.Look(m.Vision, j.Selects)
	return &few
}

// WidgetBatches makes batches of which one half asks about the few pictures and the other is stage 2's.
func WidgetBatches(l, few *Lesson, c Length) train.Batches[connector.Batch] {
	replay := l.Samples("lora", c,
		func(l *Lesson, r *rand.Rand, _ float64) (int, func(shapes.Scene) []shapes.Question) {
			return Instructions(l, r, 1)
		})
	return func(_ context.Context, n int) (connector.Batch, error) {
		r := l.World.Rand("lora/widgets", n)
		var all []Sample
		features := [][]float32{}
		for _, s := range replay(n)[:c.Batch/2] {
			all, features = append(all, s), append(features, l.Pool.feature(s.Picture))
		}
		for range c.Batch - c.Batch/2 {
			i := r.IntN(len(few.Pool.Scenes))
			q, ok := few.Pool.Scenes[i].Ask(r, shapes.Widget)
			if !ok {
				return connector.Batch{}, fmt.Errorf("widget picture %d shows no widget", i)
			}
			s := Sample{Picture: i}
			s.IDs, s.Labels = l.Vocabulary.conversation([]shapes.Question{q}, l.Places, false)
			all, features = append(all, s), append(features, few.Pool.feature(i))
		}
		var b connector.Batch
		b.IDs, b.Labels = l.Pad(all)
		P, D := l.Pool.features.Dim(1), l.Pool.features.Dim(2)
		flat := make([]float32, 0, len(features)*P*D)
		for _, f := range features {
			flat = append(flat, f...)
		}
		b.Features = tensor.Wrap(flat, len(features), P, D)
		return b, nil
	}
}
