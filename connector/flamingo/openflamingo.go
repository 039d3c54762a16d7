package flamingo

import (
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

const torchEps = 1e-5 // of torch.nn.LayerNorm

// Resampler turns the patches of an image, or of the frames of a video, into a fixed number of tokens: learnt latents
// attend to the patches and to each other. Source: Alayrac et al. 2022, figure 5; names are those of OpenFlamingo's
// PerceiverResampler. It is safe for concurrent use while nobody changes its parameters.
type Resampler struct {
	Latents *tensor.Tensor    `param:"latents"`             // [L, D]
	Frames  *tensor.Tensor    `param:"frame_embs,optional"` // [F, D], added to the patches of frame f; nil: images only
	Layers  []*ResamplerLayer `param:"layers"`
	Norm    nn.Layer          `param:"norm"`
}

// ResamplerLayer is y + Attention(y → [x; y]), then y + FFW(y).
type ResamplerLayer struct {
	Attention *LatentAttention `param:"0"`
	FFW       *FeedForward     `param:"1"`
}

// LatentAttention lets latents attend to media and to themselves.
type LatentAttention struct {
	NormMedia   nn.Layer `param:"norm_media"`
	NormLatents nn.Layer `param:"norm_latents"`
	Query       nn.Layer `param:"to_q"`   // [H·d, D]
	KeyValue    nn.Layer `param:"to_kv"`  // [2·H·d, D], the rows of k, then v
	Output      nn.Layer `param:"to_out"` // [D, H·d]

	heads int
}

// FeedForward is W2·GELU(W1·LN(x)), without biases.
type FeedForward struct {
	Norm nn.Layer `param:"0"`
	Up   nn.Layer `param:"1"` // [m·C, C]
	Down nn.Layer `param:"3"` // [C, m·C]
}

// newResampler starts with latents and frame embeddings N(0, 1) and PyTorch's Linears.
func newResampler(r *rand.Rand, c Config) *Resampler {
	D, inner := c.Vision.HiddenSize, c.Heads*c.HeadDim
	x := &Resampler{Latents: tensor.Randn(r, 1, c.Latents, D).Param(), Norm: nn.NewLayerNorm(r, D, torchEps, true)}
	if c.Frames > 0 {
		x.Frames = tensor.Randn(r, 1, c.Frames, D).Param()
	}
	for range c.Depth {
		x.Layers = append(x.Layers, &ResamplerLayer{FFW: newFeedForward(r, D, c.Mult), Attention: &LatentAttention{
			NormMedia: nn.NewLayerNorm(r, D, torchEps, true), NormLatents: nn.NewLayerNorm(r, D, torchEps, true),
			Query: nn.NewLinear(r, D, inner, false), KeyValue: nn.NewLinear(r, D, 2*inner, false),
			Output: nn.NewLinear(r, inner, D, false), heads: c.Heads}})
	}
	return x
}

func newFeedForward(r *rand.Rand, width, mult int) *FeedForward {
	return &FeedForward{Norm: nn.NewLayerNorm(r, width, torchEps, true),
		Up: nn.NewLinear(r, width, mult*width, false), Down: nn.NewLinear(r, mult*width, width, false)}
}

// Forward maps patches [N·F, P, D], the F frames of each image one after another, to tokens [N, L, D].
func (r *Resampler) Forward(x *tensor.Tensor) *tensor.Tensor {
	V, P, D := x.Dims3()
	N, F := V, 1
	if r.Frames != nil {
		F = r.Frames.Dim(0)
		N = V / F
		x = x.Reshape(N, F, P, D).Add(r.Frames.Reshape(F, 1, D))
	}
	x = x.Reshape(N, F*P, D)
	y := repeat(r.Latents, N).In(x.Arena()) // [N, L, D]
	for _, l := range r.Layers {
		y = y.Add(l.Attention.Forward(x, y))
		y = y.Add(l.FFW.Forward(y))
	}
	return r.Norm.Forward(y)
}

// repeat is t [L, D] n times: [n, L, D].
func repeat(t *tensor.Tensor, n int) *tensor.Tensor {
	L := t.Dim(0)
	ids := make([]int32, n*L)
	for i := range ids {
		ids[i] = int32(i % L)
	}
	return tensor.Gather(t, tensor.WrapInts(ids, n, L))
}

// Forward lets latents y [N, L, D] attend to patches x [N, P, D] and to y: [N, L, D].
func (a *LatentAttention) Forward(x, y *tensor.Tensor) *tensor.Tensor {
	y = a.NormLatents.Forward(y)
	q := a.Query.Forward(y)                                                  // [N, L, H·d]
	kv := a.KeyValue.Forward(tensor.Concat(1, a.NormMedia.Forward(x), y))    // [N, P+L, 2·H·d]
	k, v := halves(kv, a.heads)                                              // [N, P+L, H, d]
	z := tensor.Attention(split(q, a.heads), k, v, tensor.AttentionConfig{}) // [N, L, H, d]
	return a.Output.Forward(z.Reshape(q.Shape()...))
}

// split is x [B, T, H·d] as heads [B, T, H, d].
func split(x *tensor.Tensor, heads int) *tensor.Tensor {
	B, T, C := x.Dims3()
	return x.Reshape(B, T, heads, C/heads)
}

// halves are the keys and the values in kv [B, S, 2·H·d]: [B, S, H, d] each.
func halves(kv *tensor.Tensor, heads int) (k, v *tensor.Tensor) {
	C := kv.Dim(2) / 2
	parts := kv.Split(2, C, C)
	return split(parts[0], heads), split(parts[1], heads)
}

// Forward keeps the shape [..., C].
func (f *FeedForward) Forward(x *tensor.Tensor) *tensor.Tensor {
	return f.Down.Forward(nn.Activated(f.Up, f.Norm.Forward(x), tensor.GELU))
}

// GatedBlock is x + tanh(α)·CrossAttention(x → images), then x + tanh(β)·FFW(x). Both gates start at 0, where the block
// changes nothing. Source: Alayrac et al. 2022, figure 4; names are those of OpenFlamingo's GatedCrossAttentionBlock.
type GatedBlock struct {
	Attention     *CrossAttention `param:"attn"`
	AttentionGate *tensor.Tensor  `param:"attn_gate"` // [1], α
	FFW           *FeedForward    `param:"ff"`
	FFWGate       *tensor.Tensor  `param:"ff_gate"` // [1], β
}

// CrossAttention lets text attend to the images that the pass's context shows it.
type CrossAttention struct {
	Norm     nn.Layer `param:"norm"`
	Query    nn.Layer `param:"to_q"`   // [H·d, C]
	KeyValue nn.Layer `param:"to_kv"`  // [2·H·d, D], the rows of k, then v
	Output   nn.Layer `param:"to_out"` // [C, H·d]

	heads   int
	uniform bool // a position that sees no image gets the mean of all values, not zeros
}

func newGatedBlock(r *rand.Rand, c Config) *GatedBlock {
	C, D, inner := c.Text.HiddenSize, c.Vision.HiddenSize, c.Heads*c.HeadDim
	return &GatedBlock{AttentionGate: gate(r, 1), FFWGate: gate(r, 1), FFW: newFeedForward(r, C, c.Mult),
		Attention: &CrossAttention{Norm: nn.NewLayerNorm(r, C, torchEps, true), Query: nn.NewLinear(r, C, inner, false),
			KeyValue: nn.NewLinear(r, D, 2*inner, false), Output: nn.NewLinear(r, inner, C, false),
			heads: c.Heads, uniform: c.AllPrevious}}
}

// gate starts at 0.
func gate(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.Meta(tensor.Float32, shape...).Param()
	if r != nil {
		t.Allocate()
	}
	return t
}

// Forward implements [llm.Block]: [B, T, C]. Without a context there is nothing to attend to.
func (b *GatedBlock) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	if p.Context() != nil {
		x = x.Add(b.Attention.Forward(x, p).Mul(b.AttentionGate.Tanh()))
	}
	return x.Add(b.FFW.Forward(x).Mul(b.FFWGate.Tanh()))
}

