package llava

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Layout says how a checkpoint names its tensors and describes its model.
type Layout int

const (
	// Hub is that of the llava-hf models: transformers 4 and 5 load it.
	Hub Layout = iota

	// Original is that of LLaVA's own repository, with the vision tower in a folder of its own, vision_tower.
	Original
)

// SaveOptions say how [Save] writes a model. The zero value writes the Hub's layout in the parameters' own dtypes.
type SaveOptions struct {
	Layout    Layout
	Processor *imaging.Processor   // for preprocessor_config.json; nil: that of the tower's family
	Tokenizer *tokenizer.Tokenizer // whose files are written too; nil: they are the caller's
	DType     func(name string, kept tensor.DType) tensor.DType
	MaxShard  int64 // as [nn.SaveOptions] has it
}

// Save writes m to dir, with config.json, generation_config.json and preprocessor_config.json. In the Hub's layout a
// picture needs an id in the vocabulary: a model that came from the original layout gets one behind its last, and, as
// the conversion of transformers does, a vocabulary filled up to a multiple of 64 with mean embeddings. What the
// layout cannot express is an error. Weights that are kept in NF4, FP4 or INT8 are written as bitsandbytes
// does.
func Save(dir string, m *connector.VLM, o SaveOptions) error {
	so := nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard}
	c := ConfigOf(m)
	processor := o.Processor
	if processor == nil {
		processor = c.processor()
	}
	var config map[string]any
	var err error
	if o.Layout == Original {
		c.Tower, c.near, c.SecondTower, c.nearby = "vision_tower", "", secondTower, ""
		if processor.Aspect == "pad" { // which the Hub's layout keeps with the processor alone
			c.Aspect = "pad"
		}
		if config, err = c.originalConfig(); err != nil {
			return err
		}
		so.Rename = func(name string) string {
			if strings.HasPrefix(name, "vision_tower.") || strings.HasPrefix(name, secondTower+".") {
				return ""
			}
			return original(name, c.Projector)
		}
		tower := filepath.Join(dir, c.Tower)
		alone := nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard}
		if err := vit.Save(tower, m.Vision, alone); err != nil {
			return err
		}
		plain := *processor // how pictures are laid out is said in config.json
		plain.Aspect, plain.Canvases = "", nil
		if c.Scales != nil {
			enlarge(&plain, c.Vision.ImageSize)
		}
		if c.Second != nil {
			second, two := plain.ForSecond()
			if plain.Second = (imaging.Normalization{}); !two {
				second = TowerProcessor(*c.Second)
			}
			if err := saveSecond(filepath.Join(dir, secondTower), m, second, alone); err != nil {
				return err
			}
		}
		if err := saveProcessor(tower, &plain); err != nil {
			return err
		}
	} else {
		if c.Image < 0 {
			if m, err = withImageToken(m); err != nil {
				return err
			}
			c = ConfigOf(m)
		}
		if config, err = c.hub(); err != nil {
			return err
		}
		switch c.Kind {
		case VideoLLaVA:
			so.Rename = func(name string) string {
				return strings.Replace(name, "vision_tower.", "image_tower.", 1)
			}
		case NextVideo: // as transformers 5 writes it; it reads either name
			so.Rename = func(name string) string {
				return strings.Replace(name, "vision_resampler.", "model.vision_resampler.", 1)
			}
		}
		if err := saveProcessor(dir, processor); err != nil {
			return err
		}
	}
	so, quantization, err := nn.Quantization(m, so, Namings(m)...)
	if err != nil {
		return fmt.Errorf("save %s: %w", dir, err)
	}
	dtype := "float32"
	for name, p := range nn.Params(m) {
		if dt := p.DType(); dt == tensor.BFloat16 && so.DType == nil ||
			so.DType != nil && so.DType(name, dt) == tensor.BFloat16 {
			dtype = "bfloat16"
		}
	}
	config["torch_dtype"] = dtype
	if text, ok := config["text_config"].(map[string]any); ok {
		text["torch_dtype"] = dtype
	}
	if quantization != nil {
		config["quantization_config"] = quantization
	}
	if err := nn.Save(m, dir, so); err != nil {
		return err
	}
	if err := atomicfile.WriteJSON(filepath.Join(dir, "generation_config.json"), c.generationConfig()); err != nil {
		return err
	}
	if err := atomicfile.WriteJSON(filepath.Join(dir, "config.json"), config); err != nil || o.Tokenizer == nil {
		return err
	}
	return c.saveTokenizer(dir, o.Tokenizer, o.Layout)
}

func saveProcessor(dir string, p *imaging.Processor) error {
	return atomicfile.WriteJSON(filepath.Join(dir, "preprocessor_config.json"), p)
}

// SaveProjector writes the projector alone, in the original layout's names, to a file that ends in .safetensors, or to
// a folder, which gets mm_projector.safetensors and config.json: what stage 1 leaves behind. The language model is not
// in it: see [LoadOptions].
func SaveProjector(m *connector.VLM, path string, o SaveOptions) error {
	if !strings.HasSuffix(path, ".safetensors") {
		if err := SaveProjector(m, filepath.Join(path, "mm_projector.safetensors"), o); err != nil {
			return err
		}
		return SaveConfig(m, path)
	}
	rename := OriginalNames(m)
	return nn.Save(m.Connector, path, nn.SaveOptions{DType: o.DType, Rename: func(name string) string {
		if strings.HasPrefix(name, secondTower+".") { // which does not train
			return ""
		}
		return rename(name)
	}})
}

