package study

import (
	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/tensor"
)

// gaze is how much an attention head looks at each of a picture's tokens, from the place where the answer begins.
type gaze struct {
	layer, head int
	weights     []float64 // of the picture's tokens; they add up to at most 1
}

// lookedAt finds the head that looks most sharply at the picture while the model begins to answer. b holds one prompt.
func lookedAt(m *connector.VLM, b connector.Batch) gaze {
	_, places := Apart(b.IDs.Host().IntData())
	var g connector.Gaze
	tensor.Scope(func(s *tensor.Arena) {
		var err error
		if g, err = m.Gaze(m.Embed(b.In(s)).Detach(), places, b.IDs.Dim(1)); err != nil {
			tensor.Fail("lookedAt", "%v", err)
		}
	})
	return gaze{g.Layer, g.Head, g.Weights[0]}
}

func sharpest(w []float64) float64 {
	top := 0.0
	for _, x := range w {
		top = max(top, x)
	}
	return top
}
