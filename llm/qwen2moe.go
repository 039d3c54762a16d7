package llm

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// qwen2MoE is Qwen2 with a mixture of experts, and one that every token passes, in most layers. Source: Qwen Team
// 2024, "Qwen1.5-MoE"; transformers' modeling_qwen2_moe, with the names of its files.
func qwen2MoE() Family {
	return Family{Type: "qwen2_moe", Architecture: "Qwen2MoeForCausalLM", LLaVA: "llava_qwen_moe",
		LLaVAArchitecture: "LlavaQwenMoeForCausalLM", Template: "qwen_1_5",
		Defaults: `{"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
			"num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 32768,
			"rms_norm_eps": 1e-6, "sliding_window": 4096, "max_window_layers": 28, "decoder_sparse_step": 1,
			"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4,
			"num_experts": 60, "router_aux_loss_coef": 0.001, "qkv_bias": true}`,
		Read: readQwen2MoE,
		Write: func(c Config) any {
			e := c.Experts
			f := qwenMoEFile{file: writeLlama(c), Experts: e.Count, PerToken: e.PerToken, Width: e.Width,
				SharedWidth: e.SharedWidth, Normalize: e.Normalize, Step: 1, Dense: e.Dense, AuxLoss: e.AuxLoss,
				UseAuxLoss: e.UseAuxLoss, QKVBias: c.AttentionBias}
			return f
		},
		New: func(r *rand.Rand, c Config) (Model, error) {
			return NewLlama(r, c, func(r *rand.Rand, c *Config, layer int) Block {
				b := newLlamaBlock(r, c, false)
				if !c.Experts.sparse(layer) {
					return b
				}
				mlp := func(width int) nn.Layer {
					wide := *c
					wide.IntermediateSize = width
					return NewMLP(r, wide)
				}
				moe := newMoE(r, c, func() nn.Layer { return mlp(c.Experts.Width) })
				moe.Shared = mlp(c.Experts.SharedWidth)
				moe.SharedGate = linear(r, c.HiddenSize, 1, false)
				return &qwenMoEBlock{b.InputNorm, b.Attention, b.MLPNorm, moe}
			})
		}}
}

// qwenMoEFile holds what Qwen2-MoE adds to Qwen2's config.json.
type qwenMoEFile struct {
	file
	Experts     int     `json:"num_experts"`
	PerToken    int     `json:"num_experts_per_tok"`
	Width       int     `json:"moe_intermediate_size"`
	SharedWidth int     `json:"shared_expert_intermediate_size"`
	Normalize   bool    `json:"norm_topk_prob"`
	Step        int     `json:"decoder_sparse_step"` // every so many layers have experts
	Dense       []int   `json:"mlp_only_layers"`
	AuxLoss     float64 `json:"router_aux_loss_coef"`
	UseAuxLoss  bool    `json:"output_router_logits"`
	QKVBias     bool    `json:"qkv_bias"`
}

func readQwen2MoE(raw []byte) (Config, error) {
	var m qwenMoEFile
	if err := json.Unmarshal(raw, &m); err != nil {
		return Config{}, jsonfile.Explain(raw, err)
	}
	if m.Step < 1 || m.SharedWidth < 1 {
		return Config{}, fmt.Errorf("decoder_sparse_step %d and shared_expert_intermediate_size %d must be positive",
			m.Step, m.SharedWidth)
	}
	return readLlama(raw, func(c *Config, f *file) {
		c.AttentionBias = m.QKVBias
		if f.UseSlidingWindow != nil && *f.UseSlidingWindow {
			if c.slide(f); c.SlidingWindow > 0 && c.WindowLayers == nil { // every other one of the first
				c.WindowLayers = []int{}
				for i := 0; f.MaxWindowLayers != nil && i < min(*f.MaxWindowLayers, c.NumHiddenLayers); i += 2 {
					c.WindowLayers = append(c.WindowLayers, i)
				}
			}
		}
		c.Experts = Experts{Count: m.Experts, PerToken: m.PerToken, Width: m.Width, SharedWidth: m.SharedWidth,
			Normalize: m.Normalize, AuxLoss: m.AuxLoss, UseAuxLoss: m.UseAuxLoss}
		for i := range min(c.NumHiddenLayers, 1<<14) {
			if slices.Contains(m.Dense, i) || (i+1)%m.Step != 0 {
				c.Experts.Dense = append(c.Experts.Dense, i)
			}
		}
	})
}

// qwenMoEBlock is Llama's with a mixture of experts as its MLP.
type qwenMoEBlock struct {
	InputNorm nn.Layer   `param:"input_layernorm"`
	Attention *Attention `param:"self_attn"`
	MLPNorm   nn.Layer   `param:"post_attention_layernorm"`
	MLP       *MoE       `param:"mlp"`
}

// Forward implements [Block].
func (b *qwenMoEBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.heads(b.InputNorm.Forward(x), p)              // [B, T, H·D]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x), p))
}
