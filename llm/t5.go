package llm

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// EncoderDecoder is a language model that reads with an encoder and writes with a decoder: as a [Model] it is its
// decoder, whose [Input.Context] is what Encode returns.
type EncoderDecoder interface {
	Model

	// Encode runs the encoder on embeddings [B, S, C], of which row b's positions from start[b] to end[b]−1 are real
	// (nil: all), for a decoder of T positions.
	Encode(embeds *tensor.Tensor, start, end []int32, T int) *Context

	// First is the id that the decoder begins with.
	First() int32
}

// T5 is an encoder-decoder with relative position biases and without any others: T5, T5 1.1 and Flan-T5. Source: Raffel
// et al. 2020; transformers' modeling_t5, names included.
// It is safe for concurrent use while nobody changes its parameters.
type T5 struct {
	Shared  *nn.Embedding `param:"shared"` // [V, C]
	Encoder T5Encoder     `param:"encoder"`
	Decoder T5Decoder     `param:"decoder"`
	LMHead  nn.Layer      `param:"lm_head"` // [V, C], the embedding itself when tied

	config    Config
	recompute atomic.Bool
}

// T5Encoder is x + Attention(RMSNorm x), then x + FF(RMSNorm x), in each block, all positions seeing all.
type T5Encoder struct {
	Blocks []*T5EncoderBlock `param:"block"`
	Norm   nn.Layer          `param:"final_layer_norm"`
}

// T5Decoder is causal, and each block attends to the encoder's states before its FF.
type T5Decoder struct {
	Blocks []Block  `param:"block"`
	Norm   nn.Layer `param:"final_layer_norm"`
}

// T5EncoderBlock is a block of the encoder.
type T5EncoderBlock struct {
	Self     *T5Attention `param:"layer.0.SelfAttention"`
	SelfNorm nn.Layer     `param:"layer.0.layer_norm"`
	FF       *T5FF        `param:"layer.1.DenseReluDense"`
	FFNorm   nn.Layer     `param:"layer.1.layer_norm"`

	bias *relativeBias // of block 0
}

// T5DecoderBlock is a block of the decoder.
type T5DecoderBlock struct {
	Self      *T5Attention `param:"layer.0.SelfAttention"`
	SelfNorm  nn.Layer     `param:"layer.0.layer_norm"`
	Cross     *T5Attention `param:"layer.1.EncDecAttention"`
	CrossNorm nn.Layer     `param:"layer.1.layer_norm"`
	FF        *T5FF        `param:"layer.2.DenseReluDense"`
	FFNorm    nn.Layer     `param:"layer.2.layer_norm"`

	bias *relativeBias // of block 0
}

// T5Attention is attention whose scores are not scaled.
type T5Attention struct {
	Query  nn.Layer      `param:"q"`
	Key    nn.Layer      `param:"k"`
	Value  nn.Layer      `param:"v"`
	Output nn.Layer      `param:"o"`
	Bias   *nn.Embedding `param:"relative_attention_bias,optional"` // [buckets, H], in block 0

	headCount int
}

// T5FF is wo(act(wi x)), or wo(act(wi_0 x)·wi_1 x).
type T5FF struct {
	In   nn.Layer `param:"wi,optional"`
	Gate nn.Layer `param:"wi_0,optional"`
	Up   nn.Layer `param:"wi_1,optional"`
	Out  nn.Layer `param:"wo"`

	act tensor.Activation
}

