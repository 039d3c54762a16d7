package llm

import "math/rand/v2"

// mistral is Llama with a sliding window in all layers, or in those that layer_types names. Source: Jiang et al. 2023.
func mistral() Family {
	return Family{Type: "mistral", Architecture: "MistralForCausalLM", LLaVA: "llava_mistral",
		LLaVAArchitecture: "LlavaMistralForCausalLM",
		Template:          "mistral_instruct",
		Defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
			"num_attention_heads": 32,
			"num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "sliding_window": 4096,
			"bos_token_id": 1, "eos_token_id": 2}`,
		Read: func(raw []byte) (Config, error) { return readLlama(raw, (*Config).slide) },
		New:  func(r *rand.Rand, c Config) (Model, error) { return NewLlama(r, c, llamaBlock) }}
}
