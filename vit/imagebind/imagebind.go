// Package imagebind holds ImageBind: one transformer for each of pictures and video, text, sound, depth, thermal images
// and motion, whose embeddings share one space though only pairs with a picture are ever trained on. It reads and
// writes the authors' checkpoints.
//
//	m, err := imagebind.Load("imagebind_huge.pth", nn.LoadOptions{})
//	…
//	similar := m.Embed(imagebind.Audio, sounds).MatMulT(m.Embed(imagebind.Text, ids)) // [sounds, texts]
package imagebind

import (
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Model is all towers. Source: Girdhar et al. 2023 and the authors' ImageBindModel, names included. It is safe for
// concurrent use while nobody changes its parameters.
type Model struct {
	Preprocessors  PerModality[Preprocessor] `param:"modality_preprocessors"`
	Trunks         PerModality[*Trunk]       `param:"modality_trunks"`
	Heads          PerModality[Head]         `param:"modality_heads"`
	Postprocessors PerModality[*Scale]       `param:"modality_postprocessors"` // pictures have none

	config Config
}

// PerModality has one part of each tower, nil for the modalities that a model lacks.
type PerModality[T any] struct {
	Vision  T `param:"vision"`
	Text    T `param:"text"`
	Audio   T `param:"audio"`
	Depth   T `param:"depth"`
	Thermal T `param:"thermal"`
	IMU     T `param:"imu"`
}

// of is the part of a modality.
func (p *PerModality[T]) of(m Modality) *T {
	return map[Modality]*T{Vision: &p.Vision, Text: &p.Text, Audio: &p.Audio, Depth: &p.Depth, Thermal: &p.Thermal,
		IMU: &p.IMU}[m]
}

// factor is what the unit vectors of a modality are multiplied by: the inverse of its temperature at the start.
var factor = map[Modality]float64{Text: 1 / 0.07, Audio: 20, Depth: 5, Thermal: 10, IMU: 5}

// New builds the model that c describes, with the authors' initial weights; with a nil r they are to be loaded.
func New(r *rand.Rand, c Config) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Model{config: c}
	for _, kind := range Modalities {
		if !c.Has(kind) {
			continue
		}
		*m.Preprocessors.of(kind) = c.preprocessor(r, kind)
		*m.Trunks.of(kind) = newTrunk(r, c.trunk(kind), kind)
		*m.Heads.of(kind) = c.head(r, kind)
		if kind != Vision {
			*m.Postprocessors.of(kind) = newScale(r, factor[kind])
		}
	}
	return m, nil
}

// Config describes the model.
func (m *Model) Config() Config { return m.config }

// Encode maps inputs of a modality to embeddings [B, E]: unit vectors times the modality's factor, which is the inverse
// of the temperature, and 1 for pictures. Of several clips, [B, S, ...], it is the mean of the clips' embeddings, which
// is not normalised again. It panics if the model lacks the modality or x has another shape than [Modality] says.
func (m *Model) Encode(kind Modality, x *tensor.Tensor) *tensor.Tensor {
	if clips := m.Preprocessor(kind).Clips(x); clips > 0 {
		shape := x.Shape()
		each := m.encode(kind, x.Reshape(append([]int{shape[0] * clips}, shape[2:]...)...)) // [B·S, E]
		return each.Reshape(shape[0], clips, m.config.EmbedDim).Mean(1)
	}
	return m.encode(kind, x)
}

// encode is Encode without clips: [B, E].
func (m *Model) encode(kind Modality, x *tensor.Tensor) *tensor.Tensor {
	hidden := m.Hidden(kind, m.Preprocessor(kind).Tokens(x)) // [B, T, D]
	z := m.Project(kind, hidden, x).L2Normalize(1e-12)       // [B, E]
	if s := *m.Postprocessors.of(kind); s != nil {
		return s.Forward(z)
	}
	return z
}

// Embed is [Model.Encode] with length 1: [B, E]. The product of two such matrices ranks any modality by any other.
func (m *Model) Embed(kind Modality, x *tensor.Tensor) *tensor.Tensor {
	return m.Encode(kind, x).L2Normalize(1e-12)
}

// Preprocessor is what makes tokens of a modality. It panics if the model lacks the modality.
func (m *Model) Preprocessor(kind Modality) Preprocessor {
	if !m.config.Has(kind) {
		tensor.Fail("ImageBind", "there is no modality %q: the model has %s", kind, list(m.Has()))
	}
	return *m.Preprocessors.of(kind)
}

// Has are the modalities of the model.
func (m *Model) Has() []Modality {
	return slices.DeleteFunc(slices.Clone(Modalities), func(k Modality) bool { return !m.config.Has(k) })
}

// Hidden is what a modality's trunk makes of its tokens: [B, T, D].
func (m *Model) Hidden(kind Modality, tokens *tensor.Tensor) *tensor.Tensor {
	t := *m.Trunks.of(kind)
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor { return t.Forward(in[0]) }, tokens)
}

// Project maps hidden states [B, T, D] of inputs x to the shared space, before they are normalised: [B, E]. x is needed
// of text alone, whose ids say where it ends.
func (m *Model) Project(kind Modality, hidden, x *tensor.Tensor) *tensor.Tensor {
	B, T, D := hidden.Dims3()
	rows := make([]int32, B)
	for b := range rows {
		rows[b] = int32(b * T)
	}
	if kind == Text { // the end of text has the largest id
		all := x.Host().IntData()
		for b := range rows {
			ids := all[b*T : (b+1)*T]
			rows[b] += int32(slices.Index(ids, slices.Max(ids)))
		}
	}
	picked := tensor.Gather(hidden.Reshape(B*T, D), tensor.WrapInts(rows, B).In(hidden.Arena())) // [B, D]
	return (*m.Heads.of(kind)).project(picked)
}

// InfoNCE is the loss of pairs: row i of the pictures' embeddings [B, E] belongs to row i of the others', of which one
// side carries the factor. It is the sum, not the mean, of the cross-entropies of both directions.
func InfoNCE(images, others *tensor.Tensor) *tensor.Tensor {
	logits := images.MatMulT(others) // [B, B]
	B, M := logits.Dims2()
	if B != M {
		tensor.Fail("InfoNCE", "images %v, others %v: needs pairs", images.Shape(), others.Shape())
	}
	target := make([]int, B)
	for i := range target {
		target[i] = i
	}
	labels := tensor.Ints(target, B)
	return tensor.CrossEntropy(logits, labels).Add(tensor.CrossEntropy(logits.Transpose(), labels))
}