func newT5(r *rand.Rand, c Config) *T5 {
	C := c.HiddenSize
	norm := func() nn.Layer { return nn.NewRMSNorm(r, C, c.NormEps) }
	m := &T5{config: c, Shared: nn.NewEmbedding(r, c.VocabSize, C, 1), Encoder: T5Encoder{Norm: norm()},
		Decoder: T5Decoder{Norm: norm()}}
	for i := range c.NumHiddenLayers {
		b := &T5EncoderBlock{Self: newT5Attention(r, c, i == 0), SelfNorm: norm(), FF: newT5FF(r, c), FFNorm: norm()}
		if m.Encoder.Blocks = append(m.Encoder.Blocks, b); i == 0 {
			b.bias = &relativeBias{table: b.Self.Bias, distance: c.T5.MaxDistance, both: true}
		}
		b.bias = m.Encoder.Blocks[0].bias
	}
	for i := range c.T5.DecoderLayers {
		b := &T5DecoderBlock{Self: newT5Attention(r, c, i == 0), SelfNorm: norm(), Cross: newT5Attention(r, c, false),
			CrossNorm: norm(), FF: newT5FF(r, c), FFNorm: norm()}
		if m.Decoder.Blocks = append(m.Decoder.Blocks, b); i == 0 {
			b.bias = &relativeBias{table: b.Self.Bias, distance: c.T5.MaxDistance}
		}
		b.bias = m.Decoder.Blocks[0].(*T5DecoderBlock).bias
	}
	head := &nn.Linear{Weight: m.Shared.Weight}
	if !c.TieWordEmbeddings {
		head = &nn.Linear{Weight: tensor.Randn(r, 1, c.VocabSize, C).Param()}
	}
	m.LMHead = head
	return m
}

// newT5Attention starts as Mesh TensorFlow: q N(0, 1/(C·D)), k and v N(0, 1/C), o N(0, 1/(H·D)).
func newT5Attention(r *rand.Rand, c Config, biased bool) *T5Attention {
	C, H, D := c.HiddenSize, c.NumAttentionHeads, c.HeadDim
	project := func(in, out int, variance float64) nn.Layer {
		return &nn.Linear{Weight: tensor.Randn(r, math.Sqrt(variance), out, in).Param()}
	}
	a := &T5Attention{headCount: H, Query: project(C, H*D, 1/float64(C*D)), Key: project(C, H*D, 1/float64(C)),
		Value: project(C, H*D, 1/float64(C)), Output: project(H*D, C, 1/float64(H*D))}
	if biased {
		a.Bias = nn.NewEmbedding(r, c.T5.Buckets, H, 1/math.Sqrt(float64(C)))
	}
	return a
}

func newT5FF(r *rand.Rand, c Config) *T5FF {
	C, F := c.HiddenSize, c.IntermediateSize
	act, _ := activation(c.HiddenAct)
	project := func(in, out int) nn.Layer {
		return &nn.Linear{Weight: tensor.Randn(r, 1/math.Sqrt(float64(in)), out, in).Param()}
	}
	if c.T5.Gated {
		return &T5FF{Gate: project(C, F), Up: project(C, F), Out: project(F, C), act: act}
	}
	return &T5FF{In: project(C, F), Out: project(F, C), act: act}
}

func (m *T5) Config() Config                          { return m.config }
func (m *T5) Embed(ids *tensor.Tensor) *tensor.Tensor { return m.Shared.Lookup(ids) }
func (m *T5) Head() nn.Layer                          { return m.LMHead }
func (m *T5) SetRecompute(on bool)                    { m.recompute.Store(on) }

// First implements [EncoderDecoder].
func (m *T5) First() int32 { return int32(m.config.T5.First) }

// Encode implements [EncoderDecoder].
func (m *T5) Encode(embeds *tensor.Tensor, start, end []int32, T int) *Context {
	B, S, _ := embeds.Dims3()
	x := embeds // [B, S, C]
	for _, b := range m.Encoder.Blocks {
		forward := func(in []*tensor.Tensor) *tensor.Tensor { return b.forward(in[0], start, end) }
		if m.recompute.Load() {
			x = tensor.Checkpoint(forward, x)
		} else {
			x = tensor.Compact(forward, x)
		}
	}
	c := &Context{States: m.Encoder.Norm.Forward(x)}
	for b := range B {
		from, to := int32(0), int32(S)
		if start != nil {
			from = start[b]
		}
		if end != nil {
			to = end[b]
		}
		for range T {
			c.From, c.To = append(c.From, from), append(c.To, to)
		}
	}
	return c
}

// Hidden runs the decoder: [B, T, C], or [N, C] if in.Rows asks for N positions. It panics without in.Context.
func (m *T5) Hidden(in Input) *tensor.Tensor {
	p := NewPass(in, PassConfig{Blocks: len(m.Decoder.Blocks), Scale: 1, Recompute: m.recompute.Load()})
	x := in.Embeds // [B, T, C]
	for _, b := range m.Decoder.Blocks {
		x = p.Run(b, x)
	}
	x = m.Decoder.Norm.Forward(p.Finish(x))
	if m.config.T5.ScaleOutputs {
		x = x.Scale(float32(1 / math.Sqrt(float64(m.config.HiddenSize))))
	}
	return x
}

