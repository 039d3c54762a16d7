package blip2

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gollava/gollava/nn"
)

// QFormerConfig describes a Q-Former by the fields of transformers' Blip2QFormerConfig and InstructBlipQFormerConfig.
type QFormerConfig struct {
	ModelType               string  `json:"model_type"` // blip_2_qformer or instructblip_qformer
	VocabSize               int     `json:"vocab_size"`
	HiddenSize              int     `json:"hidden_size"`
	NumHiddenLayers         int     `json:"num_hidden_layers"`
	NumAttentionHeads       int     `json:"num_attention_heads"`
	IntermediateSize        int     `json:"intermediate_size"`
	HiddenAct               string  `json:"hidden_act"`
	HiddenDropout           float64 `json:"hidden_dropout_prob"`          // of training, which is done without any here
	AttentionDropout        float64 `json:"attention_probs_dropout_prob"` // the same
	MaxPositionEmbeddings   int     `json:"max_position_embeddings"`
	InitializerRange        float64 `json:"initializer_range"`
	LayerNormEps            float64 `json:"layer_norm_eps"`
	PAD                     int     `json:"pad_token_id"`
	DEC                     int     `json:"bos_token_id"`              // [DEC]; −1: the last id
	CrossAttentionFrequency int     `json:"cross_attention_frequency"` // layers 0, f, 2f, … attend to the image
	EncoderHiddenSize       int     `json:"encoder_hidden_size"`       // width of the image's features
	Text                    bool    `json:"use_qformer_text_input"`    // BLIP-2: it reads text as well
}

const instructType = "instructblip_qformer"

// instructed reports whether the Q-Former reads the instruction.
func (c QFormerConfig) instructed() bool { return c.ModelType == instructType }

// hasText reports whether it has feed-forwards for text.
func (c QFormerConfig) hasText() bool { return c.Text || c.instructed() }

// BertBase are the sizes of BERT-base, with which the published Q-Formers started, before EVA-ViT-g.
func BertBase() QFormerConfig {
	return QFormerConfig{ModelType: "blip_2_qformer", VocabSize: 30522, HiddenSize: 768, NumHiddenLayers: 12,
		NumAttentionHeads: 12, IntermediateSize: 3072, HiddenAct: "gelu", HiddenDropout: 0.1, AttentionDropout: 0.1,
		MaxPositionEmbeddings: 512, InitializerRange: 0.02, LayerNormEps: 1e-12, CrossAttentionFrequency: 2,
		EncoderHiddenSize: 1408, DEC: -1}
}

// UnmarshalJSON reads a Q-Former's config with transformers' defaults, and validates it.
func (c *QFormerConfig) UnmarshalJSON(raw []byte) error {
	type plain QFormerConfig
	p := plain(BertBase())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = QFormerConfig(p)
	return c.Validate()
}

// Validate returns an error that names the first field that is wrong.
func (c *QFormerConfig) Validate() error {
	if c.ModelType != "blip_2_qformer" && c.ModelType != instructType {
		return fmt.Errorf("qformer model_type %q is not supported (blip_2_qformer, %s are)", c.ModelType, instructType)
	}
	var bad []string
	for _, f := range []struct {
		name       string
		value, max int
	}{{"vocab_size", c.VocabSize, 1 << 26}, {"hidden_size", c.HiddenSize, 1 << 20},
		{"num_hidden_layers", c.NumHiddenLayers, 1 << 12}, {"num_attention_heads", c.NumAttentionHeads, 1 << 12},
		{"intermediate_size", c.IntermediateSize, 1 << 20},
		{"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 20},
		{"cross_attention_frequency", c.CrossAttentionFrequency, 1 << 12},
		{"encoder_hidden_size", c.EncoderHiddenSize, 1 << 20}} {
		if f.value <= 0 || f.value > f.max {
			bad = append(bad, fmt.Sprintf("%s %d", f.name, f.value))
		}
	}
	switch {
	case c.DEC < -1 || c.DEC >= c.VocabSize:
		return fmt.Errorf("qformer bos_token_id %d is outside the vocabulary of %d", c.DEC, c.VocabSize)
	case len(bad) > 0:
		return fmt.Errorf("qformer config: out of range: %s", strings.Join(bad, ", "))
	case c.HiddenSize%c.NumAttentionHeads != 0:
		return fmt.Errorf("qformer hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize,
			c.NumAttentionHeads)
	case !(c.LayerNormEps >= 0 && c.LayerNormEps < 1), !(c.InitializerRange >= 0 && c.InitializerRange < 100):
		return fmt.Errorf("qformer layer_norm_eps %v or initializer_range %v is out of range", c.LayerNormEps,
			c.InitializerRange)
	}
	_, err := nn.ParseActivation(c.HiddenAct)
	return err
}
