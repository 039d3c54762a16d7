package study

import (
	"math"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// probe is a layer that remembers what it last returned.
type probe struct {
	nn.Layer
	said *tensor.Tensor
}

func (p *probe) Forward(x *tensor.Tensor) *tensor.Tensor {
	p.said = p.Layer.Forward(x).Keep() // a block that does not train else recycles what it made
	return p.said
}

// gaze is how much an attention head looks at each of a picture's tokens, from the place where the answer begins.
type gaze struct {
	layer, head int
	weights     []float64 // of the picture's tokens; they add up to at most 1
}

// lookedAt finds the head that looks most sharply at the picture while the model begins to answer. The fused attention
// keeps no weights, so they are computed again from queries and keys: softmax(q·k/√D) in the last row. b holds one
// prompt.
func lookedAt(m *connector.VLM, b connector.Batch) gaze {
	language := m.Language.(*llm.Llama)
	_, places := Apart(b.IDs.IntData())
	T := b.IDs.Dim(1)
	positions := make([]int32, T)
	for t := range positions {
		positions[t] = int32(t)
	}
	var best gaze
	tensor.Scope(func(s *tensor.Arena) {
		var queries, keys []*probe
		for _, l := range language.Decoder.Layers {
			a := l.(*llm.LlamaBlock).Attention
			q, k := &probe{Layer: a.QueryNorm}, &probe{Layer: a.KeyNorm}
			queries, keys = append(queries, q), append(keys, k)
			a.QueryNorm, a.KeyNorm = q, k
			defer func() { a.QueryNorm, a.KeyNorm = q.Layer, k.Layer }()
		}
		m.Hidden(b.In(s))
		cos, sin := language.RoPE().At(positions)
		for i := range queries {
			q := tensor.RoPE(queries[i].said.Detach(), cos, sin) // [1, T, H, D]
			k := tensor.RoPE(keys[i].said.Detach(), cos, sin)    // [1, T, G, D]
			for h := range q.Dim(2) {
				w := attention(q, k, h)
				g := gaze{layer: i, head: h}
				for _, p := range places {
					g.weights = append(g.weights, w[p])
				}
				if best.weights == nil || sharpest(g.weights) > sharpest(best.weights) {
					best = g
				}
			}
		}
	})
	return best
}

// attention is the last row of head h of softmax(q·k/√D): [T].
func attention(q, k *tensor.Tensor, h int) []float64 {
	_, T, H, D := q.Dims4()
	G := k.Dim(2)
	last := q.Data()[((T-1)*H+h)*D:][:D]
	w := make([]float64, T)
	top, sum := math.Inf(-1), 0.0
	for t := range w {
		key := k.Data()[(t*G+h*G/H)*D:][:D]
		for d := range D {
			w[t] += float64(last[d]) * float64(key[d])
		}
		w[t] /= math.Sqrt(float64(D))
		top = max(top, w[t])
	}
	for t := range w {
		w[t] = math.Exp(w[t] - top)
		sum += w[t]
	}
	for t := range w {
		w[t] /= sum
	}
	return w
}

func sharpest(w []float64) float64 {
	top := 0.0
	for _, x := range w {
		top = max(top, x)
	}
	return top
}