// Forward maps [B, T, C] to [B, T, C].
func (a *CrossAttention) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	q := split(a.Query.Forward(a.Norm.Forward(x)), a.heads) // [B, T, H, d]
	y := p.AttendContext(q, func(s *tensor.Tensor) (k, v *tensor.Tensor) {
		return halves(a.KeyValue.Forward(s), a.heads) // [B, S, H, d]
	}) // [B, T, H·d]
	if a.uniform {
		y = a.unseeing(y, p)
	}
	return a.Output.Forward(y)
}

// unseeing adds the mean of all values to y [B, T, H·d] at the positions that see no image: where
// only_attend_immediate_media is off, OpenFlamingo hides every key from them alike, which a softmax makes a mean.
func (a *CrossAttention) unseeing(y *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	B, T, C := y.Dims3()
	x := p.Context()
	none, some := make([]float32, B*T), false
	for i := range none {
		if x.From[i] >= x.To[i] {
			none[i], some = 1, true
		}
	}
	if !some {
		return y
	}
	states := x.States // [B, S, D]
	if p.Cache() != nil {
		states = states.NoGrad()
	}
	D := states.Dim(2)
	v := a.KeyValue.Forward(states.Mean(1).Reshape(B, 1, D)).Slice(2, C, 2*C) // [B, 1, H·d], as to_kv is linear
	return y.Add(v.Mul(tensor.Wrap(none, B, T, 1)))
}
