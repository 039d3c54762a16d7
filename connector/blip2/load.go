package blip2

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// LoadOptions say how [Load] keeps the weights: they are those of [nn.LoadOptions].
type LoadOptions struct {
	DType func(name string, stored tensor.DType) tensor.DType
	Alias bool
}

// Load reads the BLIP-2 or InstructBLIP in dir as transformers writes it. Its errors name the file, and list all
// tensors that are missing, unexpected or misshapen.
func Load(dir string, o LoadOptions) (*connector.VLM, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	var m *connector.VLM
	err = nn.WithWeights(dir, o.Alias, func(w *nn.Weights) error {
		m, err = o.load(c, dir, w)
		if errors.Is(err, nn.ErrTied) && c.Text.TieWordEmbeddings { // a head of its own, which transformers takes too
			c.Text.TieWordEmbeddings = false
			m, err = o.load(c, dir, w)
		}
		return err
	})
	return m, err
}

func (o LoadOptions) load(c Config, dir string, w *nn.Weights) (*connector.VLM, error) {
	m, err := New(nil, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	return m, nn.Load(m, w, nn.LoadOptions{DType: keep(o.DType), Alias: o.Alias, Rename: func(name string) string {
		if name, ok := Canonical(name); ok {
			return name
		}
		return ""
	}})
}

// Canonical translates the name of a tensor in transformers' files into that of the joined model's parameter. It
// reports false for buffers that are not parameters.
//
//	vision_model.encoder.x         → vision_tower.encoder.x
//	vision_model.post_layernorm.x, which trains with the Q-Former, and all others stay
func Canonical(name string) (string, bool) {
	if strings.HasSuffix(name, ".position_ids") || strings.HasSuffix(name, "rotary_emb.inv_freq") {
		return "", false
	}
	switch name { // T5's embedding under its other names, and a bias that its cross-attention does not use
	case "language_model.encoder.embed_tokens.weight", "language_model.decoder.embed_tokens.weight",
		"language_model.decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight":
		return "", false
	}
	if tail, ok := strings.CutPrefix(name, "vision_model."); ok && !strings.HasPrefix(tail, "post_layernorm.") {
		return "vision_tower." + tail, true
	}
	return name, true
}

// hubName is what transformers' files call a parameter of the joined model.
func hubName(name string) string {
	if tail, ok := strings.CutPrefix(name, "vision_tower."); ok {
		return "vision_model." + tail
	}
	return name
}

// keep is [vit.Keep], and keeps the queries in float32 too.
func keep(choose func(string, tensor.DType) tensor.DType) func(string, tensor.DType) tensor.DType {
	inner := vit.Keep(choose)
	return func(name string, stored tensor.DType) tensor.DType {
		if name == "query_tokens" || strings.HasSuffix(name, "position_embeddings.weight") {
			return tensor.Float32
		}
		return inner(name, stored)
	}
}
