package llm

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
)

// qwen2 is Llama with biases on queries, keys and values. Source: Yang et al. 2024, "Qwen2 Technical Report".
func qwen2() Family {
	return Family{Type: "qwen2", Architecture: "Qwen2ForCausalLM", LLaVA: "llava_qwen",
		LLaVAArchitecture: "LlavaQwenForCausalLM",
		Template:          "qwen_1_5",
		Defaults: `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
			"num_attention_heads": 32,
			"num_key_value_heads": 32, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6}`,
		Read: func(raw []byte) (Config, error) {
			return readLlama(raw, func(c *Config, f *file) {
				c.AttentionBias = true
				c.slideQwen(f)
			})
		},
		New: func(r *rand.Rand, c Config) (Model, error) { return NewLlama(r, c, llamaBlock) }}
}

// qwen3 normalises queries and keys per head. Source: Yang et al. 2025, "Qwen3 Technical Report".
func qwen3() Family {
	return Family{Type: "qwen3", Architecture: "Qwen3ForCausalLM", LLaVA: "llava_qwen3",
		LLaVAArchitecture: "LlavaQwen3ForCausalLM",
		Template:          "qwen_1_5",
		Defaults: `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
			"num_attention_heads": 32,
			"num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6}`,
		Read: func(raw []byte) (Config, error) { return readLlama(raw, (*Config).slideQwen) },
		New: func(r *rand.Rand, c Config) (Model, error) {
			return NewLlama(r, c, func(r *rand.Rand, c *Config, _ int) Block {
				b := newLlamaBlock(r, c, false)
				b.Attention.QueryNorm = nn.NewRMSNorm(r, c.HeadDim, c.NormEps)
				b.Attention.KeyNorm = nn.NewRMSNorm(r, c.HeadDim, c.NormEps)
				return b
			})
		}}
}

// slideQwen gives a sliding window, if use_sliding_window, to the layers of layer_types, or else from
// max_window_layers on.
func (c *Config) slideQwen(f *file) {
	if f.UseSlidingWindow == nil || !*f.UseSlidingWindow {
		return
	}
	if c.slide(f); c.SlidingWindow == 0 || c.WindowLayers != nil || f.MaxWindowLayers == nil {
		return
	}
	c.WindowLayers = []int{}
	for i := *f.MaxWindowLayers; i < c.NumHiddenLayers; i++ {
		c.WindowLayers = append(c.WindowLayers, i)
	}
}
