package llm

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// mixtral is Mistral with a mixture of experts in every layer. Source: Jiang et al. 2024; transformers'
// modeling_mixtral, with the names of its files.
func mixtral() Family {
	return Family{Type: "mixtral", Architecture: "MixtralForCausalLM", LLaVA: "llava_mixtral",
		LLaVAArchitecture: "LlavaMixtralForCausalLM", Template: "mistral_instruct",
		Defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
			"num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
			"rms_norm_eps": 1e-5, "rope_theta": 1000000, "bos_token_id": 1, "eos_token_id": 2,
			"num_experts_per_tok": 2, "num_local_experts": 8, "router_aux_loss_coef": 0.001}`,
		Read: func(raw []byte) (Config, error) {
			var m mixtralFile
			if err := json.Unmarshal(raw, &m); err != nil {
				return Config{}, jsonfile.Explain(raw, err)
			}
			return readLlama(raw, func(c *Config, f *file) {
				c.slide(f)
				c.Dropout.Router = m.Jitter
				c.Experts = Experts{Count: m.Experts, PerToken: m.PerToken, Width: c.IntermediateSize, Normalize: true,
					AuxLoss: m.AuxLoss, UseAuxLoss: m.UseAuxLoss}
			})
		},
		Write: func(c Config) any {
			e := c.Experts
			return mixtralFile{file: writeLlama(c), Experts: e.Count, PerToken: e.PerToken, AuxLoss: e.AuxLoss,
				UseAuxLoss: e.UseAuxLoss, Jitter: c.Dropout.Router}
		},
		New: func(r *rand.Rand, c Config) (Model, error) {
			return NewLlama(r, c, func(r *rand.Rand, c *Config, _ int) Block {
				b := newLlamaBlock(r, c, false)
				return &mixtralBlock{b.InputNorm, b.Attention, b.MLPNorm,
					newMoE(r, c, func() nn.Layer { return newMixtralExpert(r, c) })}
			})
		}}
}

// mixtralFile holds what Mixtral adds to Mistral's config.json.
type mixtralFile struct {
	file
	Experts    int     `json:"num_local_experts"`
	PerToken   int     `json:"num_experts_per_tok"`
	AuxLoss    float64 `json:"router_aux_loss_coef"`
	UseAuxLoss bool    `json:"output_router_logits"`
	Jitter     float64 `json:"router_jitter_noise"`
}

// mixtralBlock is Llama's with a mixture of experts as its MLP.
type mixtralBlock struct {
	InputNorm nn.Layer   `param:"input_layernorm"`
	Attention *Attention `param:"self_attn"`
	MLPNorm   nn.Layer   `param:"post_attention_layernorm"`
	MoE       *MoE       `param:"block_sparse_moe"`
}

// Forward implements [Block].
func (b *mixtralBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.heads(b.InputNorm.Forward(x), p)              // [B, T, H·D]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.MoE.Forward(b.MLPNorm.Forward(x), p))
}

// mixtralExpert is w2(act(w1(x))·w3(x)).
type mixtralExpert struct {
	Gate nn.Layer `param:"w1"`
	Up   nn.Layer `param:"w3"`
	Down nn.Layer `param:"w2"`

	act tensor.Activation
}

func newMixtralExpert(r *rand.Rand, c *Config) nn.Layer {
	C, F := c.HiddenSize, c.Experts.Width
	act, _ := activation(c.HiddenAct)
	return &mixtralExpert{Gate: linear(r, C, F, false), Up: linear(r, C, F, false), Down: linear(r, F, C, false),
		act: act}
}

// Forward keeps the shape [..., C].
func (e *mixtralExpert) Forward(x *tensor.Tensor) *tensor.Tensor {
	return e.Down.Forward(gated(e.Gate.Forward(x), e.Up.Forward(x), e.act))
}