// Retrain notes in m's config how it is trained from now on: with which template, its system text (nil: as published),
// and image_aspect_ratio ("": as before). It must not be called while others use m.
func Retrain(m *connector.VLM, template string, system *string, aspect string) {
	x, ok := m.Connector.(*Connector)
	if !ok {
		tensor.Fail("Retrain", "the connector is a %T, not LLaVA's", m.Connector)
	}
	x.config.Template, x.config.System = template, system
	if aspect != "" {
		x.config.Aspect = aspect
	}
}

// SaveConfig writes config.json of the original layout to dir, for a folder that holds only what was trained: a
// projector, or an adapter.
func SaveConfig(m *connector.VLM, dir string) error {
	c := ConfigOf(m)
	at, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	near := func(tower string) string {
		if !filepath.IsAbs(tower) {
			return ""
		}
		rel, _ := filepath.Rel(at, tower) // "" where there is none
		return rel
	}
	c.near, c.nearby = near(c.Tower), near(c.SecondTower)
	config, err := c.originalConfig()
	if err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), config)
}

// processor is the one that the tower was trained with, for pictures as the config shows them.
func (c Config) processor() *imaging.Processor {
	if c.pixels != nil {
		p := *c.pixels
		return &p
	}
	p := TowerProcessor(c.Vision)
	if c.Second != nil {
		_ = c.Pair(p, TowerProcessor(*c.Second)) // these agree
	}
	if c.Next() && p.CenterCrop { // LlavaNextImageProcessor's views need no scaling
		p.Crop = imaging.Size{W: c.Vision.ImageSize, H: c.Vision.ImageSize}
	}
	c.Arrange(p)
	return p
}

// TowerProcessor is the image processor that the towers of v's family were trained with.
func TowerProcessor(v vit.VisionConfig) *imaging.Processor {
	switch {
	case v.ModelType == "siglip_vision_model":
		return imaging.SigLIP(v.ImageSize)
	case anySize(v):
		return imaging.DINOv2(v.ImageSize)
	}
	return imaging.CLIP(v.ImageSize)
}

// Arrange makes p show images as the model was trained: padded to a square, as tiles, or in the largest of the scales.
func (c Config) Arrange(p *imaging.Processor) {
	switch {
	case c.Next() && c.MaxTiles > 0:
		p.Aspect, p.Canvases = fmt.Sprintf("anyres_max_%d", c.MaxTiles), c.Canvases
	case c.Next():
		p.Aspect, p.Canvases = "anyres", c.Canvases
	case c.Aspect == "pad":
		p.Aspect = "pad"
	}
	if c.Scales != nil {
		enlarge(p, c.side())
	}
}

// enlarge makes p give images of S×S pixels.
func enlarge(p *imaging.Processor, S int) {
	if p.CenterCrop {
		p.Edge, p.Crop = S, imaging.Size{W: S, H: S}
	} else {
		p.Size = imaging.Size{W: S, H: S}
	}
}

// generationConfig is generation_config.json: all of the file that was read, with the tokens that count.
func (c Config) generationConfig() map[string]any {
	f := map[string]any{"_from_model_config": true}
	for k, v := range c.generation.Fields {
		f[k] = v
	}
	if c.Text.BOS >= 0 {
		f["bos_token_id"] = c.Text.BOS
	}
	if eos := c.ends(); len(eos) > 0 {
		f["eos_token_id"] = llm.EndTokens(eos)
	}
	if pad := c.padding(); pad >= 0 {
		f["pad_token_id"] = pad
	}
	return f
}

// ends are the tokens that end an answer.
func (c Config) ends() []int {
	if c.eos != nil {
		return c.eos
	}
	return c.Text.EOS
}

// padding is the token that fills up, or -1.
func (c Config) padding() int {
	if c.pad != nil {
		return *c.pad
	}
	return c.Text.PAD
}

// withImageToken is m with an id for pictures behind the vocabulary, whose tables grow to a multiple of 64 rows. All
// other weights are shared.
func withImageToken(m *connector.VLM) (*connector.VLM, error) {
	c := ConfigOf(m)
	V := c.Text.VocabSize
	if c.Video != nil { // another id, behind that for images
		video := *c.Video
		video.Token = V + 1
		c.Kind, c.Video = c.kind(), &video
	}
	c.Image, c.Text.VocabSize, c.original = V, (V+65)/64*64, false
	g, err := New(nil, c)
	if err != nil {
		return nil, err
	}
	to := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(g) {
		to[name] = p
	}
	for name, p := range nn.Params(m) {
		q := to[name]
		switch {
		case q == nil:
			return nil, fmt.Errorf("save: parameter %s is none of a plain model: merge or unwrap it first", name)
		case q.Rank() > 0 && q.Dim(0) != p.Dim(0):
			q.SetStorage(grow(p, q.Dim(0)))
		default:
			q.SetStorage(p)
		}
	}
	return g, nil
}

// grow appends rows to a table, each the mean of those there are.
func grow(t *tensor.Tensor, rows int) *tensor.Tensor {
	n, C := t.Dims2()
	out, wide := tensor.New(rows, C), tensor.New(n, C)
	wide.CopyFrom(t)
	old := wide.Data()
	copy(out.Data(), old)
	for c := range C {
		sum := 0.0
		for i := range n {
			sum += float64(old[i*C+c])
		}
		for i := n; i < rows; i++ {
			out.Data()[i*C+c] = float32(sum / float64(n))
		}
	}
	if t.DType() != tensor.BFloat16 { // blocks are widened: the new rows are no others' multiples
		return out
	}
	narrow := tensor.NewOf(t.DType(), rows, C)
	narrow.CopyFrom(out)
	return narrow
}
