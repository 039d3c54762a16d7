package llm

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// OPT is Meta's decoder of BLIP-2: learnt positions, LayerNorm, biases, ReLU. Of opt-350m the norms follow the residual
// sums, and the embeddings have a width of their own. Source: Zhang et al. 2022; transformers' modeling_opt, names
// included.
// It is safe for concurrent use while nobody changes its parameters.
type OPT struct {
	Decoder OPTDecoder `param:"model.decoder"`
	LMHead  nn.Layer   `param:"lm_head"` // [V, E], the embedding itself when tied

	config    Config
	recompute atomic.Bool
}

// OPTDecoder is the stack of blocks between embedding and final norm.
type OPTDecoder struct {
	Embedding  *nn.Embedding `param:"embed_tokens"`              // [V, E]
	Positions  *nn.Embedding `param:"embed_positions"`           // [P+2, C]: position p has row p+2
	ProjectIn  nn.Layer      `param:"project_in,optional"`       // [C, E], where E ≠ C
	ProjectOut nn.Layer      `param:"project_out,optional"`      // [E, C]
	Norm       nn.Layer      `param:"final_layer_norm,optional"` // not with norms behind the residual sums
	Layers     []Block       `param:"layers"`
}

// optOffset is the row of position 0: those before it are for padding.
const optOffset = 2

// OPTBlock is x + Attention(LN x), then x + MLP(LN x), or LN(x + Attention(x)), then LN(x + MLP(x)).
type OPTBlock struct {
	Attention     *OPTAttention `param:"self_attn"`
	AttentionNorm nn.Layer      `param:"self_attn_layer_norm"`
	Up            nn.Layer      `param:"fc1"`
	Down          nn.Layer      `param:"fc2"`
	MLPNorm       nn.Layer      `param:"final_layer_norm"`

	act      tensor.Activation
	postNorm bool
}

// OPTAttention is causal self-attention.
type OPTAttention struct {
	Query  nn.Layer `param:"q_proj"`
	Key    nn.Layer `param:"k_proj"`
	Value  nn.Layer `param:"v_proj"`
	Output nn.Layer `param:"out_proj"`

	headCount int
}

func newOPT(r *rand.Rand, c Config) *OPT {
	C, E, F := c.HiddenSize, c.embedDim(), c.IntermediateSize
	act, _ := activation(c.HiddenAct)
	d := OPTDecoder{Embedding: nn.NewEmbedding(r, c.VocabSize, E, initStd),
		Positions: nn.NewEmbedding(r, c.MaxPositionEmbeddings+optOffset, C, initStd)}
	if E != C {
		d.ProjectIn, d.ProjectOut = linear(r, E, C, false), linear(r, C, E, false)
	}
	if !c.PostNorm && !c.NoFinalNorm {
		d.Norm = nn.NewLayerNorm(r, C, c.NormEps, true)
	}
	for range c.NumHiddenLayers {
		project := func() nn.Layer { return linear(r, C, C, c.AttentionBias) }
		d.Layers = append(d.Layers, &OPTBlock{act: act, postNorm: c.PostNorm,
			Attention: &OPTAttention{Query: project(), Key: project(), Value: project(), Output: project(),
				headCount: c.NumAttentionHeads},
			AttentionNorm: nn.NewLayerNorm(r, C, c.NormEps, true),
			Up:            linear(r, C, F, c.MLPBias), Down: linear(r, F, C, c.MLPBias),
			MLPNorm: nn.NewLayerNorm(r, C, c.NormEps, true)})
	}
	head := &nn.Linear{Weight: d.Embedding.Weight}
	if !c.TieWordEmbeddings {
		head = linear(r, E, c.VocabSize, false)
	}
	return &OPT{config: c, Decoder: d, LMHead: head}
}

func (m *OPT) Config() Config       { return m.config }
func (m *OPT) SetRecompute(on bool) { m.recompute.Store(on) }

// Head projects to the embeddings' width first, where they have one of their own.
func (m *OPT) Head() nn.Layer {
	if m.Decoder.ProjectOut == nil {
		return m.LMHead
	}
	return projectedHead{m.Decoder.ProjectOut, m.LMHead}
}

type projectedHead struct{ out, head nn.Layer }

// Forward maps [..., C] to logits [..., V].
func (h projectedHead) Forward(x *tensor.Tensor) *tensor.Tensor {
	return h.head.Forward(h.out.Forward(x))
}

// Embed looks up token ids and, where embeddings have a width of their own, projects them: [B, T, C].
func (m *OPT) Embed(ids *tensor.Tensor) *tensor.Tensor {
	x := m.Decoder.Embedding.Lookup(ids) // [B, T, E]
	if m.Decoder.ProjectIn == nil {
		return x
	}
	return m.Decoder.ProjectIn.Forward(x)
}

// Hidden adds the positions, runs all blocks and the final norm: [B, T, C] or [N, C]. It panics if a sequence is longer
// than the table of positions.
func (m *OPT) Hidden(in Input) *tensor.Tensor {
	d := &m.Decoder
	in = in.packed()
	p := NewPass(in, PassConfig{Blocks: len(d.Layers), Recompute: m.recompute.Load()})
	x := in.Embeds.Add(learntPositions("OPT", d.Positions, optOffset, p)) // [B, T, C]
	for _, b := range d.Layers {
		x = p.Run(b, x)
	}
	if x = p.Finish(x); d.Norm == nil {
		return x
	}
	return d.Norm.Forward(x)
}

// learntPositions are the rows of a table for the positions of a pass, the first at the given offset: [B, T, C].
func learntPositions(op string, table *nn.Embedding, offset int32, p *Pass) *tensor.Tensor {
	rows, N := make([]int32, p.rows*p.T), table.Weight.Dim(0)
	for i, at := range p.Positions() {
		if rows[i] = at + offset; int(rows[i]) >= N {
			tensor.Fail(op, "position %d: the model has %d positions", at, N-int(offset))
		}
	}
	return table.Lookup(tensor.WrapInts(rows, p.rows, p.T).In(p.in.Embeds.Arena()))
}

// Forward implements [Block].
func (b *OPTBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := x
	if !b.postNorm {
		y = b.AttentionNorm.Forward(x)
	}
	y = b.Attention.heads(y, p)                                    // [B, T, C]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	if b.postNorm {
		x = b.AttentionNorm.Forward(x)
		return b.MLPNorm.Forward(x.Add(b.Down.Forward(nn.Activated(b.Up, x, b.act))))
	}
	return x.Add(b.Down.Forward(nn.Activated(b.Up, b.MLPNorm.Forward(x), b.act)))
}

// heads maps [B, T, C] to what the heads found, [B, T, C].
func (a *OPTAttention) heads(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, C := x.Dims3()
	split := func(l nn.Layer) *tensor.Tensor { return l.Forward(x).Reshape(B, T, a.headCount, C/a.headCount) }
	return p.Attend(split(a.Query), split(a.Key), split(a.Value))
}
