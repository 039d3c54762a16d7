package imagebind

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// normEps is that of every LayerNorm but the stems'.
const normEps = 1e-6

// Trunk is a stack of pre-norm blocks. That of text is causal; those of sound, depth, thermal images and motion have a
// learnt key and value in every block.
type Trunk struct {
	PreNorm nn.Layer `param:"pre_transformer_layer.0,optional"` // of pictures alone
	Blocks  []*Block `param:"blocks"`

	causal bool
}

// Block is x + Attention(LN₁ x), then x + MLP(LN₂ x). Source: the authors' BlockWithMasking.
type Block struct {
	Norm1     nn.Layer            `param:"norm_1"`
	Attention *nn.PackedAttention `param:"attn"`
	Norm2     nn.Layer            `param:"norm_2"`
	MLP       *MLP                `param:"mlp"`
	DropPath  *nn.DropPath        `param:"drop_path,optional"`
}

// MLP is fc2(GELU(fc1(x))).
type MLP struct {
	FC1 nn.Layer `param:"fc1"` // [4D, D]
	FC2 nn.Layer `param:"fc2"` // [D, 4D]
}

func newTrunk(r *rand.Rand, c trunk, kind Modality) *Trunk {
	t := &Trunk{causal: kind == Text}
	if kind == Vision {
		t.PreNorm = nn.NewLayerNorm(r, c.dim, normEps, true)
	}
	std := math.Sqrt(1 / (2 * float64(c.dim))) // Xavier's of the packed projections
	for i := range c.blocks {
		b := &Block{Norm1: nn.NewLayerNorm(r, c.dim, normEps, true),
			Attention: nn.NewPackedAttention(r, c.dim, c.heads, std, kind != Vision && kind != Text),
			Norm2:     nn.NewLayerNorm(r, c.dim, normEps, true),
			MLP:       &MLP{FC1: nn.NewLinear(r, c.dim, 4*c.dim, true), FC2: nn.NewLinear(r, 4*c.dim, c.dim, true)}}
		if c.dropPath > 0 && i > 0 {
			b.DropPath = &nn.DropPath{Dropout: nn.Dropout{P: float32(c.dropPath * float64(i) / float64(c.blocks-1))}}
		}
		t.Blocks = append(t.Blocks, b)
	}
	return t
}

// Forward keeps the shape [B, T, D].
func (t *Trunk) Forward(x *tensor.Tensor) *tensor.Tensor {
	if t.PreNorm != nil {
		x = t.PreNorm.Forward(x)
	}
	for _, b := range t.Blocks {
		x = b.Forward(x, tensor.AttentionConfig{Causal: t.causal})
	}
	return x
}

// Forward keeps the shape [B, T, D].
func (b *Block) Forward(x *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	y := b.Norm1.Forward(x)
	x = x.Add(b.kept(b.Attention.Forward(y, y, y, c)))
	y = b.Norm2.Forward(x)
	return x.Add(b.kept(b.MLP.FC2.Forward(nn.Activated(b.MLP.FC1, y, tensor.GELU))))
}

// kept is a residual branch, of which training drops some rows.
func (b *Block) kept(x *tensor.Tensor) *tensor.Tensor {
	if b.DropPath == nil {
		return x
	}
	return b.DropPath.Forward(x)
}

// Head maps a token [B, D] to the shared space.
type Head interface {
	project(x *tensor.Tensor) *tensor.Tensor
}

// GridHead is the head of pictures, sound, depth and thermal images.
type GridHead struct {
	Norm nn.Layer `param:"0"` // [D]
	Proj nn.Layer `param:"2"` // [E, D]
}

// TextHead is the head of text.
type TextHead struct {
	Norm nn.Layer `param:"proj.0"`
	Proj nn.Layer `param:"proj.1"`
}

// IMUHead is the head of motion.
type IMUHead struct {
	Norm    nn.Layer   `param:"0"`
	Dropout nn.Dropout `param:"2"`
	Proj    nn.Layer   `param:"3"`
}

func (c *Config) head(r *rand.Rand, kind Modality) Head {
	D := c.trunk(kind).dim
	norm, proj := nn.NewLayerNorm(r, D, normEps, true), nn.NewLinear(r, D, c.EmbedDim, false)
	switch kind {
	case Text:
		return &TextHead{Norm: norm, Proj: proj}
	case IMU:
		return &IMUHead{Norm: norm, Dropout: nn.Dropout{P: 0.5}, Proj: proj}
	}
	return &GridHead{Norm: norm, Proj: proj}
}

func (h *GridHead) project(x *tensor.Tensor) *tensor.Tensor { return h.Proj.Forward(h.Norm.Forward(x)) }
func (h *TextHead) project(x *tensor.Tensor) *tensor.Tensor { return h.Proj.Forward(h.Norm.Forward(x)) }
func (h *IMUHead) project(x *tensor.Tensor) *tensor.Tensor {
	return h.Proj.Forward(h.Dropout.Forward(h.Norm.Forward(x)))
}

// Scale multiplies by the inverse of a temperature, at most 100. Only that of text is trained by the authors; the
// others are constants in checkpoints, and are to be kept out of a stage's parameter groups.
type Scale struct {
	LogScale *tensor.Tensor `param:"1.log_logit_scale"` // scalar
}

func newScale(r *rand.Rand, factor float64) *Scale {
	if r == nil {
		return &Scale{LogScale: tensor.Meta(tensor.Float32).Param()}
	}
	return &Scale{LogScale: tensor.Full(float32(math.Log(factor))).Param()}
}

// Forward keeps the shape.
func (s *Scale) Forward(x *tensor.Tensor) *tensor.Tensor {
	const most = 100
	k := s.LogScale.In(x.Arena()).Exp()
	limit := tensor.Full(most).In(x.Arena())
	return x.Mul(tensor.Where(k.LessEqual(limit), k, limit))
}