// forward keeps the shape [B, S, C].
func (b *T5EncoderBlock) forward(x *tensor.Tensor, start, end []int32) *tensor.Tensor {
	B, S, _ := x.Dims3()
	y := b.SelfNorm.Forward(x)
	q, k, v := b.Self.heads(b.Self.Query, y), b.Self.heads(b.Self.Key, y), b.Self.heads(b.Self.Value, y)
	y = tensor.Attention(q, k, v, tensor.AttentionConfig{Scale: 1, Bias: b.bias.of(x.Arena(), S, S), Start: start,
		End: end}) // [B, S, H, D]
	x = x.Add(b.Self.Output.Forward(y.Reshape(B, S, -1)))
	return x.Add(b.FF.Forward(b.FFNorm.Forward(x)))
}

// Forward implements [Block].
func (b *T5DecoderBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.SelfNorm.Forward(x)
	y = p.AttendBiased(b.Self.heads(b.Self.Query, y), b.Self.heads(b.Self.Key, y), b.Self.heads(b.Self.Value, y),
		func(T, keys int) *tensor.Tensor { return b.bias.of(x.Arena(), T, keys) }) // [B, T, H·D]
	x = x.Add(b.Self.Output.Forward(y))
	y = p.AttendContext(b.Cross.heads(b.Cross.Query, b.CrossNorm.Forward(x)),
		func(states *tensor.Tensor) (k, v *tensor.Tensor) {
			return b.Cross.heads(b.Cross.Key, states), b.Cross.heads(b.Cross.Value, states) // [B, S, H, D]
		}) // [B, T, H·D]
	x = p.Pick(b, x).Add(b.Cross.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.FF.Forward(b.FFNorm.Forward(x)))
}

// heads is a projection of x [B, T, C], head by head: [B, T, H, D].
func (a *T5Attention) heads(l nn.Layer, x *tensor.Tensor) *tensor.Tensor {
	y := l.Forward(x)
	B, T, W := y.Dims3()
	return y.Reshape(B, T, a.headCount, W/a.headCount)
}

// Forward keeps the shape [..., C].
func (f *T5FF) Forward(x *tensor.Tensor) *tensor.Tensor {
	if f.In != nil {
		return f.Out.Forward(nn.Activated(f.In, x, f.act))
	}
	return f.Out.Forward(gated(f.Gate.Forward(x), f.Up.Forward(x), f.act))
}

// relativeBias is a learnt number for each head and each bucket of distances.
type relativeBias struct {
	table    *nn.Embedding // [buckets, H]
	distance int           // from which on all distances share a bucket
	both     bool          // keys behind the query have buckets of their own
}

// of is the bias of T queries, which are the last of the keys: [1, H, T, keys].
func (r *relativeBias) of(s *tensor.Arena, T, keys int) *tensor.Tensor {
	ids := make([]int32, T*keys)
	for i := range ids {
		ids[i] = int32(r.bucket(i%keys - (keys - T + i/keys)))
	}
	H := r.table.Weight.Dim(1)
	return r.table.Lookup(tensor.WrapInts(ids, T, keys).In(s)).Transpose(2, 0, 1).Reshape(1, H, T, keys)
}

// bucket is that of a key so far behind its query: small distances have one each, larger ones share them evenly on a
// logarithmic scale. Source: transformers' T5Attention._relative_position_bucket, in its precision.
func (r *relativeBias) bucket(behind int) int {
	n, first := r.table.Weight.Dim(0), 0
	if r.both {
		if n /= 2; behind > 0 {
			first = n
		}
		behind = -max(behind, -behind)
	}
	d, exact := max(-behind, 0), n/2
	if d < exact {
		return first + d
	}
	log := float32(math.Log(float64(float32(d) / float32(exact))))
	large := exact + int(log/float32(math.Log(float64(r.distance)/float64(exact)))*float32(n-exact))
	return first + min(large, n-1)
}
