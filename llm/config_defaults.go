package llm

import (
	"encoding/json"
	"errors"

	"github.com/gollava/gollava/internal/jsonfile"
)

// defaults are those of transformers' configs by model type. It leaves out of text_config what equals them, and early config.json files lack
// some, such as max_position_embeddings.
var defaults = map[string]string{
	"llama": `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
		"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2}`,
	"mistral": `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
		"num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "sliding_window": 4096, "bos_token_id": 1, "eos_token_id": 2}`,
	"qwen2": `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32,
		"num_key_value_heads": 32, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6}`,
	"qwen3": `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32,
		"num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6}`,
	"phi3": `{"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32,
		"max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 32000, "pad_token_id": 32000}`,
}

// withDefaults adds to a config.json what it leaves out. A field that is null is there: sliding_window null means none.
func withDefaults(raw json.RawMessage) (json.RawMessage, error) {
	var given, all map[string]json.RawMessage
	if err := jsonfile.Unmarshal(raw, &given); err != nil {
		return nil, err
	}
	if !jsonfile.IsNull(given["text_config"]) {
		return nil, errors.New("text_config: the folder holds a multimodal model, not a language model alone")
	}
	var family string
	if err := json.Unmarshal(given["model_type"], &family); err != nil {
		return raw, nil // the reader of the fields says what is wrong
	}
	if as, ok := families[family]; ok {
		family = as
	}
	if err := json.Unmarshal([]byte(defaults[family]), &all); err != nil {
		return raw, nil // none are known
	}
	for k, v := range all {
		if _, ok := given[k]; !ok {
			given[k] = v
		}
	}
	return json.Marshal(given)
}
