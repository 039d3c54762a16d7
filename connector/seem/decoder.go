package seem

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/pixeldecoder"
)

// Decoder makes masks of queries: objects, phrases and spatial prompts go through the same layers and never look at
// each other. Source: the authors' SEEMDecoder (seem_v1.py), names included.
type Decoder struct {
	Cross []*CrossLayer `param:"transformer_cross_attention_layers"`
	Self  []*SelfLayer  `param:"transformer_self_attention_layers"`
	FFN   []*FFNLayer   `param:"transformer_ffn_layers"`
	Norm  nn.Layer      `param:"decoder_norm"`

	Query         *nn.Embedding    `param:"query_feat"`          // [Q, D]
	QueryPosition *nn.Embedding    `param:"query_embed"`         // [Q, D]
	Level         *nn.Embedding    `param:"level_embed"`         // [3, D]
	InputProj     []nn.Layer       `param:"input_proj,optional"` // where CONVS_DIM is not HIDDEN_DIM
	MaskEmbed     []nn.Layer       `param:"mask_embed.layers"`   // an MLP of three layers
	ClassEmbed    *tensor.Tensor   `param:"class_embed"`         // [D, E]
	PointEmbed    []*tensor.Tensor `param:"mask_sptial_embed"`   // of each level [D, D]; misspelt in every checkpoint

	MemoryPosition *nn.Embedding `param:"spatial_embed"`    // [M, D]
	Memory         *nn.Embedding `param:"spatial_featured"` // [M, D]
	Sign           *nn.Embedding `param:"pn_indicator"`     // [2, D]: of positive and negative points
	Language       *Language     `param:"lang_encoder"`

	config DecoderConfig
}

// CrossLayer lets queries look at the picture.
type CrossLayer struct {
	Attention *nn.PackedAttention `param:"multihead_attn"`
	Norm      nn.Layer            `param:"norm"`
}

// SelfLayer lets the tokens of a group look at each other.
type SelfLayer struct {
	Attention *nn.PackedAttention `param:"self_attn"`
	Norm      nn.Layer            `param:"norm"`
}

// FFNLayer is LN(x + linear2(ReLU(linear1(x)))).
type FFNLayer struct {
	Linear1 nn.Layer `param:"linear1"`
	Linear2 nn.Layer `param:"linear2"`
	Norm    nn.Layer `param:"norm"`
}

func newDecoder(r *rand.Rand, c Config) *Decoder {
	D, n := c.Decoder.HiddenDim, c.Decoder.Layers-1
	norm := func() nn.Layer { return nn.NewLayerNorm(r, D, 1e-5, true) }
	attention := func() *nn.PackedAttention {
		return nn.NewPackedAttention(r, D, c.Decoder.Heads, math.Sqrt(1/(2*float64(D))), false)
	}
	d := &Decoder{Norm: norm(), Query: nn.NewEmbedding(r, c.Decoder.Queries, D, 1), QueryPosition: nn.NewEmbedding(r,
		c.Decoder.Queries, D, 1),
		Level: nn.NewEmbedding(r, 3, D, 1), ClassEmbed: tensor.Randn(r, 0.02, D, c.DimProj).Param(),
		MemoryPosition: nn.NewEmbedding(r, c.Decoder.Memories, D, 1), Memory: nn.NewEmbedding(r, c.Decoder.Memories,
			D, 1),
		Sign: nn.NewEmbedding(r, 2, D, 1), Language: newLanguage(r, c), config: c.Decoder}
	for range n {
		d.Cross = append(d.Cross, &CrossLayer{Attention: attention(), Norm: norm()})
		d.Self = append(d.Self, &SelfLayer{Attention: attention(), Norm: norm()})
		d.FFN = append(d.FFN, &FFNLayer{Linear1: nn.NewLinear(r, D, c.Decoder.FeedForward, true),
			Linear2: nn.NewLinear(r, c.Decoder.FeedForward, D, true), Norm: norm()})
	}
	for range 3 {
		if c.Encoder.ConvDim != D {
			d.InputProj = append(d.InputProj, nn.NewConv(r, c.Encoder.ConvDim, D, []int{1, 1}, tensor.ConvConfig{},
				true))
		}
		d.MaskEmbed = append(d.MaskEmbed, nn.NewLinear(r, D, D, true))
		d.PointEmbed = append(d.PointEmbed, tensor.Randn(r, 0.02, D, D).Param())
	}
	return d
}

// View is a picture as the decoder looks at it.
type View struct {
	levels    [3]*tensor.Tensor // [B, h·w, D]
	positions [3]*tensor.Tensor // [h·w, D]
	grids     [3][2]int
	masks     *tensor.Tensor // [B, D, H/4, W/4]
}

// Look makes a view of the pixel decoder's features.
func (d *Decoder) Look(f pixeldecoder.Features) *View {
	v := &View{masks: f.Masks}
	for i, x := range f.Levels {
		if len(d.InputProj) > 0 {
			x = d.InputProj[i].Forward(x) // [B, D, h, w]
		}
		B, D, h, w := x.Dims4()
		level := d.Level.Weight.In(x.Arena()).Slice(0, i, i+1)             // [1, D]
		v.levels[i] = x.Reshape(B, D, h*w).Transpose().Add(level)          // [B, h·w, D]
		v.positions[i] = pixeldecoder.SinePositions(D, h, w).In(x.Arena()) // [h·w, D]
		v.grids[i] = [2]int{h, w}
	}
	return v
}

