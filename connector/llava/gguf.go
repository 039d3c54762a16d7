package llava

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// In GGUF a LLaVA is two files: its language model, and a file of architecture clip that llama.cpp calls mmproj, with
// the vision tower and the projector. Source: llama.cpp's tools/mtmd/clip.cpp and its converters.

// ggufPair are the files of a model.
type ggufPair struct{ model, mmproj string }

// findGGUF finds the two files of the model at path: the file of a language model, or a folder without config.json
// that holds one. mmproj names the other file; "": the one called mmproj-NAME.gguf for a NAME.gguf, or the only one in
// a folder with one language model. Without files in GGUF the pair is empty; without an mmproj, half of it is.
func findGGUF(path, mmproj string) (p ggufPair, err error) {
	dir := path
	switch {
	case gguf.IsFile(path):
		dir, p.model = filepath.Dir(path), path
	case exists(filepath.Join(path, "config.json")):
		return p, nil
	}
	files, _ := filepath.Glob(filepath.Join(escaped(dir), "*.gguf"))
	var models, vision []string
	for _, file := range files {
		switch arch, first, err := architecture(file); {
		case err != nil && file == path:
			return p, err
		case err != nil || !first:
		case arch == "clip":
			vision = append(vision, file)
		default:
			models = append(models, file)
		}
	}
	if slices.Contains(vision, path) {
		return p, fmt.Errorf(
			"%s: general.architecture: clip: this is the vision part of a model (mmproj); open its language "+
				"model, with this file beside it or named as its tower",
			path,
		)
	}
	switch {
	case p.model == "" && len(models) > 1:
		return p, fmt.Errorf("%s holds several language models (%s): name the file", dir, strings.Join(models, ", "))
	case p.model == "" && len(models) == 1:
		p.model = models[0]
	}
	switch named := mmprojFor(p.model); {
	case p.model == "":
	case mmproj != "":
		p.mmproj = mmproj
	case slices.Contains(vision, named):
		p.mmproj = named
	case len(vision) == 1 && len(models) == 1:
		p.mmproj = vision[0]
	}
	return p, nil
}

// architecture is what a file says it holds, and whether it is the first part of a split one.
func architecture(path string) (name string, first bool, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	k := &gguf.Keys{File: f}
	name, first = k.Text("general.architecture"), k.Int("split.no", 0, 0, 1<<16) == 0
	return name, first, k.Err
}

