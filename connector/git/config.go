package git

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Config describes a GIT. It reads config.json of transformers' GitForCausalLM, and Save writes it.
type Config struct {
	Vision            vit.VisionConfig
	VocabSize         int
	HiddenSize        int
	IntermediateSize  int
	NumHiddenLayers   int
	NumAttentionHeads int
	MaxPositions      int // of the text (max_position_embeddings)
	Frames            int // of a video, with time embeddings (num_image_with_embedding); 0: one image
	NormEps           float64
	HiddenAct         string
	TieWordEmbeddings bool
	InitStd           float64     // of fresh weights (initializer_range); 0: 0.02
	BOS, PAD          int         // [CLS], with which a text begins, and padding; −1: none
	EOS               []int       // [SEP]
	Dropout           llm.Dropout // kept for Save; training is done without any here

	raw map[string]json.RawMessage // config.json as it was read
}

// ImageTokens is the number of tokens of an image, or of all frames of a video: they take the first positions.
func (c Config) ImageTokens() int {
	side := c.Vision.ImageSize / c.Vision.PatchSize
	return (side*side + 1) * max(c.Frames, 1)
}

var activations = map[string]tensor.Activation{"gelu": tensor.GELU, "gelu_new": tensor.GELUTanh,
	"gelu_pytorch_tanh": tensor.GELUTanh, "relu": tensor.ReLU, "silu": tensor.SiLU, "quick_gelu": tensor.QuickGELU}

// Validate returns an error that names the first field that is wrong.
func (c Config) Validate() error {
	if err := c.Vision.Validate(); err != nil {
		return fmt.Errorf("vision_config: %w", err)
	}
	for _, f := range []struct {
		name        string
		value, most int
	}{{"vocab_size", c.VocabSize, 1 << 26}, {"hidden_size", c.HiddenSize, 1 << 20},
		{"intermediate_size", c.IntermediateSize, 1 << 20}, {"num_hidden_layers", c.NumHiddenLayers, 1 << 12},
		{"num_attention_heads", c.NumAttentionHeads, 1 << 20}, {"max_position_embeddings", c.MaxPositions, 1 << 24}} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s %d is missing or out of range", f.name, f.value)
		}
	}
	_, known := activations[c.HiddenAct]
	switch {
	case c.Vision.ModelType != "clip_vision_model":
		return fmt.Errorf("vision model_type %q is not supported: CLIP's tower is", c.Vision.ModelType)
	case c.HiddenSize%c.NumAttentionHeads != 0:
		return fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	case c.Frames < 0 || c.Frames > 1<<12:
		return fmt.Errorf("num_image_with_embedding %d is out of range", c.Frames)
	case !(c.NormEps >= 0 && c.NormEps < 1):
		return fmt.Errorf("layer_norm_eps %v is out of range", c.NormEps)
	case !(c.InitStd >= 0 && c.InitStd < 1000):
		return fmt.Errorf("initializer_range %v is out of range", c.InitStd)
	case !known:
		return fmt.Errorf("hidden_act %q is not supported (gelu, gelu_new, gelu_pytorch_tanh, relu, silu, "+
			"quick_gelu are)", c.HiddenAct)
	}
	return nil
}

