package blip2

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// QFormer is BLIP-2's querying transformer: BERT, whose learnt queries attend to an image in every other layer.
// Queries and text share the self-attention and have feed-forwards of their own. Source: Li et al. 2023, section 3.1;
// transformers' Blip2QFormerModel and InstructBlipQFormerModel, names included.
// It is safe for concurrent use while nobody changes its parameters.
type QFormer struct {
	Norm       nn.Layer    `param:"layernorm,optional"`  // of the embeddings; InstructBLIP has it in Embeddings
	Embeddings *Embeddings `param:"embeddings,optional"` // InstructBLIP
	Layers     []*Layer    `param:"encoder.layer"`

	recompute atomic.Bool
}

// Embeddings turns text into word + position, positions counting from 0. Queries have no position.
type Embeddings struct {
	Word     *nn.Embedding `param:"word_embeddings"`     // [V, H]
	Position *nn.Embedding `param:"position_embeddings"` // [P, H]
	Norm     nn.Layer      `param:"layernorm,optional"`  // InstructBLIP
}

// Layer is a post-norm block.
type Layer struct {
	Self        *nn.MultiHead `param:"attention.attention"`
	SelfOutput  *nn.AddNorm   `param:"attention.output"`
	Cross       *nn.MultiHead `param:"crossattention.attention,optional"` // of the queries to the image
	CrossOutput *nn.AddNorm   `param:"crossattention.output,optional"`

	Up          nn.Layer    `param:"intermediate.dense,optional"` // of text; nil in a Q-Former without any
	Output      *nn.AddNorm `param:"output,optional"`
	QueryUp     nn.Layer    `param:"intermediate_query.dense"`
	QueryOutput *nn.AddNorm `param:"output_query"`

	act tensor.Activation
}

// NewQFormer builds the Q-Former that c describes, for image features of width c.EncoderHiddenSize. With a nil r its
// weights are to be loaded.
func NewQFormer(r *rand.Rand, c QFormerConfig) (*QFormer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	H, F, std, eps := c.HiddenSize, c.IntermediateSize, c.InitializerRange, c.LayerNormEps
	q := &QFormer{}
	if c.instructed() {
		q.Embeddings = newEmbeddings(r, c)
		q.Embeddings.Norm = nn.NewLayerNorm(r, H, eps, true)
	} else {
		q.Norm = nn.NewLayerNorm(r, H, eps, true)
	}
	act, err := nn.ParseActivation(c.HiddenAct)
	if err != nil {
		return nil, err
	}
	for i := range c.NumHiddenLayers {
		l := &Layer{act: act, Self: nn.NewMultiHead(r, H, H, c.NumAttentionHeads, std),
			SelfOutput: nn.NewAddNorm(r, H, H, std, eps)}
		if i%c.CrossAttentionFrequency == 0 {
			l.Cross = nn.NewMultiHead(r, H, c.EncoderHiddenSize, c.NumAttentionHeads, std)
			l.CrossOutput = nn.NewAddNorm(r, H, H, std, eps)
		}
		if c.hasText() {
			l.Up, l.Output = nn.NewNormalLinear(r, H, F, std), nn.NewAddNorm(r, F, H, std, eps)
		}
		l.QueryUp, l.QueryOutput = nn.NewNormalLinear(r, H, F, std), nn.NewAddNorm(r, F, H, std, eps)
		q.Layers = append(q.Layers, l)
	}
	return q, nil
}

func newEmbeddings(r *rand.Rand, c QFormerConfig) *Embeddings {
	return &Embeddings{Word: nn.NewEmbedding(r, c.VocabSize, c.HiddenSize, c.InitializerRange),
		Position: nn.NewEmbedding(r, c.MaxPositionEmbeddings, c.HiddenSize, c.InitializerRange)}
}

// Lookup embeds token ids (int32 [B, T]): [B, T, H]. It panics if the table has fewer than T positions.
func (e *Embeddings) Lookup(ids *tensor.Tensor) *tensor.Tensor {
	_, T := ids.Dims2()
	if n := e.Position.Weight.Dim(0); T > n {
		tensor.Fail("QFormer", "%d tokens of text: there are positions for %d", T, n)
	}
	return e.Word.Lookup(ids).Add(e.Position.Weight.In(ids.Arena()).Slice(0, 0, T))
}