// mmprojFor is what SaveGGUF calls the vision part of a model.
func mmprojFor(model string) string {
	return filepath.Join(filepath.Dir(model), "mmproj-"+filepath.Base(model))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// escaped is a path in which filepath.Glob finds no pattern.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// complete returns an error if the vision part is missing.
func (p ggufPair) complete() error {
	if p.mmproj != "" {
		return nil
	}
	return fmt.Errorf(
		"%s: holds a language model alone, and none of the files beside it is known to be its vision part "+
			"(mmproj): name that (LoadOptions.Tower), or call it %s",
		p.model,
		filepath.Base(mmprojFor(p.model)),
	)
}

// loadGGUF reads both files.
func (o LoadOptions) loadGGUF(p ggufPair) (*connector.VLM, error) {
	if err := p.complete(); err != nil {
		return nil, err
	}
	l, err := llm.Load(p.model, nn.LoadOptions{DType: o.DType, Alias: o.Alias, Rounding: o.Rounding})
	if err != nil {
		return nil, err
	}
	v, x, err := LoadMMProj(p.mmproj, nn.LoadOptions{DType: o.DType, Alias: o.Alias, Rounding: o.Rounding})
	if err != nil {
		return nil, err
	}
	if err := x.config.ofLanguage(p, l.Config()); err != nil {
		return nil, err
	}
	c := x.config
	return connector.New(v, x, l,
		connector.Config{Select: c.Select, Image: c.Image, MaxLength: c.MaxLength, EOS: c.ends(), PAD: c.padding()})
}

// readGGUF reads what both files say about the model.
func readGGUF(p ggufPair) (Config, error) {
	if err := p.complete(); err != nil {
		return Config{}, err
	}
	text, err := llm.ReadConfig(p.model)
	if err != nil {
		return Config{}, err
	}
	f, err := gguf.Open(p.mmproj)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	c, err := readMMProj(&gguf.Keys{File: f})
	if err == nil {
		err = c.ofLanguage(p, text)
	}
	return c, err
}

// ofLanguage completes c with the language model that it belongs to.
func (c *Config) ofLanguage(p ggufPair, text llm.Config) error {
	if width := c.Text.HiddenSize; width != text.HiddenSize {
		return fmt.Errorf(
			"%s: its projector makes tokens of width %d, but the embedding_length of %s is %d: the two files belong "+
				"to different models",
			p.mmproj, width, p.model, text.HiddenSize)
	}
	f, err := gguf.Open(p.model)
	if err != nil {
		return err
	}
	defer f.Close()
	k := &gguf.Keys{File: f}
	c.Text, c.Image = text, int(chat.ImageIndex)
	if at := slices.Index(k.Texts("tokenizer.ggml.tokens"), chat.ImageToken); at >= 0 {
		c.Image = at
	}
	if k.Err != nil {
		return k.Err
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%s: %w", p.mmproj, err)
	}
	return nil
}

// LoadMMProj reads the vision part of a LLaVA in GGUF (mmproj), as llama.cpp and its converters write it: a CLIP or
// SigLIP tower with its projector, of which the connector is made. [Load] puts it together with its language model.
// Features are transformers': llama.cpp's own differ at present, as its class token and its positions are out of order.
// Errors name the file, and the key or the tensors that do not fit.
func LoadMMProj(path string, o nn.LoadOptions) (vit.Tower, *Connector, error) {
	var v vit.Tower
	var x *Connector
	err := nn.WithWeights(path, o.Alias, func(w *nn.Weights) (err error) {
		v, x, err = loadMMProj(path, w, o)
		return err
	})
	return v, x, err
}

func loadMMProj(path string, w *nn.Weights, o nn.LoadOptions) (vit.Tower, *Connector, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	c, err := readMMProj(&gguf.Keys{File: f})
	if err != nil {
		return nil, nil, err
	}
	v, err := vit.New(nil, c.Vision)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	x := &Connector{config: c}
	if x.Projector, err = NewProjector(nil, c); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Next() {
		x.Newline = tensor.Meta(tensor.Float32, c.Text.HiddenSize).Param()
	}
	err = w.Rename(func(name string) string {
		block, inside := strings.CutPrefix(name, "v.blk.")
		number, _, _ := strings.Cut(block, ".")
		if inside && exchanged(w.Shape("v.blk."+number+".ffn_down.weight"), c.Vision) {
			name = exchange.Replace(name)
		}
		return fromMMProj(name)
	})
	if err != nil {
		return nil, nil, err
	}
	const last = "vision_tower.vision_model.post_layernorm." // of which LLaVA makes no use
	err = nn.Load(&struct {
		Vision    vit.Tower  `param:"vision_tower"`
		Connector *Connector `param:",inline"`
	}{v, x}, w, nn.LoadOptions{DType: keep(o.DType), Alias: o.Alias, Rounding: o.Rounding, Device: o.Device,
		Optional: []string{last + "*"}})
	if err != nil {
		return nil, nil, err
	}
	for name, p := range nn.Params(v) {
		if p.IsMeta() {
			if p.Allocate(); strings.HasSuffix(name, ".weight") {
				p.Fill(1)
			}
		}
	}
	return v, x, nil
}

// exchanged reports whether a block calls fc1 ffn_down, as llama.cpp's converter of LLaVA 1.5 and 1.6 did.
func exchanged(down []int, c vit.VisionConfig) bool {
	return len(down) == 2 && down[1] == c.HiddenSize && down[0] == c.IntermediateSize
}

var exchange = strings.NewReplacer("ffn_up", "ffn_down", "ffn_down", "ffn_up")

// mmprojNames are the tensors of an mmproj by the names of a VLM's: first those outside of the tower's blocks.
var mmprojNames, mmprojBlock = map[string]string{
	"v.class_embd":    "embeddings.class_embedding",
	"v.patch_embd":    "embeddings.patch_embedding",
	"v.position_embd": "embeddings.position_embedding",
	"v.pre_ln":        "pre_layrnorm",
	"v.post_ln":       "post_layernorm",
}, map[string]string{
	"attn_q":   "self_attn.q_proj",
	"attn_k":   "self_attn.k_proj",
	"attn_v":   "self_attn.v_proj",
	"attn_out": "self_attn.out_proj",
	"ln1":      "layer_norm1",
	"ln2":      "layer_norm2",
	"ffn_up":   "mlp.fc1",
	"ffn_down": "mlp.fc2",
}

const towerPrefix, blockPrefix = "vision_tower.vision_model.", "vision_tower.vision_model.encoder.layers."

// fromMMProj translates a tensor's name into a VLM's; a name that is not known stays, so that loading can name it.
func fromMMProj(name string) string {
	switch name {
	case "v.image_newline", "model.image_newline": // newer and older files
		return "image_newline"
	case "v.class_embd":
		return towerPrefix + mmprojNames[name]
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return name
	}
	stem, kind := name[:dot], name[dot:]
	if block, ok := strings.CutPrefix(stem, "v.blk."); ok {
		if number, part, _ := strings.Cut(block, "."); mmprojBlock[part] != "" {
			return blockPrefix + number + "." + mmprojBlock[part] + kind
		}
		return name
	}
	if to, ok := mmprojNames[stem]; ok {
		return towerPrefix + to + kind
	}
	switch stem {
	case "mm.0":
		return "multi_modal_projector.linear_1" + kind
	case "mm.2":
		return "multi_modal_projector.linear_2" + kind
	}
	return name
}
