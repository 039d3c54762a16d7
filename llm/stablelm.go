package llm

import (
	"encoding/json"
	"errors"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// stablelm is Llama with LayerNorms, partial rotary embeddings, and, if the config asks for it, attention and MLP
// side by side. Source: Bellagente et al. 2024; transformers' modeling_stablelm, names included.
func stablelm() Family {
	return Family{Type: "stablelm", Architecture: "StableLmForCausalLM", LLaVA: "llava_stablelm",
		LLaVAArchitecture: "LlavaStableLMForCausalLM",
		Defaults: `{"vocab_size": 50304, "hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 32,
			"num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096,
			"layer_norm_eps": 1e-5, "partial_rotary_factor": 0.25, "bos_token_id": 0, "eos_token_id": 0}`,
		Read: func(raw []byte) (Config, error) {
			var s stableFile
			if err := json.Unmarshal(raw, &s); err != nil {
				return Config{}, jsonfile.Explain(raw, err)
			}
			if s.QKNorm {
				return Config{}, errors.New("qk_layernorm true is not supported with stablelm")
			}
			return readLlama(raw, func(c *Config, _ *file) {
				c.NormEps, c.AttentionBias, c.Parallel = s.Eps, s.QKVBias, s.Parallel
				c.Dropout.Residual = s.HiddenDropout
			})
		},
		Write: func(c Config) any {
			f := stableFile{file: writeLlama(c), Eps: c.NormEps, QKVBias: c.AttentionBias, Parallel: c.Parallel,
				HiddenDropout: c.Dropout.Residual}
			f.RMSNormEps, f.ResidDropout = nil, 0
			return f
		},
		New: func(r *rand.Rand, c Config) (Model, error) {
			m, err := NewLlama(r, c, newStableBlock)
			if err != nil {
				return nil, err
			}
			m.Decoder.Norm = nn.NewLayerNorm(r, c.HiddenSize, c.NormEps, true)
			return m, nil
		}}
}

// stableFile holds what StableLM adds to Llama's config.json.
type stableFile struct {
	file
	Eps           float64 `json:"layer_norm_eps"`
	QKVBias       bool    `json:"use_qkv_bias"`
	QKNorm        bool    `json:"qk_layernorm"`
	Parallel      bool    `json:"use_parallel_residual"`
	HiddenDropout float64 `json:"hidden_dropout"`
}

// stableBlock is Llama's with LayerNorms. In parallel it is x + Attention(N x) + MLP(N x), with one norm.
type stableBlock struct {
	InputNorm nn.Layer   `param:"input_layernorm"`
	Attention *Attention `param:"self_attn"`
	MLPNorm   nn.Layer   `param:"post_attention_layernorm,optional"` // nil: in parallel
	MLP       *MLP       `param:"mlp"`
}

func newStableBlock(r *rand.Rand, c *Config, _ int) Block {
	l := newLlamaBlock(r, c, false)
	b := &stableBlock{InputNorm: nn.NewLayerNorm(r, c.HiddenSize, c.NormEps, true), Attention: l.Attention, MLP: l.MLP}
	if !c.Parallel {
		b.MLPNorm = nn.NewLayerNorm(r, c.HiddenSize, c.NormEps, true)
	}
	return b
}

// Forward implements [Block].
func (b *stableBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	h := b.InputNorm.Forward(x)                                         // [B, T, C]
	y := b.Attention.Output.Forward(p.Pick(b, b.Attention.heads(h, p))) // [B, T, C] or [N, C]
	x = p.Pick(b, x).Add(y)
	if b.MLPNorm == nil {
		return x.Add(b.MLP.Forward(p.Pick(b, h)))
	}
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x)))
}
