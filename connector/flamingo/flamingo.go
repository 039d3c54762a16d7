// Package flamingo is Flamingo: a perceiver resampler makes a few tokens of each image, and gated cross-attention
// between the layers of a frozen language model lets text attend to the last image before it. Text and any number of
// images and videos alternate, so that a few examples in the prompt show what is wanted. It reads and writes
// OpenFlamingo's checkpoints and transformers' IDEFICS.
//
//	a, err := flamingo.Open("idefics-9b-instruct", flamingo.LoadOptions{})
//	text, err := flamingo.Complete(ctx, a, "<image>A cat.\n<image>A dog.\n<image>", images)
package flamingo

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Connector is what Flamingo adds to a vision tower and a language model; all of it is trained, and nothing else. It
// implements [connector.Attended]. It is safe for concurrent use while nobody changes its parameters.
type Connector struct {
	Resampler nn.Layer    `param:"perceiver,optional"`      // [N·F, P, D] → [N, L, D]; nil: text attends to the patches
	Gated     []llm.Block `param:"gated_cross_attn_layers"` // nil where a layer of the decoder has none before it

	config Config
}

// layer is a layer of the decoder with the gated block before it.
type layer struct {
	llm.Block `param:",inline"`

	gated llm.Block
}

// Forward implements [llm.Block].
func (l *layer) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	return l.Block.Forward(l.gated.Forward(x, p), p)
}

// New builds the model that c describes; with a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*connector.VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := vit.New(r, c.Vision)
	if err != nil {
		return nil, err
	}
	l, err := llm.New(r, c.Text)
	if err != nil {
		return nil, err
	}
	return Join(r, v, l, c)
}

// Join puts gated blocks into l, a trained language model, and a resampler between it and v, a trained vision tower,
// both fresh. c's Text and Vision are taken from the parts. l is changed: without a context it still is what it was as
// long as the gates are 0. With a nil r the fresh weights are to be loaded.
func Join(r *rand.Rand, v vit.Tower, l llm.Model, c Config) (*connector.VLM, error) {
	c.Text, c.Vision = l.Config(), v.Config()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	x := &Connector{config: c}
	switch {
	case c.Latents == 0:
	case c.Variant == IDEFICS:
		x.Resampler = newPerceiver(r, c)
	default:
		x.Resampler = newResampler(r, c)
	}
	blocks, err := blocksOf(l)
	if err != nil {
		return nil, err
	}
	for i := range blocks {
		if !c.gatedBefore(i) {
			if c.Variant == OpenFlamingo {
				x.Gated = append(x.Gated, nil)
			}
			continue
		}
		var g llm.Block = newGatedBlock(r, c)
		if c.Variant == IDEFICS {
			g = newIdeficsBlock(r, c)
		}
		x.Gated = append(x.Gated, g)
		blocks[i] = &layer{Block: blocks[i], gated: g}
	}
	if c.AddedWords > 0 {
		l = decouple(r, l.(*llm.Llama), c.AddedWords)
	}
	return connector.New(v, x, l, connector.Config{Select: vit.Select{Layers: []int{-1}, Class: c.class()},
		Image: c.Image, EOS: c.Text.EOS, PAD: c.Text.PAD})
}

// gatedBefore reports whether layer i of the decoder has a gated block before it.
func (c Config) gatedBefore(i int) bool {
	if c.Variant == IDEFICS {
		return i%c.Every == 0
	}
	return (i+1)%c.Every == 0
}

// class says whether the tower's class token is among the patches.
func (c Config) class() string {
	if c.Variant == IDEFICS {
		return "cls_patch"
	}
	return "patch"
}

// blocksOf are the layers of a decoder that gated blocks can be put into.
func blocksOf(l llm.Model) ([]llm.Block, error) {
	switch l := l.(type) {
	case *llm.Llama:
		return l.Decoder.Layers, nil
	case *llm.MPT:
		return l.Transformer.Blocks, nil
	}
	return nil, fmt.Errorf("flamingo: a decoder of type %T is not supported: a *llm.Llama or *llm.MPT is", l)
}

// ConfigOf describes a Flamingo. It panics if m's connector is another one.
func ConfigOf(m *connector.VLM) Config { return of(m).config }

func of(m *connector.VLM) *Connector {
	x, ok := m.Connector.(*Connector)
	if !ok {
		tensor.Fail("ConfigOf", "the connector is a %T, not Flamingo's", m.Connector)
	}
	return x
}

// Layout implements [connector.Connector]: an image takes one position, that of its mark; a video has Config.Frames
// views.
func (x *Connector) Layout(imaging.Size) connector.Layout {
	return connector.Layout{Views: max(x.config.Frames, 1), Tokens: 1}
}

// Forward implements [connector.Connector]: features [N·F, P, D] to [N·L, D], L tokens for each image.
func (x *Connector) Forward(features *tensor.Tensor, _ []imaging.Size) *tensor.Tensor {
	if x.Resampler != nil {
		features = x.Resampler.Forward(features)
	}
	N, L, D := features.Dims3()
	return features.Reshape(N*L, D)
}

// Context implements [connector.Attended]: a position sees the last image whose mark is at it or before it, or with
// Config.AllPrevious all of these; none before the first. With IDEFICS it sees none between the end of a text and the
// next mark.
func (x *Connector) Context(ids, tokens *tensor.Tensor, images []int) *llm.Context {
	B, T := ids.Dims2()
	all, most := 0, 0
	for _, n := range images {
		all, most = all+n, max(most, n)
	}
	if len(images) != B || all == 0 || tokens.Dim(0)%all != 0 {
		tensor.Fail("Context", "tokens %v of images %v for ids %v", tokens.Shape(), images, ids.Shape())
	}
	L, D := tokens.Dim(0)/all, tokens.Dim(1)
	c := &llm.Context{From: make([]int32, B*T), To: make([]int32, B*T)}
	var places []int32 // of the tokens among B·most·L
	for b, n := range images {
		for i := range n * L {
			places = append(places, int32(b*most*L+i))
		}
		seen, ended := 0, false // marks so far
		for t, id := range ids.Host().IntData()[b*T : (b+1)*T] {
			if int(id) == x.config.Image {
				seen, ended = seen+1, false
			}
			if seen > n {
				tensor.Fail("Context", "row %d has more marks than its %d images", b, n)
			}
			i := b*T + t
			c.To[i] = int32(seen * L)
			switch {
			case ended:
				c.From[i] = c.To[i]
			case !x.config.AllPrevious && seen > 0:
				c.From[i] = int32((seen - 1) * L)
			}
			ended = ended || x.config.Variant == IDEFICS && int(id) == x.config.End
		}
	}
	if all < B*most {
		tokens = tensor.ScatterAddRows(B*most*L, tensor.WrapInts(places, len(places)), tokens)
	}
	c.States = tokens.Reshape(B, most*L, D)
	return c
}
