package seem

import (
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Language is the text tower and what compares queries with it. Source: the authors' LanguageEncoder, names included.
type Language struct {
	Tower      *TextTower     `param:"lang_encoder"`
	Projection *tensor.Tensor `param:"lang_proj"`   // [W, E]
	LogitScale *tensor.Tensor `param:"logit_scale"` // scalar, used as exp
}

// TextTower is a causal transformer like CLIP's.
type TextTower struct {
	Token    *nn.Embedding  `param:"token_embedding"`      // [V, W]
	Position *tensor.Tensor `param:"positional_embedding"` // [77, W]
	Blocks   []*TextBlock   `param:"resblocks"`
	Norm     nn.Layer       `param:"ln_final"`
}

// TextBlock is x + Attention(LN₁ x), then x + MLP(LN₂ x).
type TextBlock struct {
	Norm1     nn.Layer            `param:"ln_1"`
	Attention *nn.PackedAttention `param:"attn"`
	Norm2     nn.Layer            `param:"ln_2"`
	FC        nn.Layer            `param:"mlp.c_fc"`
	Proj      nn.Layer            `param:"mlp.c_proj"`
}

// textEps is that of the tower's norms, and unitEps stands under the division by a length.
const (
	textEps = 1e-12
	unitEps = 1e-7
)

func newLanguage(r *rand.Rand, c Config) *Language {
	t := c.Text
	norm := func() nn.Layer { return nn.NewLayerNorm(r, t.Width, textEps, true) }
	tower := &TextTower{Token: nn.NewEmbedding(r, t.VocabSize, t.Width, 0.02), Position: tensor.Randn(r, 0.02,
		t.ContextLength, t.Width).Param(), Norm: norm()}
	for range t.Layers {
		tower.Blocks = append(tower.Blocks, &TextBlock{Norm1: norm(), Attention: nn.NewPackedAttention(r, t.Width,
			t.Heads, 0.02, false), Norm2: norm(),
			FC: nn.NewNormalLinear(r, t.Width, 4*t.Width, 0.02), Proj: nn.NewNormalLinear(r, 4*t.Width, t.Width, 0.02)})
	}
	l := &Language{Tower: tower, Projection: tensor.Randn(r, 0.02, t.Width, c.DimProj).Param(),
		LogitScale: tensor.Meta(tensor.Float32).Param()}
	if r != nil {
		l.LogitScale.Allocate()
		l.LogitScale.Fill(1)
	}
	return l
}

// Words are the projected states of every token of ids (int32 [B, 77]): [B, 77, E].
func (l *Language) Words(ids *tensor.Tensor) *tensor.Tensor {
	_, T := ids.Dims2()
	if most := l.Tower.Position.Dim(0); T > most {
		tensor.Fail("SEEM", "%d tokens: the text tower has positions for %d", T, most)
	}
	x := l.Tower.Token.Lookup(ids) // [B, T, W]
	x = x.Add(l.Tower.Position.In(x.Arena()).Slice(0, 0, T))
	for _, b := range l.Tower.Blocks {
		y := b.Norm1.Forward(x)
		x = x.Add(b.Attention.Forward(y, y, y, tensor.AttentionConfig{Causal: true}))
		x = x.Add(b.Proj.Forward(nn.Activated(b.FC, b.Norm2.Forward(x), tensor.QuickGELU)))
	}
	return l.Tower.Norm.Forward(x).MatMul(l.Projection)
}

// Phrases are the states at the end of each text, which has the largest id: [B, E] of words [B, T, E].
func (l *Language) Phrases(ids, words *tensor.Tensor) *tensor.Tensor {
	B, T, E := words.Dims3()
	rows, all := make([]int32, B), ids.Host().IntData()
	for b := range rows {
		row := all[b*T : (b+1)*T]
		rows[b] = int32(b*T + slices.Index(row, slices.Max(row)))
	}
	return tensor.Gather(words.Reshape(B*T, E), tensor.WrapInts(rows, B).In(words.Arena()))
}

// Classes are the embeddings of class names, the last of which stands for none: unit vectors [C+1, E].
func (l *Language) Classes(ids *tensor.Tensor) *tensor.Tensor {
	return unit(l.Phrases(ids, l.Words(ids)))
}

// unit is x/(‖x‖+1e-7) over the last axis.
func unit(x *tensor.Tensor) *tensor.Tensor {
	shape := x.Shape()
	shape[len(shape)-1] = 1
	return x.Div(x.Mul(x).Sum(len(shape)-1).Reshape(shape...).Sqrt().Affine(1, unitEps))
}
