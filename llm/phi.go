package llm

import (
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// phi is the family of Phi-1, Phi-1.5 and Phi-2. Source: Gunasekar et al. 2023; Li et al. 2023.
func phi() Family {
	return Family{Type: "phi", Architecture: "PhiForCausalLM",
		Defaults: `{"vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
			"num_attention_heads": 32, "hidden_act": "gelu_new", "max_position_embeddings": 2048,
			"layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5, "bos_token_id": 1, "eos_token_id": 2}`,
		Read: func(raw []byte) (Config, error) {
			var p phiFile
			if err := json.Unmarshal(raw, &p); err != nil {
				return Config{}, jsonfile.Explain(raw, err)
			}
			return readLlama(raw, func(c *Config, _ *file) { c.NormEps, c.QKNorm = p.Eps, p.QKNorm })
		},
		Write: func(c Config) any {
			f := phiFile{file: writeLlama(c), Eps: c.NormEps, QKNorm: c.QKNorm}
			f.RMSNormEps = nil
			return f
		},
		New: func(r *rand.Rand, c Config) (Model, error) { return newPhi(r, c) }}
}

// phiFile holds what Phi adds to Llama's config.json.
type phiFile struct {
	file
	Eps    float64 `json:"layer_norm_eps"`
	QKNorm bool    `json:"qk_layernorm"`
}

// Phi is Microsoft's small decoder: LayerNorms, biases everywhere, partial rotary embeddings, and attention and MLP
// side by side. Source: transformers' modeling_phi, names included.
// It is safe for concurrent use while nobody changes its parameters.
type Phi struct {
	Decoder PhiDecoder `param:"model"`
	LMHead  nn.Layer   `param:"lm_head"` // [V, C] and [V]

	config    Config
	rope      *nn.RoPE
	recompute atomic.Bool
}

// PhiDecoder is the stack of blocks between embedding and final norm.
type PhiDecoder struct {
	Embedding *nn.Embedding `param:"embed_tokens"` // [V, C]
	Layers    []Block       `param:"layers"`
	Norm      nn.Layer      `param:"final_layernorm"`
}

func newPhi(r *rand.Rand, c Config) (Model, error) {
	rope, err := nn.NewRoPE(c.HeadDim, c.MaxPositionEmbeddings, c.RoPE)
	if err != nil {
		return nil, err
	}
	C := c.HiddenSize
	m := &Phi{config: c, rope: rope, Decoder: PhiDecoder{Embedding: nn.NewEmbedding(r, c.VocabSize, C, initStd),
		Norm: nn.NewLayerNorm(r, C, c.NormEps, true)}}
	for range c.NumHiddenLayers {
		m.Decoder.Layers = append(m.Decoder.Layers, newPhiBlock(r, &c))
	}
	head := linear(r, C, c.VocabSize, true)
	if c.TieWordEmbeddings {
		head.Weight = m.Decoder.Embedding.Weight
	}
	m.LMHead = head
	return m, nil
}

func (m *Phi) Config() Config                          { return m.config }
func (m *Phi) Embed(ids *tensor.Tensor) *tensor.Tensor { return m.Decoder.Embedding.Lookup(ids) }
func (m *Phi) Head() nn.Layer                          { return m.LMHead }
func (m *Phi) SetRecompute(on bool)                    { m.recompute.Store(on) }

// RoPE is the model's rotary embedding.
func (m *Phi) RoPE() *nn.RoPE { return m.rope }

// Hidden runs all blocks and the final norm.
func (m *Phi) Hidden(in Input) *tensor.Tensor {
	in = in.packed()
	p := NewPass(in, PassConfig{Blocks: len(m.Decoder.Layers), RoPE: m.rope, Recompute: m.recompute.Load()})
	x := in.Embeds // [B, T, C]
	for _, b := range m.Decoder.Layers {
		x = p.Run(b, x)
	}
	return m.Decoder.Norm.Forward(p.Finish(x))
}

// PhiBlock is x + Attention(LayerNorm(x)) + MLP(LayerNorm(x)), with one norm.
type PhiBlock struct {
	InputNorm nn.Layer      `param:"input_layernorm"`
	Attention *PhiAttention `param:"self_attn"`
	MLP       *PhiMLP       `param:"mlp"`
}

// PhiAttention is causal self-attention whose queries and keys may be normalised per head.
type PhiAttention struct {
	Query     nn.Layer `param:"q_proj"`
	Key       nn.Layer `param:"k_proj"`
	Value     nn.Layer `param:"v_proj"`
	Output    nn.Layer `param:"dense"`
	QueryNorm nn.Layer `param:"q_layernorm,optional"` // over D
	KeyNorm   nn.Layer `param:"k_layernorm,optional"`

	queryHeads, kvHeads, headDim int
}

// PhiMLP is fc2(act(fc1(x))).
type PhiMLP struct {
	FC1 nn.Layer `param:"fc1"`
	FC2 nn.Layer `param:"fc2"`

	act tensor.Activation
}

func newPhiBlock(r *rand.Rand, c *Config) *PhiBlock {
	C, H, G, D := c.HiddenSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim
	act, _ := activation(c.HiddenAct)
	b := &PhiBlock{InputNorm: nn.NewLayerNorm(r, C, c.NormEps, true),
		Attention: &PhiAttention{queryHeads: H, kvHeads: G, headDim: D, Query: linear(r, C, H*D, true),
			Key: linear(r, C, G*D, true), Value: linear(r, C, G*D, true), Output: linear(r, H*D, C, true)},
		MLP: &PhiMLP{FC1: linear(r, C, c.IntermediateSize, true), FC2: linear(r, c.IntermediateSize, C, true),
			act: act}}
	if c.QKNorm {
		b.Attention.QueryNorm = nn.NewLayerNorm(r, D, c.NormEps, true)
		b.Attention.KeyNorm = nn.NewLayerNorm(r, D, c.NormEps, true)
	}
	return b
}

// Forward implements [Block].
func (b *PhiBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	h := b.InputNorm.Forward(x)                                         // [B, T, C]
	y := b.Attention.Output.Forward(p.Pick(b, b.Attention.heads(h, p))) // [B, T, C] or [N, C]
	return p.Pick(b, x).Add(y).Add(b.MLP.Forward(p.Pick(b, h)))
}

// heads maps [B, T, C] to what the heads found, [B, T, H·D].
func (a *PhiAttention) heads(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, _ := x.Dims3()
	q := a.Query.Forward(x).Reshape(B, T, a.queryHeads, a.headDim) // [B, T, H, D]
	k := a.Key.Forward(x).Reshape(B, T, a.kvHeads, a.headDim)      // [B, T, G, D]
	v := a.Value.Forward(x).Reshape(B, T, a.kvHeads, a.headDim)    // [B, T, G, D]
	if a.QueryNorm != nil {
		q, k = a.QueryNorm.Forward(q), a.KeyNorm.Forward(k)
	}
	return p.Attend(q, k, v)
}

// Forward keeps the shape [..., C].
func (m *PhiMLP) Forward(x *tensor.Tensor) *tensor.Tensor {
	return m.FC2.Forward(nn.Activated(m.FC1, x, m.act))
}
