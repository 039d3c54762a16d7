// Package blip2 is BLIP-2 and InstructBLIP: a Q-Former, whose learnt queries read an image, between a vision encoder
// and a language model that both stay frozen. [New] and [Load] make the joined model, a [connector.VLM] on OPT, Llama,
// T5 or any other language model of package llm; [Stage1] is what trains the Q-Former before there is a language
// model, and [Retrieval] what that is good for alone. Checkpoints are transformers', and LAVIS's of stage 1.
//
//	a, err := blip2.Open("blip2-opt-2.7b", blip2.LoadOptions{})
//	answer, err := a.Ask(ctx, "What is this?", "picture.png")
package blip2

import (
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Connector turns the features of an image into as many tokens as there are queries, whatever the image's size. Beside
// the Q-Former it holds the norm behind the vision encoder, which trains with it (LAVIS's ln_vision).
// It is safe for concurrent use while nobody changes its parameters.
type Connector struct {
	Norm       nn.Layer       `param:"vision_model.post_layernorm"` // of width D
	Queries    *tensor.Tensor `param:"query_tokens"`                // [1, Q, H]
	QFormer    *QFormer       `param:"qformer"`
	Projection nn.Layer       `param:"language_projection"` // H → C

	config       Config
	instructions [][]int32 // of each view, in InstructBLIP
}

// New builds the model that c describes. With a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*connector.VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := vit.New(r, c.Vision)
	if err != nil {
		return nil, err
	}
	l, err := llm.New(r, c.Text, families()...)
	if err != nil {
		return nil, err
	}
	return Join(r, v, l, c)
}

// Join puts a Q-Former with fresh weights between a vision encoder and a language model: the start of stage 2 once
// [StartFrom] has given it the Q-Former of stage 1. c's Vision and Text are taken from the parts, as is the width of
// the image's features. The norm behind the encoder is its own if it has one for all tokens (EVA), which leaves it, and
// else a fresh one.
func Join(r *rand.Rand, v vit.Tower, l llm.Model, c Config) (*connector.VLM, error) {
	c.Vision, c.Text = v.Config(), l.Config()
	c.QFormer.EncoderHiddenSize = c.Vision.HiddenSize
	if err := c.Validate(); err != nil {
		return nil, err
	}
	q, err := NewQFormer(r, c.QFormer)
	if err != nil {
		return nil, err
	}
	H := c.QFormer.HiddenSize
	x := &Connector{config: c, QFormer: q, Norm: takeNorm(r, v),
		Queries:    tensor.Randn(r, c.QFormer.InitializerRange, 1, c.NumQueryTokens, H).Param(),
		Projection: nn.NewLinear(r, H, c.Text.HiddenSize, true)}
	return connector.New(v, x, l, connector.Config{Select: vit.Select{Layers: []int{-1}, Class: "cls_patch"},
		Image: c.Image, EOS: c.ends(), PAD: c.padding()})
}

// takeNorm is the norm behind a tower: that of EVA, which loses it, or a fresh one.
func takeNorm(r *rand.Rand, v vit.Tower) nn.Layer {
	if eva, ok := v.(*vit.EVAVision); ok && eva.PostNorm != nil {
		norm := eva.PostNorm
		eva.PostNorm = nil
		return norm
	}
	return nn.NewLayerNorm(r, v.Config().HiddenSize, v.Config().LayerNormEps, true)
}

// ConfigOf describes a BLIP-2. It panics if m's connector is another one.
func ConfigOf(m *connector.VLM) Config {
	x, ok := m.Connector.(*Connector)
	if !ok {
		tensor.Fail("ConfigOf", "the connector is a %T, not BLIP-2's", m.Connector)
	}
	return x.config
}

// Layout implements [connector.Connector].
func (x *Connector) Layout(imaging.Size) connector.Layout {
	return connector.Layout{Views: 1, Tokens: x.config.NumQueryTokens}
}

// Instruct implements [connector.Instructed]. A BLIP-2, which reads no instruction, stays as it is.
func (x *Connector) Instruct(instructions [][]int32) connector.Connector {
	if !x.config.Instructed() {
		return x
	}
	if instructions == nil {
		tensor.Fail("Connector", "InstructBLIP's Q-Former reads the instruction: set Sample.Instruction or "+
			"Batch.Instructions")
	}
	y := *x
	y.instructions = instructions
	return &y
}

// NeedsInstruction implements [connector.Instructed].
func (x *Connector) NeedsInstruction() bool { return x.config.Instructed() }

// Forward implements [connector.Connector]: features [V, N, D] to tokens [V·Q, C].
func (x *Connector) Forward(features *tensor.Tensor, _ []imaging.Size) *tensor.Tensor {
	y := x.Projection.Forward(x.Query(features)) // [V, Q, C]
	V, Q, C := y.Dims3()
	return y.Reshape(V*Q, C)
}

// Query is what the queries make of features [V, N, D]: [V, Q, H].
func (x *Connector) Query(features *tensor.Tensor) *tensor.Tensor {
	V := features.Dim(0)
	in := Input{Image: x.Norm.Forward(features), Queries: repeat(x.Queries, V, features.Arena())}
	if x.config.Instructed() {
		if len(x.instructions) != V {
			tensor.Fail("Connector", "%d instructions for %d images", len(x.instructions), V)
		}
		var ids *tensor.Tensor
		ids, in.Lengths = padded(x.instructions, x.config.QFormer.PAD)
		in.Text = x.QFormer.Embeddings.Lookup(ids.In(features.Arena())) // [V, T, H]
	}
	y, _ := x.QFormer.Forward(in)
	return y
}

// repeat is queries [1, Q, H] for each of n images: [n, Q, H].
func repeat(queries *tensor.Tensor, n int, s *tensor.Arena) *tensor.Tensor {
	_, Q, H := queries.Dims3()
	first := tensor.Ints(make([]int, n), n).In(s)
	return tensor.Gather(queries.Reshape(1, Q*H), first).Reshape(n, Q, H)
}

// padded are rows of ids as one tensor [B, T], padded at the right, and their lengths.
func padded(rows [][]int32, pad int) (*tensor.Tensor, []int32) {
	T := 1
	for _, r := range rows {
		T = max(T, len(r))
	}
	ids, lengths := make([]int32, len(rows)*T), make([]int32, len(rows))
	for i := range ids {
		ids[i] = int32(pad)
	}
	for i, r := range rows {
		copy(ids[i*T:], r)
		lengths[i] = int32(len(r))
	}
	return tensor.WrapInts(ids, len(rows), T), lengths
}
