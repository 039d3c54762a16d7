// Package git is GIT, a generative image-to-text transformer: the tokens of an image, or of the frames of a video,
// stand before the text in one BERT-like stack, where they see each other and the text sees them and what it has said.
// It can be trained from nothing, and reads and writes transformers' checkpoints.
//
//	a, err := git.Open("git-base-coco", git.LoadOptions{})
//	caption, err := git.Caption(ctx, a, "", image)
package git

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// New builds the model that c describes, with transformers' initial weights; with a nil r they are to be loaded.
// Source: Wang et al. 2022, "GIT"; transformers' modeling_git.
func New(r *rand.Rand, c Config) (*connector.VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.InitStd = cmp.Or(c.InitStd, initStd)
	v, err := vit.NewCLIPVision(r, c.Vision)
	if err != nil {
		return nil, err
	}
	x := newConnector(r, c)
	return join(v, x, newDecoder(r, c), c)
}

// Join puts a fresh projection between v, a trained vision tower, and l, a trained decoder of package llm, which from
// then on reads an image as GIT does: before all text, its tokens attending to each other in both directions. Of c
// Frames and InitStd are used; the rest is taken from the parts. It returns an error if l is an encoder-decoder, or if
// a size is out of range. [Save] does not write such a model.
func Join(r *rand.Rand, v *vit.CLIPVision, l llm.Model, c Config) (*connector.VLM, error) {
	if _, ok := l.(llm.EncoderDecoder); ok {
		return nil, fmt.Errorf("git: the language model is an encoder-decoder (%T): a decoder is needed", l)
	}
	t := l.Config()
	c = Config{Vision: v.Config(), Frames: c.Frames, InitStd: cmp.Or(c.InitStd, initStd), VocabSize: t.VocabSize,
		HiddenSize: t.HiddenSize, IntermediateSize: t.IntermediateSize, NumHiddenLayers: t.NumHiddenLayers,
		NumAttentionHeads: t.NumAttentionHeads, MaxPositions: t.MaxPositionEmbeddings, NormEps: t.NormEps,
		HiddenAct: t.HiddenAct, TieWordEmbeddings: t.TieWordEmbeddings, BOS: t.BOS, PAD: t.PAD, EOS: t.EOS}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return join(v, newConnector(r, c), l, c)
}

const initStd = 0.02 // transformers' initializer_range

// newConnector draws the projection; time embeddings start at 0.
func newConnector(r *rand.Rand, c Config) *Connector {
	x := &Connector{config: c, Projection: &Projection{Linear: nn.NewNormalLinear(r, c.Vision.HiddenSize, c.HiddenSize,
		c.InitStd), Norm: nn.NewLayerNorm(r, c.HiddenSize, c.Vision.LayerNormEps, true)}}
	for range c.Frames {
		x.Temporal = append(x.Temporal, zeros(r, 1, 1, c.Vision.HiddenSize))
	}
	return x
}

func join(v *vit.CLIPVision, x *Connector, l llm.Model, c Config) (*connector.VLM, error) {
	return connector.New(&Tower{v}, x, l, connector.Config{Select: vit.Select{Layers: []int{-1}, Class: "cls_patch"},
		Image: -1, Prefix: true, EOS: c.EOS, PAD: c.PAD})
}

func zeros(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.Meta(tensor.Float32, shape...).Param()
	if r != nil {
		t.Allocate()
	}
	return t
}

// ConfigOf describes a GIT. It panics if m's connector is another one.
func ConfigOf(m *connector.VLM) Config {
	x, ok := m.Connector.(*Connector)
	if !ok {
		tensor.Fail("ConfigOf", "the connector is a %T, not GIT's", m.Connector)
	}
	return x.config
}

// Tower is CLIP's vision tower whose last hidden state is that after post_layernorm, in every token.
// It is safe for concurrent use while nobody changes its parameters.
type Tower struct {
	*vit.CLIPVision `param:",inline"`
}

// HiddenStates implements [vit.Tower].
func (t *Tower) HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor {
	states := t.CLIPVision.HiddenStates(pixels, n)
	if n == t.Config().NumHiddenLayers {
		states[n] = t.Model.PostNorm.Forward(states[n])
	}
	return states
}

// Hidden implements [vit.Tower].
func (t *Tower) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	x := t.CLIPVision.Hidden(pixels, n)
	if n == t.Config().NumHiddenLayers {
		x = t.Model.PostNorm.Forward(x)
	}
	return x
}

// Connector projects the patches of an image, or of the frames of a video, which get time embeddings.
// It is safe for concurrent use while nobody changes its parameters.
type Connector struct {
	Projection *Projection      `param:"visual_projection"`
	Temporal   []*tensor.Tensor `param:"img_temporal_embedding"` // [1, 1, D] of each frame; nil: images

	config Config
}

// Projection is LN(W·x + b).
type Projection struct {
	Linear nn.Layer `param:"0"` // [C, D]
	Norm   nn.Layer `param:"1"`
}

// Layout implements [connector.Connector].
func (x *Connector) Layout(imaging.Size) connector.Layout {
	return connector.Layout{Views: max(x.config.Frames, 1), Tokens: x.config.ImageTokens()}
}

