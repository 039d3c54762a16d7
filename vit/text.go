package vit

import (
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// CLIPText is CLIP's text tower. Source: Radford et al. 2021; transformers' CLIPTextModel, names included.
// It is safe for concurrent use while nobody changes its parameters.
type CLIPText struct {
	Model TextTransformer `param:"text_model"`

	config TextConfig
}

// TextTransformer is CLIP's text tower: tokens + positions, causal blocks, LayerNorm.
type TextTransformer struct {
	Embeddings *TextEmbeddings `param:"embeddings"`
	Encoder    *Encoder        `param:"encoder"`
	FinalNorm  nn.Layer        `param:"final_layer_norm"`
}

// TextEmbeddings turns token ids into vectors.
type TextEmbeddings struct {
	Token    *nn.Embedding `param:"token_embedding"`    // [V, Dt]
	Position *nn.Embedding `param:"position_embedding"` // [77, Dt]
}

// NewCLIPText builds a text tower with OpenAI's initial weights; with a nil r they are to be loaded.
func NewCLIPText(r *rand.Rand, c TextConfig) (*CLIPText, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &CLIPText{newTextTransformer(r, c), c}, nil
}

func newTextTransformer(r *rand.Rand, c TextConfig) TextTransformer {
	std := c.TokenStd
	if std == 0 {
		std = 0.02
	}
	D := c.HiddenSize
	return TextTransformer{
		Embeddings: &TextEmbeddings{nn.NewEmbedding(r, c.VocabSize, D, std),
			nn.NewEmbedding(r, c.MaxPositionEmbeddings, D, 0.01)},
		Encoder: newEncoder(r, width{hidden: D, mlp: c.IntermediateSize, layers: c.NumHiddenLayers,
			heads: c.NumAttentionHeads, act: c.HiddenAct, eps: c.LayerNormEps}),
		FinalNorm: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
	}
}

// Config describes the tower.
func (m *CLIPText) Config() TextConfig { return m.config }

// Hidden runs the tower on ids (int32 [B, T], right-padded): [B, T, Dt] after final_layer_norm. lengths [B] are the
// real tokens of each row; nil: all.
func (m *CLIPText) Hidden(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	e := m.Model.Encoder
	x := e.Last(m.embed(ids), len(e.Layers), tensor.AttentionConfig{Causal: true, End: lengths})
	return m.Model.FinalNorm.Forward(x)
}

// Pooled is the row of [CLIPText.Hidden] at the end of each text: [B, Dt], transformers' pooler_output.
func (m *CLIPText) Pooled(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	return m.pool(ids, m.embed(ids), lengths)
}

// embed is what enters the first block: [B, T, Dt].
func (m *CLIPText) embed(ids *tensor.Tensor) *tensor.Tensor {
	_, T := ids.Dims2()
	if T > m.config.MaxPositionEmbeddings {
		tensor.Fail("CLIP", "%d tokens: the text tower has positions for %d", T, m.config.MaxPositionEmbeddings)
	}
	e := m.Model.Embeddings
	return e.Token.Lookup(ids).Add(e.Position.Weight.In(ids.Arena()).Slice(0, 0, T))
}

// pool runs the tower on embeddings x [B, T, Dt] of ids and keeps the ends of the texts: [B, Dt].
func (m *CLIPText) pool(ids, x *tensor.Tensor, lengths []int32) *tensor.Tensor {
	B, T, D := x.Dims3()
	ends, all := make([]int32, B), ids.Host().IntData()
	for b := range ends {
		ends[b] = int32(endOfText(all[b*T:(b+1)*T], m.config.EOS))
	}
	last := m.Model.Encoder.One(x, ends, tensor.AttentionConfig{Causal: true, End: lengths}) // [B, 1, Dt]
	return m.Model.FinalNorm.Forward(last.Reshape(B, D))
}

// endOfText is the position of the first eos, or, for configs with the legacy eos_token_id 2, of the largest id, as
// OpenAI's code has it.
func endOfText(ids []int32, eos int) int {
	at := 0
	for i, id := range ids {
		if eos == 2 {
			if id > ids[at] {
				at = i
			}
		} else if int(id) == eos {
			return i
		}
	}
	return at
}

// LoadCLIPText reads the text tower in dir, one of its own as transformers 4 or 5 writes it, or that of a whole CLIP;
// see [Load].
func LoadCLIPText(dir string, o nn.LoadOptions) (*CLIPText, error) {
	var both struct {
		Type string      `json:"model_type"`
		Text *TextConfig `json:"text_config"`
	}
	path := filepath.Join(dir, "config.json")
	if err := jsonfile.Read(path, &both); err != nil {
		return nil, err
	}
	var c TextConfig
	if both.Text != nil {
		c = *both.Text
	} else if err := jsonfile.Read(path, &c); err != nil {
		return nil, err
	}
	m, err := NewCLIPText(nil, c)
	if err != nil {
		return nil, err
	}
	return m, fill(dir, m, o)
}

func (*CLIPText) parameter(name string) string {
	switch {
	case strings.HasSuffix(name, ".position_ids"), strings.HasPrefix(name, "text_projection."):
		return ""
	case strings.HasPrefix(name, "text_model."):
		return name
	case strings.HasPrefix(name, "vision_model.") || partOfWhole(name):
		return ""
	}
	return "text_model." + name // transformers 5 leaves it out where it built the tower itself
}

// SaveCLIPText writes a text tower to dir as transformers 4 and 5 load it; see [Save].
func SaveCLIPText(dir string, m *CLIPText, o nn.SaveOptions) error {
	return save(dir, m, m.config, "CLIPTextModel", o)
}
