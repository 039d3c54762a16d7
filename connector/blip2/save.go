package blip2

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// SaveOptions say how [Save] writes a model. The zero value writes the parameters' own dtypes.
type SaveOptions struct {
	DType    func(name string, kept tensor.DType) tensor.DType
	MaxShard int64 // as [nn.SaveOptions] has it
}

// Save writes m to dir as transformers' Blip2ForConditionalGeneration or InstructBlipForConditionalGeneration loads it:
// config.json, generation_config.json and the weights. The vision encoder must be EVA's, the only one that these have.
func Save(dir string, m *connector.VLM, o SaveOptions) error {
	c := ConfigOf(m)
	c.Text = m.Language.Config()
	f, err := c.fields(true)
	if err != nil {
		return err
	}
	if err := nn.Save(m, dir, nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard, Rename: hubName}); err != nil {
		return err
	}
	g := map[string]any{}
	for k, v := range c.generation.Fields {
		g[k] = v
	}
	if eos := c.ends(); len(eos) > 0 {
		g["eos_token_id"] = llm.EndTokens(eos)
	}
	if pad := c.padding(); pad >= 0 {
		g["pad_token_id"] = pad
	}
	if c.Text.BOS >= 0 {
		g["bos_token_id"] = c.Text.BOS
	}
	if err := atomicfile.WriteJSON(filepath.Join(dir, "generation_config.json"), g); err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f)
}

// MarshalJSON writes config.json of transformers' classes. It returns an error for a vision encoder that these do not
// have.
func (c Config) MarshalJSON() ([]byte, error) {
	f, err := c.fields(true)
	if err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// fields is config.json, with or without the language model.
func (c *Config) fields(text bool) (map[string]any, error) {
	vision, err := fields(c.Vision)
	if err != nil {
		return nil, err
	}
	f := map[string]any{"model_type": "blip-2", "architectures": []string{"Blip2ForConditionalGeneration"},
		"num_query_tokens": c.NumQueryTokens, "image_text_hidden_size": c.ProjectionDim, "vision_config": vision}
	want := "blip_2_vision_model"
	if c.Instructed() {
		f["model_type"], f["architectures"] = "instructblip", []string{"InstructBlipForConditionalGeneration"}
		want = "instructblip_vision_model"
	}
	if t := c.Vision.ModelType; t != "blip_2_vision_model" && t != "instructblip_vision_model" {
		return nil, fmt.Errorf("config: transformers' BLIP-2 has no vision encoder of model_type %q, only EVA-ViT", t)
	}
	vision["model_type"] = want
	delete(vision, "num_channels")
	if f["qformer_config"], err = fields(c.QFormer); err != nil {
		return nil, err
	}
	if c.Image >= 0 {
		f["image_token_index"] = c.Image
	}
	if !text {
		return f, nil
	}
	var body any = c.Text
	if family, ok := llm.Lookup(c.Text.ModelType, families()...); ok && family.Write != nil {
		body = family.Write(c.Text)
	}
	t, err := fields(body)
	if err != nil {
		return nil, err
	}
	f["text_config"], f["tie_word_embeddings"] = t, c.Text.TieWordEmbeddings
	f["torch_dtype"] = t["torch_dtype"]
	_, decoder := llm.Lookup(c.Text.ModelType)
	f["use_decoder_only_language_model"] = decoder
	return f, nil
}

// fields are v's as JSON has them.
func fields(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var f map[string]any
	return f, json.Unmarshal(raw, &f)
}
