package flamingo

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// LoadOptions say where the parts of a model are and how [Load] keeps them.
type LoadOptions struct {
	Language string // OpenFlamingo: folder of the decoder; "": what config.json says
	Tower    string // OpenFlamingo: folder of the vision tower; "": what config.json says
	Image    int    // id of <image>; 0: what config.json says, or with IDEFICS the second added word

	AllPrevious bool // OpenFlamingo: text sees all images before it, whatever config.json says

	// DType and Alias are those of [nn.LoadOptions].
	DType func(name string, stored tensor.DType) tensor.DType
	Alias bool
}

// Load reads the model in dir: an IDEFICS of transformers, or what OpenFlamingo trains beside the folders of its frozen
// parts. An OpenFlamingo without a tower takes features ([connector.Batch].Features). Its errors name the file, and
// list all tensors that are missing, unexpected or misshapen.
func Load(dir string, o LoadOptions) (*connector.VLM, error) {
	c, err := readConfig(dir, o)
	if err != nil {
		return nil, err
	}
	var m *connector.VLM
	err = nn.WithWeights(dir, o.Alias, func(w *nn.Weights) error {
		m, err = o.load(dir, c, w)
		if errors.Is(err, nn.ErrTied) && c.Text.TieWordEmbeddings && c.Variant == IDEFICS { // a head of its own
			c.Text.TieWordEmbeddings = false
			m, err = o.load(dir, c, w)
		}
		return err
	})
	return m, err
}

func (o LoadOptions) load(dir string, c Config, w *nn.Weights) (*connector.VLM, error) {
	lo := nn.LoadOptions{DType: vit.Keep(o.DType), Alias: o.Alias, Rename: func(name string) string {
		name, _ = Canonical(name)
		return name
	}}
	if c.Variant == IDEFICS {
		m, err := New(nil, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
		}
		return m, nn.Load(m, w, lo)
	}
	l, err := o.language(place(dir, c.Language, o.Language), c.Text, w)
	if err != nil {
		return nil, err
	}
	var v vit.Tower = given{c.Vision}
	if c.Tower != "" || o.Tower != "" {
		if v, err = vit.Load(place(dir, c.Tower, o.Tower), nn.LoadOptions{DType: o.DType, Alias: o.Alias}); err != nil {
			return nil, err
		}
	}
	m, err := Join(nil, v, l, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	lo.Optional = []string{"language_model.**", "vision_tower.**"}
	return m, nn.Load(m, w, lo)
}

// tables are the names of the token embeddings of decoders, in their own files.
var tables = []string{"model.embed_tokens.weight", "transformer.wte.weight"}

// language reads the frozen decoder. Where w holds token embeddings of another vocabulary, of a decoder whose head is
// tied to them, they are w's: OpenFlamingo trains them, with its marks added.
func (o LoadOptions) language(dir string, c llm.Config, w *nn.Weights) (llm.Model, error) {
	lo := nn.LoadOptions{DType: o.DType, Alias: o.Alias}
	for _, name := range tables {
		for _, stored := range w.Names() {
			to, _ := Canonical(stored)
			shape := w.Shape(stored)
			if to != "language_model."+name || len(shape) != 2 || shape[0] == c.VocabSize {
				continue
			}
			if !c.TieWordEmbeddings {
				return nil, fmt.Errorf("%s: %s %v: the decoder has %d words and a head of its own, which the file "+
					"does not", w.Path(), stored, shape, c.VocabSize)
			}
			c.VocabSize = shape[0]
			lo.Ignore, lo.Optional = append(lo.Ignore, name), append(lo.Optional, name)
		}
	}
	if lo.Optional == nil {
		return llm.LoadAs(c, dir, lo)
	}
	m, err := llm.New(nil, c)
	if err != nil {
		return nil, err
	}
	return m, nn.WithWeights(dir, o.Alias, func(own *nn.Weights) error { return nn.Load(m, own, lo) })
}

// given stands for a tower that made the features elsewhere.
type given struct{ config vit.VisionConfig }

func (g given) Config() vit.VisionConfig { return g.config }
func (g given) HasClass() bool           { return true }
func (g given) SetRecompute(bool)        {}

// HiddenStates implements [vit.Tower].
func (g given) HiddenStates(*tensor.Tensor, int) []*tensor.Tensor {
	tensor.Fail("Flamingo", "the checkpoint was loaded without a vision tower: give LoadOptions.Tower, or features")
	return nil
}

// Hidden implements [vit.Tower].
func (g given) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	return g.HiddenStates(pixels, n)[n]
}

