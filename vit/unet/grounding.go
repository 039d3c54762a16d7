package unet

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Grounding says what is to be where, as the gated layers of a [UNet] see it. A nil *Grounding leaves them out.
type Grounding struct {
	Tokens *tensor.Tensor // [B, N, context], by [PositionNet]
	Gate   float32        // factor of both gates: 1 in training; 0 leaves the layers out
}

// Fuser is GLIGEN's gated self-attention. Source: Li et al. 2023, equation 8; diffusers' GatedSelfAttentionDense.
type Fuser struct {
	Linear     nn.Layer       `param:"linear"` // [D, context]
	Norm1      nn.Layer       `param:"norm1"`
	Attention  *Attention     `param:"attn"`
	Norm2      nn.Layer       `param:"norm2"`
	FF         *FeedForward   `param:"ff"`
	AlphaAttn  *tensor.Tensor `param:"alpha_attn"`  // scalar
	AlphaDense *tensor.Tensor `param:"alpha_dense"` // scalar
}

// newFuser starts with closed gates, so that it changes nothing.
func newFuser(r *rand.Rand, width, context, heads int) *Fuser {
	return &Fuser{Linear: nn.NewLinear(r, context, width, true), Norm1: nn.NewLayerNorm(r, width, lnEps, true),
		Attention: newAttention(r, width, width, heads, false), Norm2: nn.NewLayerNorm(r, width, lnEps, true),
		FF: newFeedForward(r, width), AlphaAttn: zeros(r), AlphaDense: zeros(r)}
}

func zeros(r *rand.Rand, shape ...int) *tensor.Tensor {
	if r == nil {
		return tensor.Meta(tensor.Float32, shape...).Param()
	}
	return tensor.New(shape...).Param()
}

// Forward maps pixels v [B, T, D] to v + γ·tanh(α₁)·Attention(LN₁[v; h]) over both, of which the pixels are kept, and
// then to v + γ·tanh(α₂)·FF(LN₂ v), where h are the grounding tokens and γ the factor of the gates.
func (f *Fuser) Forward(v *tensor.Tensor, g *Grounding) *tensor.Tensor {
	gate := func(alpha *tensor.Tensor) *tensor.Tensor {
		if alpha = alpha.In(v.Arena()).Tanh(); g.Gate != 1 {
			alpha = alpha.Scale(g.Gate)
		}
		return alpha
	}
	h := f.Linear.Forward(g.Tokens)                                // [B, N, D]
	q := f.Norm1.Forward(v)                                        // [B, T, D]
	both := tensor.Concat(1, q, f.Norm1.Forward(h))                // [B, T+N, D]
	v = v.Add(f.Attention.Forward(q, both).Mul(gate(f.AlphaAttn))) // tokens need no queries: what they find is dropped
	return v.Add(f.FF.Forward(f.Norm2.Forward(v)).Mul(gate(f.AlphaDense)))
}

// PositionNet makes grounding tokens of phrases, or images, and boxes. Source: Li et al. 2023, equation 5; diffusers'
// GLIGENTextBoundingboxProjection. Which fields are nil depends on attention_type: [Gated] or [GatedTextImage].
type PositionNet struct {
	Linears      *Linears       `param:"linears,optional"`
	LinearsText  *Linears       `param:"linears_text,optional"`
	LinearsImage *Linears       `param:"linears_image,optional"`
	NullPositive *tensor.Tensor `param:"null_positive_feature,optional"` // [E], in place of a phrase that is not there
	NullText     *tensor.Tensor `param:"null_text_feature,optional"`     // [E]
	NullImage    *tensor.Tensor `param:"null_image_feature,optional"`    // [E]
	NullPosition *tensor.Tensor `param:"null_position_feature"`          // [64], in place of a box
}

// Linears are three linear layers with SiLU between them.
type Linears struct {
	First  nn.Layer `param:"0"` // [512, E+64]
	Second nn.Layer `param:"2"` // [512, 512]
	Third  nn.Layer `param:"4"` // [context, 512]
}

const (
	fourierFreqs = 8
	positionDim  = 2 * 4 * fourierFreqs // sine and cosine of four coordinates
	hiddenDim    = 512
)

