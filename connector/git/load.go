package git

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// LoadOptions say how [Load] keeps a model: those of [nn.LoadOptions].
type LoadOptions struct {
	DType func(name string, stored tensor.DType) tensor.DType
	Alias bool
}

// Load reads the model in dir, as transformers writes it. Its errors name the file, and list all tensors that are
// missing, unexpected or misshapen.
func Load(dir string, o LoadOptions) (*connector.VLM, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	var m *connector.VLM
	err = nn.WithWeights(dir, o.Alias, func(w *nn.Weights) error {
		m, err = o.load(dir, c, w)
		if errors.Is(err, nn.ErrTied) && c.TieWordEmbeddings { // a head of its own, which transformers takes too
			c.TieWordEmbeddings = false
			m, err = o.load(dir, c, w)
		}
		return err
	})
	return m, err
}

func (o LoadOptions) load(dir string, c Config, w *nn.Weights) (*connector.VLM, error) {
	m, err := New(nil, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	keep := vit.Keep(o.DType)
	return m, nn.Load(m, w, nn.LoadOptions{Alias: o.Alias,
		DType: func(name string, stored tensor.DType) tensor.DType {
			if strings.HasPrefix(name, "img_temporal_embedding.") {
				return tensor.Float32
			}
			return keep(name, stored)
		}, Rename: func(name string) string {
			name, _ = Canonical(name)
			return name
		}})
}

// prefixes of names in files and of ours.
var prefixes = [][2]string{{"git.image_encoder.vision_model.", "vision_tower.vision_model."},
	{"git.image_encoder.", "vision_tower.vision_model."},
	{"git.visual_projection.visual_projection.", "visual_projection."},
	{"git.img_temporal_embedding.", "img_temporal_embedding."},
	{"git.", "language_model.git."}, {"output.", "language_model.output."}}

// Canonical translates the name of a tensor of transformers' checkpoints into that of [connector.VLM]'s parameter. It
// reports false for buffers that are not parameters.
//
//	git.image_encoder.vision_model.post_layernorm.weight → vision_tower.vision_model.post_layernorm.weight
//	git.encoder.layer.0.output.dense.bias                → language_model.git.encoder.layer.0.output.dense.bias
func Canonical(name string) (string, bool) {
	if strings.HasSuffix(name, ".position_ids") {
		return "", false
	}
	for _, p := range prefixes {
		if tail, ok := strings.CutPrefix(name, p[0]); ok {
			return p[1] + tail, true
		}
	}
	return name, true
}

// stored is the inverse of [Canonical].
func stored(name string) string {
	for _, p := range prefixes {
		if tail, ok := strings.CutPrefix(name, p[1]); ok {
			return p[0] + tail
		}
	}
	return name
}

// SaveOptions say how [Save] writes a model.
type SaveOptions struct {
	DType    func(name string, kept tensor.DType) tensor.DType
	MaxShard int64 // as [nn.SaveOptions] has it
}

// Save writes m's weights and config.json to dir, as transformers' GitForCausalLM loads them.
func Save(dir string, m *connector.VLM, o SaveOptions) error {
	if _, ok := m.Language.(*Decoder); !ok {
		return fmt.Errorf("git: the language model is a %T, for which GIT's layout has no place", m.Language)
	}
	if err := nn.Save(m, dir, nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard, Rename: stored}); err != nil {
		return err
	}
	dtype := "float32"
	for name, p := range nn.Params(m) {
		dt := p.DType()
		if o.DType != nil {
			dt = o.DType(name, dt)
		}
		if dt == tensor.BFloat16 {
			dtype = "bfloat16"
		}
	}
	f, err := ConfigOf(m).file(dtype)
	if err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f)
}