// Input is what a Q-Former reads: queries, text, or both.
type Input struct {
	Queries *tensor.Tensor // [B, Q, H]; nil: text alone, which looks at no image
	Text    *tensor.Tensor // [B, T, H], of [Embeddings.Lookup]; nil: queries alone
	Lengths []int32        // [B], the real tokens of each text, padded at the right; nil: all

	Image        *tensor.Tensor // [B, N, D], features that the queries attend to
	ImageLengths []int32        // [B], the real features of each image, padded at the right; nil: all

	// Causal is the mask of grounded text generation: queries attend to queries alone, a token to all queries and to
	// the tokens up to itself. Else all attend to all.
	Causal bool
}

// Forward runs all layers and returns the states of the queries [B, Q, H] and of the text [B, T, H]; nil for what the
// input does not have.
func (q *QFormer) Forward(in Input) (queries, text *tensor.Tensor) {
	if in.Queries == nil && in.Text == nil {
		tensor.Fail("QFormer", "neither queries nor text")
	}
	if in.Text != nil && q.Layers[0].Up == nil {
		tensor.Fail("QFormer", "this Q-Former reads no text (use_qformer_text_input false)")
	}
	x, Q, T := in.Queries, 0, 0
	if in.Text != nil {
		T = in.Text.Dim(1)
	}
	switch {
	case x == nil:
		x = in.Text
	case in.Text != nil:
		Q, x = x.Dim(1), tensor.Concat(1, x, in.Text) // [B, Q+T, H]
	default:
		Q = x.Dim(1)
	}
	norm := q.Norm
	if q.Embeddings != nil {
		norm = q.Embeddings.Norm
	}
	x = norm.Forward(x)
	self, cross := in.masks(x.Dim(0), Q), tensor.AttentionConfig{End: in.ImageLengths}
	states := []*tensor.Tensor{x}
	if Q > 0 {
		if in.Image == nil {
			tensor.Fail("QFormer", "queries without an image")
		}
		states = append(states, in.Image)
	}
	for _, l := range q.Layers {
		forward := func(in []*tensor.Tensor) *tensor.Tensor { return l.forward(in, Q, self, cross) }
		if q.recompute.Load() {
			states[0] = tensor.Checkpoint(forward, states...)
		} else {
			states[0] = tensor.Compact(forward, states...)
		}
	}
	if x = states[0]; T == 0 {
		return x, nil
	} else if Q == 0 {
		return nil, x
	}
	both := x.Split(1, Q, T)
	return both[0], both[1]
}

// masks says what queries and text see of each other in self-attention.
func (in Input) masks(B, Q int) (c tensor.AttentionConfig) {
	if in.Lengths != nil && in.Text != nil {
		for _, n := range in.Lengths {
			c.End = append(c.End, int32(Q)+n)
		}
	}
	if in.Causal {
		c.Causal = true
		for range B {
			c.Prefix = append(c.Prefix, int32(Q))
		}
	}
	return c
}

// forward maps states [B, Q+T, H], and the image's [B, N, D] if there are queries, to states of the same shape.
func (l *Layer) forward(in []*tensor.Tensor, Q int, self, cross tensor.AttentionConfig) *tensor.Tensor {
	x := in[0]
	x = l.SelfOutput.Forward(l.Self.Forward(x, x, self), x) // [B, Q+T, H]
	var parts []*tensor.Tensor
	text := x
	if Q > 0 {
		q := x
		if T := x.Dim(1) - Q; T > 0 {
			both := x.Split(1, Q, T)
			q, text = both[0], both[1] // [B, Q, H], [B, T, H]
		} else {
			text = nil
		}
		if l.Cross != nil {
			q = l.CrossOutput.Forward(l.Cross.Forward(q, in[1], cross), q) // [B, Q, H]
		}
		parts = append(parts, l.QueryOutput.Forward(nn.Activated(l.QueryUp, q, l.act), q))
	}
	if text != nil {
		parts = append(parts, l.Output.Forward(nn.Activated(l.Up, text, l.act), text))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return tensor.Concat(1, parts...)
}