func newPositionNet(r *rand.Rand, c Config) *PositionNet {
	E := c.CrossAttentionDim
	mlp := func() *Linears {
		return &Linears{nn.NewLinear(r, E+positionDim, hiddenDim, true), nn.NewLinear(r, hiddenDim, hiddenDim, true),
			nn.NewLinear(r, hiddenDim, E, true)}
	}
	switch c.AttentionType {
	case Gated:
		return &PositionNet{Linears: mlp(), NullPositive: zeros(r, E), NullPosition: zeros(r, positionDim)}
	case GatedTextImage:
		return &PositionNet{LinearsText: mlp(), LinearsImage: mlp(), NullText: zeros(r, E), NullImage: zeros(r, E),
			NullPosition: zeros(r, positionDim)}
	}
	return nil
}

// Forward keeps the shape [..., ·] but for the last axis.
func (l *Linears) Forward(x *tensor.Tensor) *tensor.Tensor {
	return l.Third.Forward(nn.Activated(l.Second, nn.Activated(l.First, x, tensor.SiLU), tensor.SiLU))
}

// Fourier maps boxes [B, N, 4], each (x0, y0, x1, y1) in 0…1, to [B, N, 64]: for each of eight frequencies
// f = 100^(k/8) the sines of f times the four coordinates and then the cosines, without 2π.
func Fourier(boxes *tensor.Tensor) *tensor.Tensor {
	B, N, n := boxes.Dims3()
	if n != 4 {
		tensor.Fail("Fourier", "boxes %v: needs [B, N, 4]", boxes.Shape())
	}
	out, all := make([]float32, 0, B*N*positionDim), boxes.Host().Data()
	for i := range B * N {
		box := all[4*i : 4*i+4]
		for k := range fourierFreqs {
			f := math.Pow(100, float64(k)/fourierFreqs)
			for _, x := range box {
				out = append(out, float32(math.Sin(f*float64(x))))
			}
			for _, x := range box {
				out = append(out, float32(math.Cos(f*float64(x))))
			}
		}
	}
	return tensor.Wrap(out, B, N, positionDim).In(boxes.Arena())
}

// Forward makes tokens [B, N, context] of boxes [B, N, 4] and phrases [B, N, E], CLIP's pooled states before the text
// projection. Where mask [B, N] is 0, learnt features take the place of both. It is for attention_type "gated".
func (p *PositionNet) Forward(boxes, mask, phrases *tensor.Tensor) *tensor.Tensor {
	if p.Linears == nil {
		tensor.Fail("PositionNet", "attention_type %q takes phrases and images: use ForwardTextImage", GatedTextImage)
	}
	at := known(Fourier(boxes), mask, p.NullPosition) // [B, N, 64]
	return p.Linears.Forward(tensor.Concat(-1, known(phrases, mask, p.NullPositive), at))
}

// ForwardTextImage makes tokens [B, 2·N, context], those of the phrases first, of boxes [B, N, 4] that are there where
// mask is 1, phrases [B, N, E] where phraseMask is, and features of images [B, N, E] where imageMask is; the masks are
// [B, N]. It is for attention_type "gated-text-image".
func (p *PositionNet) ForwardTextImage(boxes, mask, phrases, phraseMask, images,
	imageMask *tensor.Tensor) *tensor.Tensor {
	if p.LinearsText == nil {
		tensor.Fail("PositionNet", "attention_type %q takes phrases alone: use Forward", Gated)
	}
	at := known(Fourier(boxes), mask, p.NullPosition) // [B, N, 64]
	return tensor.Concat(1, p.LinearsText.Forward(tensor.Concat(-1, known(phrases, phraseMask, p.NullText), at)),
		p.LinearsImage.Forward(tensor.Concat(-1, known(images, imageMask, p.NullImage), at)))
}

// known is x [B, N, C] where mask [B, N] is 1, and null [C] where it is 0.
func known(x, mask, null *tensor.Tensor) *tensor.Tensor {
	B, N := mask.Dims2()
	m := mask.Reshape(B, N, 1)
	return x.Mul(m).Add(m.Affine(-1, 1).Mul(null))
}
