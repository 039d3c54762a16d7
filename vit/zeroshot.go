package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// Classifier tells which of some classes, given in words, an image shows. Source: Radford et al. 2021, section 3.1.
// It is safe for concurrent use.
type Classifier struct {
	Classes []string

	model   *CLIP
	weights *tensor.Tensor // [K, E], unit vectors
}

// NewClassifier makes a classifier of the classes: each is put into the place of {} in every template, and the
// embeddings of these prompts are averaged. encode turns a prompt into token ids with start and end of text; it is the
// tokenizer's part. With no templates, "a photo of a {}." is one.
func NewClassifier(m *CLIP, classes, templates []string, encode func(text string) ([]int32, error)) (*Classifier,
	error) {
	if len(templates) == 0 {
		templates = []string{"a photo of a {}."}
	}
	prompts := make([][][]int32, len(classes))
	for k, class := range classes {
		for _, t := range templates {
			text := strings.ReplaceAll(t, "{}", class)
			ids, err := encode(text)
			if err != nil {
				return nil, fmt.Errorf("zero-shot: prompt %q: %w", text, err)
			}
			prompts[k] = append(prompts[k], ids)
		}
	}
	w, err := m.ClassWeights(prompts)
	if err != nil {
		return nil, err
	}
	return &Classifier{Classes: slices.Clone(classes), model: m, weights: w}, nil
}

// Probabilities of the classes for images [B, 3, S, S]: [B, K], the softmax of the scaled cosines.
func (c *Classifier) Probabilities(pixels *tensor.Tensor) *tensor.Tensor {
	return c.model.Logits(c.model.EncodeImage(pixels.NoGrad()), c.weights).Softmax()
}

// Best is the index into Classes of the likeliest class of each image: [B].
func (c *Classifier) Best(pixels *tensor.Tensor) (best []int32) {
	tensor.Scope(func(s *tensor.Arena) {
		best = slices.Clone(c.Probabilities(pixels.In(s)).ArgMax(1).Host().IntData())
	})
	return best
}

// promptBatch bounds how many prompts go through the text tower at once.
const promptBatch = 64

// ClassWeights maps prompts of token ids [class][prompt][T], with start and end of text, to one unit vector per class:
// the normalised mean of the normalised embeddings of its prompts, [K, E]. A class without prompts, a prompt that is
// too long or an id outside the vocabulary is an error.
func (m *CLIP) ClassWeights(prompts [][][]int32) (*tensor.Tensor, error) {
	K, E := len(prompts), m.config.ProjectionDim
	if K == 0 {
		return nil, fmt.Errorf("zero-shot: there are no classes")
	}
	var flat [][]int32
	var class []int
	for k, list := range prompts {
		if len(list) == 0 {
			return nil, fmt.Errorf("zero-shot: class %d has no prompts", k)
		}
		for i, ids := range list {
			if err := m.checkPrompt(ids); err != nil {
				return nil, fmt.Errorf("zero-shot: class %d, prompt %d: %w", k, i, err)
			}
			flat, class = append(flat, ids), append(class, k)
		}
	}
	sums := make([]float32, K*E)
	for from := 0; from < len(flat); from += promptBatch {
		to := min(from+promptBatch, len(flat))
		tensor.Scope(func(s *tensor.Arena) {
			z := m.encodePrompts(s, flat[from:to]).Host().Data() // unit vectors
			for i := range to - from {
				sum := sums[class[from+i]*E:][:E]
				for e, v := range z[i*E:][:E] {
					sum[e] += v / float32(len(prompts[class[from+i]]))
				}
			}
		})
	}
	return tensor.Wrap(sums, K, E).L2Normalize(normEps).Keep(), nil
}

func (m *CLIP) checkPrompt(ids []int32) error {
	t := m.config.Text
	if len(ids) == 0 || len(ids) > t.MaxPositionEmbeddings {
		return fmt.Errorf("%d tokens: the text tower reads 1 to %d", len(ids), t.MaxPositionEmbeddings)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= t.VocabSize {
			return fmt.Errorf("id %d is outside the vocabulary of %d", id, t.VocabSize)
		}
	}
	return nil
}

// encodePrompts pads rows at the right, where causal attention cannot see it, and embeds them: [B, E], without history.
func (m *CLIP) encodePrompts(s *tensor.Arena, rows [][]int32) *tensor.Tensor {
	T := 0
	for _, r := range rows {
		T = max(T, len(r))
	}
	lengths := make([]int32, len(rows))
	padded := make([]int32, 0, len(rows)*T)
	for i, r := range rows {
		lengths[i] = int32(len(r))
		padded = append(padded, r...)
		padded = append(padded, make([]int32, T-len(r))...)
	}
	ids := tensor.WrapInts(padded, len(rows), T).In(s)
	t := m.TextTower()
	return m.project(t.pool(ids, t.embed(ids).NoGrad(), lengths))
}
