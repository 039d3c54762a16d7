package llm

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

func phi3() Family {
	return Family{Type: "phi3", Architecture: "Phi3ForCausalLM", LLaVA: "llava_phi",
		LLaVAArchitecture: "LlavaPhiForCausalLM", Template: "phi3_instruct",
		Defaults: `{"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
			"num_attention_heads": 32,
			"max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 32000,
				"pad_token_id": 32000}`,
		Read: func(raw []byte) (Config, error) { return readLlama(raw, (*Config).slide) },
		New: func(r *rand.Rand, c Config) (Model, error) {
			return NewLlama(r, c, func(r *rand.Rand, c *Config, _ int) Block { return newPhi3Block(r, c) })
		}}
}

// Phi3Block is a Llama block whose projections are stored fused: q, k and v in one, gate and up in one. Source:
// transformers' modeling_phi3.
type Phi3Block struct {
	InputNorm nn.Layer       `param:"input_layernorm"`
	Attention *Phi3Attention `param:"self_attn"`
	MLPNorm   nn.Layer       `param:"post_attention_layernorm"`
	MLP       *Phi3MLP       `param:"mlp"`
}

// Phi3Attention is causal self-attention.
type Phi3Attention struct {
	QKV    nn.Layer `param:"qkv_proj"` // [(H+2G)·D, C], the rows of q, then k, then v
	Output nn.Layer `param:"o_proj"`

	queryHeads, kvHeads, headDim int
}

// Phi3MLP is down(act(gate)·up).
type Phi3MLP struct {
	GateUp nn.Layer `param:"gate_up_proj"` // [2F, C], the rows of gate, then up
	Down   nn.Layer `param:"down_proj"`

	act tensor.Activation
}

func newPhi3Block(r *rand.Rand, c *Config) *Phi3Block {
	C, F, H, G, D := c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim
	act, _ := activation(c.HiddenAct)
	return &Phi3Block{
		InputNorm: nn.NewRMSNorm(r, C, c.NormEps),
		Attention: &Phi3Attention{QKV: linear(r, C, (H+2*G)*D, false), Output: linear(r, H*D, C, false),
			queryHeads: H, kvHeads: G, headDim: D},
		MLPNorm: nn.NewRMSNorm(r, C, c.NormEps),
		MLP:     &Phi3MLP{GateUp: linear(r, C, 2*F, false), Down: linear(r, F, C, false), act: act},
	}
}

// Forward implements [Block].
func (b *Phi3Block) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.heads(b.InputNorm.Forward(x), p)              // [B, T, H·D]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x)))
}

// Forward maps [B, T, C] to [B, T, C].
func (a *Phi3Attention) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	return a.Output.Forward(a.heads(x, p))
}

// heads maps [B, T, C] to what the heads found, [B, T, H·D].
func (a *Phi3Attention) heads(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, _ := x.Dims3()
	H, G, D := a.queryHeads, a.kvHeads, a.headDim
	qkv := a.QKV.Forward(x).Split(2, H*D, G*D, G*D)
	return p.Attend(qkv[0].Reshape(B, T, H, D), qkv[1].Reshape(B, T, G, D), qkv[2].Reshape(B, T, G, D))
}

// Forward keeps the shape [..., C].
func (m *Phi3MLP) Forward(x *tensor.Tensor) *tensor.Tensor {
	y := m.GateUp.Forward(x) // [..., 2F]
	F := y.Dim(-1) / 2
	parts := y.Split(-1, F, F)
	return m.Down.Forward(gated(parts[0], parts[1], m.act))
}
