package connector

import (
	"context"
	"fmt"
	"math"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Gaze is how one attention head attends to the tokens of images while an answer is written.
type Gaze struct {
	Layer, Head int
	Weights     [][]float64 // for each token of the answer: of each image token; they add up to at most 1
}

// listener is a layer that remembers what it last returned. Without a layer it is the identity.
type listener struct {
	nn.Layer
	said *tensor.Tensor
}

func (l *listener) Forward(x *tensor.Tensor) *tensor.Tensor {
	if l.Layer != nil {
		x = l.Layer.Forward(x)
	}
	l.said = x.Keep() // a block that does not train else recycles what it made
	return x
}

// Gaze finds the head that attends most sharply to one of the image tokens while the answer begins, and returns its
// weights for every token of the answer. x [1, T, C] are prompt and answer, embedded; places are the positions of image
// tokens among them, and the answer begins at position from, so that its first token is chosen by position from−1. The
// fused attention keeps no weights: they are computed again from queries and keys, softmax(q·k/√D), on layers that
// share m's weights, so that others may use m meanwhile. A language model of another kind than [llm.Llama] is an error,
// and one whose attention has a scale or a cap of its own, or a window shorter than T.
func (m *VLM) Gaze(x *tensor.Tensor, places []int32, from int) (g Gaze, err error) {
	language, ok := m.Language.(*llm.Llama)
	if !ok {
		return g, fmt.Errorf("gaze: a language model of type %T is not supported", m.Language)
	}
	language = nn.Share(language)
	var queries, keys []*listener
	for _, b := range language.Decoder.Layers {
		block, ok := b.(*llm.LlamaBlock)
		if !ok {
			return g, fmt.Errorf("gaze: blocks of type %T are not supported", b)
		}
		q, k := &listener{Layer: block.Attention.QueryNorm}, &listener{Layer: block.Attention.KeyNorm}
		queries, keys = append(queries, q), append(keys, k)
		block.Attention.QueryNorm, block.Attention.KeyNorm = q, k
	}
	T := x.Dim(1)
	if c := language.Config(); c.SoftmaxScale != 0 || c.AttentionCap != 0 ||
		c.SlidingWindow > 0 && c.SlidingWindow < T {
		return g, fmt.Errorf("gaze: attention with a scale, a cap or a window of its own (%v, %v, %d) is not supported",
			c.SoftmaxScale, c.AttentionCap, c.SlidingWindow)
	}
	if len(places) == 0 || from < 1 || from > T {
		return g, fmt.Errorf("gaze: %d image tokens, an answer from position %d of %d", len(places), from, T)
	}
	if x.Dim(0) != 1 {
		return g, fmt.Errorf("gaze: %d rows: one at a time", x.Dim(0))
	}
	for _, p := range places {
		if p < 0 || int(p) >= from {
			return g, fmt.Errorf("gaze: an image token at position %d, but the answer begins at position %d", p, from)
		}
	}
	positions := make([]int32, T)
	for t := range positions {
		positions[t] = int32(t)
	}
	err = tensor.Catch(func() {
		tensor.Scope(func(s *tensor.Arena) {
			language.Hidden(llm.Input{Embeds: x.In(s).NoGrad()})
			cos, sin := language.RoPE().At(positions)
			top := -1.0
			for i := range queries {
				q := tensor.RoPE(queries[i].said.Detach(), cos, sin) // [1, T, H, D]
				k := tensor.RoPE(keys[i].said.Detach(), cos, sin)    // [1, T, G, D]
				for h := range q.Dim(2) {
					w := attention(q, k, from-1, h)
					for _, p := range places {
						if w[p] > top {
							top, g.Layer, g.Head = w[p], i, h
						}
					}
				}
			}
			q := tensor.RoPE(queries[g.Layer].said.Detach(), cos, sin)
			k := tensor.RoPE(keys[g.Layer].said.Detach(), cos, sin)
			for t := from - 1; t < max(T-1, from); t++ {
				w := attention(q, k, t, g.Head)
				seen := make([]float64, len(places))
				for i, p := range places {
					seen[i] = w[p]
				}
				g.Weights = append(g.Weights, seen)
			}
		})
	})
	return g, err
}

// attention is row t of head h of causal softmax(q·k/√D): [t+1].
func attention(q, k *tensor.Tensor, t, h int) []float64 {
	_, _, H, D := q.Dims4()
	G := k.Dim(2)
	keys := k.Host().Data()
	row := q.Host().Data()[(t*H+h)*D:][:D]
	w := make([]float64, t+1)
	top, sum := math.Inf(-1), 0.0
	for s := range w {
		key := keys[(s*G+h*G/H)*D:][:D]
		for d := range D {
			w[s] += float64(row[d]) * float64(key[d])
		}
		w[s] /= math.Sqrt(float64(D))
		top = max(top, w[s])
	}
	for s := range w {
		w[s] = math.Exp(w[s] - top)
		sum += w[s]
	}
	for s := range w {
		w[s] /= sum
	}
	return w
}

// Gaze is [VLM.Gaze] for a prompt of [Assistant.PromptIDs] with its images, and the tokens of its answer.
func (c *ImageCache) Gaze(ctx context.Context, ids []int32, shown []Visual,
	answer []int32) (Gaze, error) {
	keys, tokens, err := c.spread(ctx, ids, shown, map[digest]int32{})
	if err != nil {
		return Gaze{}, err
	}
	from := len(keys)
	var places []int32
	for i, k := range keys {
		if k < 0 {
			places = append(places, int32(i))
		}
	}
	x, err := c.embed(append(keys, answer...), 0, tokens)
	if err != nil {
		return Gaze{}, err
	}
	return c.a.Model.Gaze(x, places, from)
}