// gatedInside is a gated block where OpenFlamingo's program keeps it, in the layer that it comes before.
var gatedInside = regexp.MustCompile(`^lang_encoder\..*\.(?:layers|blocks)\.(\d+)\.gated_cross_attn_layer\.(.+)$`)

// Canonical translates the name of a tensor of OpenFlamingo's or IDEFICS' checkpoints into that of [connector.VLM]'s
// parameter. It reports false for buffers that are not parameters.
//
//	lang_encoder.gated_cross_attn_layers.3.attn_gate → gated_cross_attn_layers.3.attn_gate
//	model.perceiver_resampler.latents                → perceiver.latents
//	model.vision_model.embeddings.class_embedding    → vision_tower.vision_model.embeddings.class_embedding
//	model.layers.0.mlp.up_proj.weight                → language_model.model.layers.0.mlp.up_proj.weight
func Canonical(name string) (string, bool) {
	if strings.HasSuffix(name, ".position_ids") || strings.HasSuffix(name, "rotary_emb.inv_freq") {
		return "", false
	}
	if m := gatedInside.FindStringSubmatch(name); m != nil {
		return "gated_cross_attn_layers." + m[1] + "." + m[2], true
	}
	for _, p := range prefixes {
		if tail, ok := strings.CutPrefix(name, p.file); ok {
			return p.ours + tail, true
		}
	}
	return name, true
}

// prefixes of names in files and of ours, the longer first.
var prefixes = []struct {
	variant    Variant
	file, ours string
}{
	{OpenFlamingo, "lang_encoder.gated_cross_attn_layers.", "gated_cross_attn_layers."},
	{OpenFlamingo, "lang_encoder.", "language_model."},
	{OpenFlamingo, "perceiver.", "perceiver."},
	{IDEFICS, "model.vision_model.", "vision_tower.vision_model."},
	{IDEFICS, "model.perceiver_resampler.", "perceiver."},
	{IDEFICS, "model.gated_cross_attn_layers.", "gated_cross_attn_layers."},
	{IDEFICS, "model.embed_tokens.additional_embedding.", "language_model.additional_embedding."},
	{IDEFICS, "lm_head.additional_fc.", "language_model.additional_fc."},
	{IDEFICS, "model.", "language_model.model."},
	{IDEFICS, "lm_head.", "language_model.lm_head."},
}

// stored is the inverse of [Canonical]; "" for a parameter that the variant's file does not hold.
func stored(variant Variant, name string) string {
	for _, p := range prefixes {
		if tail, ok := strings.CutPrefix(name, p.ours); ok && p.variant == variant {
			if variant == OpenFlamingo && p.ours == "language_model." && !slices.Contains(tables, tail) {
				return ""
			}
			return p.file + tail
		}
	}
	return ""
}

// SaveOptions say how [Save] writes a model.
type SaveOptions struct {
	DType    func(name string, kept tensor.DType) tensor.DType
	MaxShard int64 // as [nn.SaveOptions] has it

	Embeddings bool // OpenFlamingo: the decoder's token embeddings were trained, and are written too
}

// Save writes m to dir: an IDEFICS whole, as transformers loads it; of an OpenFlamingo what is trained, and beside it
// config.json, which says where the frozen parts are ([Config].Language and Tower).
func Save(dir string, m *connector.VLM, o SaveOptions) error {
	c := ConfigOf(m)
	if err := nn.Save(m, dir, nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard, Rename: func(name string) string {
		if c.Variant == OpenFlamingo && strings.HasPrefix(name, "language_model.") && !o.Embeddings {
			return ""
		}
		return stored(c.Variant, name)
	}}); err != nil {
		return err
	}
	if c.Variant == OpenFlamingo {
		return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), c.open())
	}
	f, err := c.idefics()
	if err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f)
}
