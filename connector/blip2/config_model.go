package blip2

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Config describes a BLIP-2 or an InstructBLIP: config.json of transformers' Blip2ForConditionalGeneration and
// InstructBlipForConditionalGeneration, which it reads and writes.
type Config struct {
	Vision         vit.VisionConfig
	QFormer        QFormerConfig // of type instructblip_qformer: the model is an InstructBLIP
	Text           llm.Config
	NumQueryTokens int // tokens that an image becomes
	Image          int // id that stands for one of them (image_token_index); −1: none, as in old files
	ProjectionDim  int // image_text_hidden_size, of [Retrieval] and [Stage1]; 0: without them

	generation llm.Generation // what generation_config.json says
}

// Instructed reports whether the Q-Former reads the instruction: an InstructBLIP.
func (c Config) Instructed() bool { return c.QFormer.instructed() }

// families are the language models beside package llm's decoders.
func families() []llm.Family { return []llm.Family{llm.T5Family()} }

// modelFile is config.json.
type modelFile struct {
	ModelType     string          `json:"model_type"`
	Vision        json.RawMessage `json:"vision_config"`
	QFormer       json.RawMessage `json:"qformer_config"`
	Text          json.RawMessage `json:"text_config"`
	Queries       int             `json:"num_query_tokens"`
	Image         *int            `json:"image_token_index"`
	ImageID       *int            `json:"image_token_id"`
	ProjectionDim int             `json:"image_text_hidden_size"`
	Tie           *bool           `json:"tie_word_embeddings"`
	Quantization  json.RawMessage `json:"quantization_config"`
}

// ReadConfig reads dir/config.json and what generation_config.json adds. Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) {
	var c Config
	path := filepath.Join(dir, "config.json")
	if err := jsonfile.Read(path, &c); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	var err error
	c.generation, err = llm.ReadGeneration(dir)
	return c, err
}

// Describes reports whether dir/config.json calls itself that of a BLIP-2 or an InstructBLIP, whatever else may be
// wrong with it.
func Describes(dir string) bool {
	var f modelFile
	err := jsonfile.Read(filepath.Join(dir, "config.json"), &f)
	return err == nil && (f.ModelType == "blip-2" || f.ModelType == "instructblip" ||
		f.ModelType == "instructblipvideo")
}

// UnmarshalJSON reads config.json.
func (c *Config) UnmarshalJSON(raw []byte) error {
	return c.read(raw, true)
}

// read takes all parts of config.json, or leaves out the language model's, which a checkpoint of stage 1 does not use.
func (c *Config) read(raw []byte, text bool) error {
	f := modelFile{Queries: 32, ProjectionDim: 256}
	if err := json.Unmarshal(raw, &f); err != nil {
		return jsonfile.Explain(raw, err)
	}
	vision, qformer := "blip_2_vision_model", "blip_2_qformer"
	switch f.ModelType {
	case "blip-2":
	case "instructblip":
		vision, qformer = "instructblip_vision_model", instructType
	default:
		return fmt.Errorf("model_type %q is not supported (blip-2 and instructblip are)", f.ModelType)
	}
	*c = Config{NumQueryTokens: f.Queries, ProjectionDim: f.ProjectionDim, Image: -1}
	if err := part("vision_config", f.Vision, vision, &c.Vision); err != nil {
		return err
	}
	if err := part("qformer_config", f.QFormer, qformer, &c.QFormer); err != nil {
		return err
	}
	c.QFormer.EncoderHiddenSize = c.Vision.HiddenSize // as transformers does
	if f.Image != nil {
		c.Image = *f.Image
	} else if f.ImageID != nil {
		c.Image = *f.ImageID
	}
	if !text {
		return nil
	}
	if err := nn.SupportedQuantization(f.Quantization); err != nil {
		return err
	}
	whole := map[string]json.RawMessage{}
	if !jsonfile.IsNull(f.Text) {
		if err := jsonfile.Unmarshal(f.Text, &whole); err != nil {
			return fmt.Errorf("text_config: %w", err)
		}
	}
	if jsonfile.IsNull(whole["model_type"]) {
		whole["model_type"] = json.RawMessage(`"opt"`)
	}
	if jsonfile.IsNull(whole["tie_word_embeddings"]) && f.Tie != nil {
		whole["tie_word_embeddings"], _ = json.Marshal(*f.Tie)
	}
	body, err := json.Marshal(whole)
	if err == nil {
		c.Text, err = llm.ParseConfig(body, families()...)
	}
	if err != nil {
		return fmt.Errorf("text_config: %w", err)
	}
	return nil
}

// part reads a part of config.json, whose model_type may be left out.
func part(name string, raw json.RawMessage, modelType string, to any) error {
	fields := map[string]json.RawMessage{}
	if !jsonfile.IsNull(raw) {
		if err := jsonfile.Unmarshal(raw, &fields); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if jsonfile.IsNull(fields["model_type"]) {
		fields["model_type"], _ = json.Marshal(modelType)
	}
	raw, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, jsonfile.Explain(raw, err))
	}
	return nil
}

// Validate returns an error that names the first field that is wrong.
func (c *Config) Validate() error {
	if err := c.validateImage(); err != nil {
		return err
	}
	if err := c.Text.Validate(); err != nil {
		return err
	}
	if c.Image < -1 || c.Image >= c.Text.VocabSize {
		return fmt.Errorf("image_token_index %d is outside the vocabulary of %d", c.Image, c.Text.VocabSize)
	}
	return nil
}

// validateImage checks all but the language model.
func (c *Config) validateImage() error {
	if err := c.Vision.Validate(); err != nil {
		return err
	}
	if err := c.QFormer.Validate(); err != nil {
		return err
	}
	if n := c.NumQueryTokens; n <= 0 || n > 1<<16 {
		return fmt.Errorf("num_query_tokens %d is out of range", n)
	}
	if n := c.ProjectionDim; n < 0 || n > 1<<20 {
		return fmt.Errorf("image_text_hidden_size %d is out of range", n)
	}
	return nil
}

// ends are the tokens that end an answer.
func (c Config) ends() []int {
	if eos := c.generation.Options.EOS; eos != nil {
		return eos
	}
	return c.Text.EOS
}

// padding is the token that fills up, or −1.
func (c Config) padding() int {
	if c.generation.Fields != nil && c.generation.Options.PAD >= 0 {
		return c.generation.Options.PAD
	}
	return c.Text.PAD
}