// NoGrad is v for predictions that nothing is learnt from, such as those of rounds of clicks before a training step.
func (v *View) NoGrad() *View {
	u := &View{positions: v.positions, grids: v.grids, masks: v.masks.NoGrad()}
	for i, x := range v.levels {
		u.levels[i] = x.NoGrad()
	}
	return u
}

// Prediction is what a group's queries say behind one layer.
type Prediction struct {
	Masks *tensor.Tensor // logits [B, Q, h, w]
	Class *tensor.Tensor // in the space of texts, not normalised: [B, Q, E]
	Embed *tensor.Tensor // what masks are the products of with the picture's features: [B, Q, D]
}

// group is tokens on their way through the layers.
type group struct {
	x, pos  *tensor.Tensor // queries, and behind them memory tokens: [B, N, D]; they look at the picture
	queries int            // how many of them are queries

	words, wordPos *tensor.Tensor // [B, T, D]: they do not; nil: none

	points func(level int) *tensor.Tensor // tokens that are only looked at: [B, P, D]; nil: none
	bias   func(level int) *tensor.Tensor // who looks at whom: [B, 1, N+T, N+T+P]; nil: all at all
	memory *tensor.Tensor                 // mask logits of the memory tokens, [B, M, h, w]; nil: there are none
}

// run takes a group through the layers: a prediction of the queries as they are, and one behind every layer.
func (d *Decoder) run(v *View, g *group) []Prediction {
	out := []Prediction{d.predict(v, g)}
	for i := range d.Cross {
		level := i % 3
		g.x = d.Cross[i].forward(g.x, g.pos, v.levels[level], v.positions[level], g.visible(out[i].Masks,
			v.grids[level]))
		d.Self[i].forward(g, level)
		d.FFN[i].forward(g)
		out = append(out, d.predict(v, g))
	}
	return out
}

// predict is what the queries say now.
func (d *Decoder) predict(v *View, g *group) Prediction {
	x := g.x
	if g.queries < x.Dim(1) {
		x = x.Slice(1, 0, g.queries)
	}
	x = d.Norm.Forward(x) // [B, Q, D]
	p := Prediction{Class: x.MatMul(d.ClassEmbed), Embed: x}
	for i, l := range d.MaskEmbed {
		act := tensor.ReLU
		if i == len(d.MaskEmbed)-1 {
			act = tensor.Identity
		}
		p.Embed = nn.Activated(l, p.Embed, act)
	}
	B, Q, D := p.Embed.Dims3()
	_, _, h, w := v.masks.Dims4()
	p.Masks = p.Embed.MatMul(v.masks.Reshape(B, D, h*w)).Reshape(B, Q, h, w)
	return p
}

// visible hides from each token the places of a level's grid where its mask is negative, and none from one whose mask
// is negative everywhere: 0 or −∞, [B, 1, N, h·w].
func (g *group) visible(masks *tensor.Tensor, grid [2]int) *tensor.Tensor {
	resize := func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.Interpolate(x.Detach(), grid[0], grid[1], tensor.InterpolateConfig{Mode: tensor.Bilinear})
	}
	z := resize(masks) // [B, Q, h, w]
	if g.memory != nil {
		z = tensor.Concat(1, z, resize(g.memory)) // [B, N, h, w]
	}
	B, N, n := z.Dim(0), z.Dim(1), grid[0]*grid[1]
	bias, logits := make([]float32, B*N*n), z.Host().Data()
	for i := range B * N {
		row, hidden := bias[i*n:(i+1)*n], 0
		for j, x := range logits[i*n : (i+1)*n] {
			if x < 0 {
				row[j] = float32(math.Inf(-1))
				hidden++
			}
		}
		if hidden == n {
			clear(row)
		}
	}
	return tensor.Wrap(bias, B, 1, N, n).In(masks.Arena())
}

func (l *CrossLayer) forward(x, pos, picture, at, bias *tensor.Tensor) *tensor.Tensor {
	y := l.Attention.Forward(x.Add(pos), picture.Add(at), picture, tensor.AttentionConfig{Bias: bias})
	return l.Norm.Forward(x.Add(y)) // [B, N, D]
}

func (l *SelfLayer) forward(g *group, level int) {
	x, pos, N := g.x, g.pos, g.x.Dim(1)
	if g.words != nil {
		x, pos = tensor.Concat(1, x, g.words), tensor.Concat(1, pos, g.wordPos) // [B, N+T, D]
	}
	q := x.Add(pos)
	keys, values := q, x
	if g.points != nil {
		p := g.points(level)
		keys, values = tensor.Concat(1, keys, p.Add(p.Detach())), tensor.Concat(1, values, p) // [B, N+T+P, D]
	}
	var c tensor.AttentionConfig
	if g.bias != nil {
		c.Bias = g.bias(level)
	}
	x = l.Norm.Forward(x.Add(l.Attention.Forward(q, keys, values, c)))
	if g.x = x; g.words != nil {
		parts := x.Split(1, N, x.Dim(1)-N)
		g.x, g.words = parts[0], parts[1]
	}
}

func (l *FFNLayer) forward(g *group) {
	f := func(x *tensor.Tensor) *tensor.Tensor {
		return l.Norm.Forward(x.Add(l.Linear2.Forward(nn.Activated(l.Linear1, x, tensor.ReLU))))
	}
	if g.x = f(g.x); g.words != nil {
		g.words = f(g.words)
	}
}