// file is config.json.
type file struct {
	ModelType        string          `json:"model_type"`
	Vision           json.RawMessage `json:"vision_config"`
	VocabSize        int             `json:"vocab_size"`
	HiddenSize       int             `json:"hidden_size"`
	IntermediateSize int             `json:"intermediate_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	MaxPositions     int             `json:"max_position_embeddings"`
	Frames           *int            `json:"num_image_with_embedding"`
	Eps              float64         `json:"layer_norm_eps"`
	Act              string          `json:"hidden_act"`
	Tie              bool            `json:"tie_word_embeddings"`
	InitStd          float64         `json:"initializer_range"`
	BOS              *int            `json:"bos_token_id"`
	PAD              *int            `json:"pad_token_id"`
	EOS              llm.EndTokens   `json:"eos_token_id"`
	Dropout          float64         `json:"hidden_dropout_prob"`
	AttentionDropout float64         `json:"attention_probs_dropout_prob"`
	Position         string          `json:"position_embedding_type,omitempty"`
}

// ReadConfig reads dir/config.json of transformers' GitForCausalLM, whose absent fields have the defaults of GitConfig.
// Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := jsonfile.Bytes(path, jsonfile.Max)
	if err != nil {
		return Config{}, err
	}
	c, err := parse(raw)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parse(raw []byte) (c Config, err error) {
	bos, pad := 101, 0
	f := file{VocabSize: 30522, HiddenSize: 768, IntermediateSize: 3072, Layers: 6, Heads: 12, MaxPositions: 1024,
		Eps: 1e-12, Act: "gelu", BOS: &bos, PAD: &pad, EOS: llm.EndTokens{102}, Dropout: 0.1, AttentionDropout: 0.1}
	if err := jsonfile.Unmarshal(raw, &f); err != nil {
		return c, err
	}
	if f.ModelType != "git" {
		return c, fmt.Errorf("model_type %q is not supported (git is)", f.ModelType)
	}
	if f.Position != "" && f.Position != "absolute" {
		return c, fmt.Errorf("position_embedding_type %q is not supported (absolute is)", f.Position)
	}
	c = Config{VocabSize: f.VocabSize, HiddenSize: f.HiddenSize, IntermediateSize: f.IntermediateSize,
		NumHiddenLayers: f.Layers, NumAttentionHeads: f.Heads, MaxPositions: f.MaxPositions, NormEps: f.Eps,
		HiddenAct: f.Act, TieWordEmbeddings: f.Tie, InitStd: f.InitStd, BOS: -1, PAD: -1, EOS: f.EOS,
		Dropout: llm.Dropout{Residual: f.Dropout, Attention: f.AttentionDropout}}
	if f.Frames != nil {
		c.Frames = *f.Frames
	}
	if f.BOS != nil {
		c.BOS = *f.BOS
	}
	if f.PAD != nil {
		c.PAD = *f.PAD
	}
	vision := map[string]json.RawMessage{"patch_size": json.RawMessage("16")} // where GIT's default is not CLIP's
	if !jsonfile.IsNull(f.Vision) {
		if err := jsonfile.Unmarshal(f.Vision, &vision); err != nil {
			return c, fmt.Errorf("vision_config: %w", err)
		}
	}
	if kind := string(vision["model_type"]); kind != "" && kind != `"git_vision_model"` &&
		kind != `"clip_vision_model"` {
		return c, fmt.Errorf("vision_config: model_type %s is not supported (git_vision_model is)", kind)
	}
	vision["model_type"] = json.RawMessage(`"clip_vision_model"`)
	all, err := json.Marshal(vision)
	if err != nil {
		return c, err
	}
	if err := jsonfile.Unmarshal(all, &c.Vision); err != nil {
		return c, fmt.Errorf("vision_config: %w", err)
	}
	return c, json.Unmarshal(raw, &c.raw)
}

// file is config.json of c: what was read, with the fields that are known here.
func (c Config) file(dtype string) (map[string]any, error) {
	raw, err := json.Marshal(c.Vision)
	if err != nil {
		return nil, err
	}
	var vision map[string]any
	if err := json.Unmarshal(raw, &vision); err != nil {
		return nil, err
	}
	vision["model_type"] = "git_vision_model"
	out := map[string]any{}
	for k, v := range c.raw {
		out[k] = v
	}
	delete(out, "dtype")
	for k, v := range map[string]any{"model_type": "git", "architectures": []string{"GitForCausalLM"},
		"vision_config": vision, "vocab_size": c.VocabSize, "hidden_size": c.HiddenSize,
		"intermediate_size": c.IntermediateSize, "num_hidden_layers": c.NumHiddenLayers,
		"num_attention_heads": c.NumAttentionHeads, "max_position_embeddings": c.MaxPositions,
		"layer_norm_eps": c.NormEps, "hidden_act": c.HiddenAct, "tie_word_embeddings": c.TieWordEmbeddings,
		"eos_token_id": llm.EndTokens(c.EOS), "hidden_dropout_prob": c.Dropout.Residual,
		"attention_probs_dropout_prob": c.Dropout.Attention,
		"torch_dtype":                  dtype, "initializer_range": c.InitStd, "bos_token_id": optional(c.BOS, 0),
		"pad_token_id": optional(c.PAD, 0), "num_image_with_embedding": optional(c.Frames, 1)} {
		out[k] = v
	}
	return out, nil
}

// optional is n, or null if it is below least.
func optional(n, least int) any {
	if n < least {
		return nil
	}
	return n
}