// Forward implements [connector.Connector]: features [N·F, P, D] of F frames each to tokens [N·F·P, C].
func (x *Connector) Forward(features *tensor.Tensor, _ []imaging.Size) *tensor.Tensor {
	V, P, D := features.Dims3()
	if F := len(x.Temporal); F > 0 {
		time := tensor.Concat(1, x.Temporal...) // [1, F, D]
		features = features.Reshape(V/F, F, P, D).Add(time.Reshape(F, 1, D))
	}
	y := x.Projection.Linear.Forward(features.Reshape(V*P, D))
	return x.Projection.Norm.Forward(y)
}

// Decoder is the stack of post-norm blocks over image and text. It implements [llm.Model]; its positions are those of
// the whole sequence, whose first [Config.ImageTokens] are the image's. It is safe for concurrent use while nobody
// changes its parameters.
type Decoder struct {
	Embeddings *Embeddings `param:"git.embeddings"`
	Layers     []*Block    `param:"git.encoder.layer"`
	Output     *nn.Linear  `param:"output"` // [V, C]

	config    Config
	recompute atomic.Bool
}

// Embeddings are LN(word + position) of text. Positions count from 0 at the first word.
type Embeddings struct {
	Words     *nn.Embedding `param:"word_embeddings"`     // [V, C]
	Positions *nn.Embedding `param:"position_embeddings"` // [M, C]
	Norm      nn.Layer      `param:"LayerNorm"`
}

// Block is a post-norm transformer block, BERT's: x = LN(x + Attention(x)), then LN(x + MLP(x)).
type Block struct {
	Self       *nn.MultiHead `param:"attention.self"`
	SelfOutput *nn.AddNorm   `param:"attention.output"`
	Up         nn.Layer      `param:"intermediate.dense"`
	Output     *nn.AddNorm   `param:"output"`

	act tensor.Activation
}

func newDecoder(r *rand.Rand, c Config) *Decoder {
	C, F := c.HiddenSize, c.IntermediateSize
	m := &Decoder{config: c, Embeddings: &Embeddings{Words: nn.NewEmbedding(r, c.VocabSize, C, c.InitStd),
		Positions: nn.NewEmbedding(r, c.MaxPositions, C, c.InitStd), Norm: nn.NewLayerNorm(r, C, c.NormEps, true)},
		Output: nn.NewNormalLinear(r, C, c.VocabSize, c.InitStd)}
	if c.TieWordEmbeddings {
		m.Output.Weight = m.Embeddings.Words.Weight
	}
	for range c.NumHiddenLayers {
		m.Layers = append(m.Layers, &Block{Self: nn.NewMultiHead(r, C, C, c.NumAttentionHeads, c.InitStd),
			SelfOutput: nn.NewAddNorm(r, C, C, c.InitStd, c.NormEps), Up: nn.NewNormalLinear(r, C, F, c.InitStd),
			Output: nn.NewAddNorm(r, F, C, c.InitStd, c.NormEps), act: activations[c.HiddenAct]})
	}
	return m
}

// Config describes the decoder, positions of the image included.
func (m *Decoder) Config() llm.Config {
	c := m.config
	return llm.Config{ModelType: "git", VocabSize: c.VocabSize, HiddenSize: c.HiddenSize,
		IntermediateSize: c.IntermediateSize, NumHiddenLayers: c.NumHiddenLayers,
		NumAttentionHeads: c.NumAttentionHeads, NumKeyValueHeads: c.NumAttentionHeads,
		HeadDim: c.HiddenSize / c.NumAttentionHeads, NormEps: c.NormEps,
		MaxPositionEmbeddings: c.ImageTokens() + c.MaxPositions, HiddenAct: c.HiddenAct,
		TieWordEmbeddings: c.TieWordEmbeddings, BOS: c.BOS, EOS: slices.Clone(c.EOS), PAD: c.PAD, Dropout: c.Dropout}
}

func (m *Decoder) Embed(ids *tensor.Tensor) *tensor.Tensor { return m.Embeddings.Words.Lookup(ids) }
func (m *Decoder) Head() nn.Layer                          { return m.Output }
func (m *Decoder) SetRecompute(on bool)                    { m.recompute.Store(on) }

// Hidden implements [llm.Model]. Of in.Embeds [B, T, C] the words are what Embed returns, and the image's tokens what
// the connector does.
func (m *Decoder) Hidden(in llm.Input) *tensor.Tensor {
	p := llm.NewPass(in, llm.PassConfig{Blocks: len(m.Layers), Recompute: m.recompute.Load()})
	x := m.place(in.Embeds, p.Positions())
	for _, b := range m.Layers {
		x = p.Run(b, x)
	}
	return p.Finish(x)
}

// place adds positions to the words of x [B, T, C] and normalises them; the image's tokens stay.
func (m *Decoder) place(x *tensor.Tensor, positions []int32) *tensor.Tensor {
	B, T, _ := x.Dims3()
	first := int32(m.config.ImageTokens())
	at, text := make([]int32, B*T), make([]float32, B*T)
	for i, n := range positions {
		if n >= first {
			at[i], text[i] = n-first, 1
		}
	}
	ids := tensor.WrapInts(at, B, T).In(x.Arena())
	words := m.Embeddings.Norm.Forward(x.Add(m.Embeddings.Positions.Lookup(ids))) // [B, T, C]
	return tensor.Where(tensor.Wrap(text, B, T, 1), words, x)
}

// Forward implements [llm.Block].
func (b *Block) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	y := p.Attend(b.Self.Heads(x, x))                    // [B, T, C]
	x = b.SelfOutput.Forward(p.Pick(b, y), p.Pick(b, x)) // [B, T, C] or [N, C]
	return b.Output.Forward(nn.Activated(b.Up, x, b.act), x)
}
