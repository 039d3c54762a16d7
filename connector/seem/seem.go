// Package seem holds SEEM, which answers every kind of prompt with masks: nothing (all objects), text, clicks,
// scribbles, boxes, masks, a region of another picture, and its own previous answer. It reads and writes checkpoints
// under the authors' names, has their matching, losses and protocols of interaction, and a [Segmenter] for pictures in
// files.
package seem

import (
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/focalnet"
	"github.com/gollava/gollava/vit/pixeldecoder"
)

// Model is backbone, pixel decoder, text tower and mask decoder. Source: Zou et al. 2023, "Segment Everything
// Everywhere All at Once"; the authors' GeneralizedSEEM, names included. It is safe for concurrent use while nobody
// changes its parameters.
type Model struct {
	Backbone     *focalnet.Backbone    `param:"backbone"`
	PixelDecoder *pixeldecoder.Decoder `param:"sem_seg_head.pixel_decoder"`
	Decoder      *Decoder              `param:"sem_seg_head.predictor"`

	config Config
}

// New builds the model that c describes; with a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	backbone, err := focalnet.New(r, c.Focal)
	if err != nil {
		return nil, err
	}
	pixels, err := pixeldecoder.New(r, c.pixelDecoder())
	if err != nil {
		return nil, err
	}
	return &Model{Backbone: backbone, PixelDecoder: pixels, Decoder: newDecoder(r, c), config: c}, nil
}

// Config describes the model.
func (m *Model) Config() Config { return m.config }

// Normalize maps pixels 0 … 255, [B, 3, H, W], to what [Model.View] takes.
func (m *Model) Normalize(pixels *tensor.Tensor) *tensor.Tensor {
	in := m.config.Input
	var scale, shift [3]float32
	for i := range scale {
		scale[i], shift[i] = 1/in.Std[i], -in.Mean[i]/in.Std[i]
	}
	a := pixels.Arena()
	return pixels.Mul(tensor.From(scale[:], 1, 3, 1, 1).In(a)).Add(tensor.From(shift[:], 1, 3, 1, 1).In(a))
}

// View makes of normalised pixels [B, 3, H, W] what the decoder looks at. Any number of prompts may be asked of it.
func (m *Model) View(pixels *tensor.Tensor) *View {
	return m.Decoder.Look(m.PixelDecoder.Forward(m.Backbone.Forward(pixels)))
}

// Objects are the predictions without a prompt: those of the queries as they are, and behind every layer.
func (d *Decoder) Objects(v *View) []Prediction { return d.run(v, d.objects(v)) }

// Ground are the predictions for phrases.
func (d *Decoder) Ground(v *View, w Words) []Prediction { return d.run(v, d.grounding(v, &w)) }

// Prompt are the predictions for spatial prompts, whose queries stand prompt by prompt: [B, P·QUERY_NUMBER, ...].
func (d *Decoder) Prompt(v *View, e *Encoded) []Prediction {
	if B := v.masks.Dim(0); e.Positive.Dim(0) != B {
		tensor.Fail("SEEM", "prompts of %d pictures for a batch of %d", e.Positive.Dim(0), B)
	}
	return d.run(v, d.spatial(v, e))
}

// Logits compare queries [B, Q, E] with classes [C+1, E] of [Language.Classes]: [B, Q, C+1].
func (d *Decoder) Logits(class, classes *tensor.Tensor) *tensor.Tensor {
	return unit(class).MatMulT(classes).Mul(d.Language.LogitScale.In(class.Arena()).Exp())
}

// Answer is the index of each prompt's query whose mask embedding is nearest to the mean feature of the prompt's
// positive points: [B, P], among the prompt's own queries.
func (d *Decoder) Answer(p Prediction, e *Encoded) *tensor.Tensor {
	scores := p.Embed.Detach().MatMulT(e.Positive.Detach()) // [B, P·S, P]
	B, N, P := scores.Dims3()
	S := N / P
	best, all := make([]int32, B*P), scores.Host().Data()
	for i := range best {
		b, n := i/P, i%P
		at := func(q int) float32 { return all[(b*N+q)*P+n] }
		best[i] = int32(n * S)
		for q := n * S; q < (n+1)*S; q++ {
			if at(q) > at(int(best[i])) {
				best[i] = int32(q)
			}
		}
	}
	return tensor.WrapInts(best, B, P)
}

// AnswerText is the index of the query that is nearest to each phrase [B, P, E], by cosine: [B, P].
func (d *Decoder) AnswerText(p Prediction, phrases *tensor.Tensor) *tensor.Tensor {
	scores := unit(p.Class.Detach()).MatMulT(unit(phrases.Detach())) // [B, Q, P]
	return scores.ArgMax(1)
}

// Chosen are the mask logits of the queries that [Decoder.Answer] or [Decoder.AnswerText] names: [B, P, h, w].
func Chosen(p Prediction, answer *tensor.Tensor) *tensor.Tensor { return p.Masks.GatherBatch(answer) }
