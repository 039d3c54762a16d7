package llava

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// LoadOptions say where the parts of a model are and how [Load] keeps them.
type LoadOptions struct {
	// Base is the folder of the plain language model, for a folder that holds the projector alone, as after stage 1,
	// or beside a LoRA adapter.
	Base string

	// Tower is the folder of the vision tower, for a checkpoint in the original layout without it; "": what
	// mm_vision_tower says, seen from the checkpoint's folder. For a language model in GGUF: the file of its vision
	// part (mmproj); "": mmproj-NAME.gguf beside NAME.gguf, or the only one in a folder with one language model.
	Tower string

	// SecondTower is the folder of the tower beside the first, of a model with two; "": what mm_vision_tower_aux_list
	// says. For a model with one tower it is an error.
	SecondTower string

	// DType, Alias and Rounding are those of [nn.LoadOptions].
	DType    func(name string, stored tensor.DType) tensor.DType
	Alias    bool
	Rounding bool
}

// projectorFiles are what a projector alone may be called, in a folder.
var projectorFiles = []string{"mm_projector.bin", "mm_projector.safetensors", "non_lora_trainables.bin",
	"non_lora_trainables.safetensors"}

// Load reads a vision-language model in any of LLaVA's layouts: of the original repository, with the vision tower
// inside or beside it, of the Hub (transformers 4), of transformers 5, with the names that these use inside their
// programs, as safetensors or PyTorch's .bin; and, with a Base, of a projector alone; or a model in GGUF, of which dir
// is the folder or the language model's file, and whose weights stay in their blocks unless o says otherwise. Its
// errors name the file, and list all tensors that are missing, unexpected or misshapen.
func Load(dir string, o LoadOptions) (*connector.VLM, error) {
	if o.Base == "" {
		if pair, err := findGGUF(dir, o.Tower); err != nil || pair.model != "" {
			if err != nil {
				return nil, err
			}
			if o.SecondTower != "" {
				return nil, fmt.Errorf("second tower %s: a model in GGUF has one tower", o.SecondTower)
			}
			return o.loadGGUF(pair)
		}
	}
	var w *nn.Weights
	if o.Base == "" {
		var err error
		if w, err = nn.OpenWeights(dir); err != nil {
			if path := findProjector(dir); path != "" && errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: holds only a projector, %s: name the folder of its language model "+
					"(LoadOptions.Base)", dir, filepath.Base(path))
			}
			if _, says := readConfig(dir, o.Tower, o.SecondTower); says != nil && !errors.Is(says, fs.ErrNotExist) {
				return nil, says // what the model is explains why its weights are not where they should be
			}
			return nil, err
		}
	}
	m, err := o.load(dir, w)
	if w != nil && (err != nil || !o.Alias) {
		w.Close() // what aliases the file needs its mapping for as long as it lives
	}
	return m, err
}

// load reads a model from w, or from its parts if w is nil.
func (o LoadOptions) load(dir string, w *nn.Weights) (*connector.VLM, error) {
	c, err := readConfig(dir, o.Tower, o.SecondTower)
	if err != nil {
		return nil, err
	}
	if err := c.readGeneration(dir); err != nil {
		return nil, err
	}
	if err := o.cut(&c, dir, w); err != nil {
		return nil, err
	}
	m, err := o.loadAs(c, dir, w)
	// a head of its own, as merged adapters leave one: transformers 5 takes it too
	if errors.Is(err, nn.ErrTied) && c.Text.TieWordEmbeddings {
		c.Text.TieWordEmbeddings = false
		return o.loadAs(c, dir, w)
	}
	return m, err
}

// loadAs reads the weights into the model that c describes.
func (o LoadOptions) loadAs(c Config, dir string, w *nn.Weights) (*connector.VLM, error) {
	m, err := New(nil, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if err := o.second(m, dir); err != nil {
		return nil, err
	}
	switch {
	case w == nil:
		return m, o.assemble(m, dir)
	case !has(w, "vision_tower.") && c.original:
		if m.Vision, err = o.tower(c, dir); err != nil {
			return nil, err
		}
		return m, o.fill(m, w, "vision_tower.**", secondTower+".**")
	}
	return m, o.fill(m, w, secondTower+".**")
}

// assemble reads the parts of a model whose folder holds only what was trained.
func (o LoadOptions) assemble(m *connector.VLM, dir string) error {
	c := ConfigOf(m)
	path := findProjector(dir)
	if path == "" {
		return fmt.Errorf("%s: holds none of %s", dir, strings.Join(projectorFiles, ", "))
	}
	if err := o.base(m); err != nil {
		return err
	}
	var err error
	if m.Vision, err = o.tower(c, dir); err != nil {
		return err
	}
	return LoadProjector(m, path, o)
}

// base reads the plain language model in Base.
func (o LoadOptions) base(m *connector.VLM) error {
	c := ConfigOf(m)
	if gguf.IsFile(o.Base) {
		l, err := llm.Load(o.Base, nn.LoadOptions{DType: o.DType, Alias: o.Alias, Rounding: o.Rounding})
		if err != nil {
			return err
		}
		if x := l.Config(); x.HiddenSize != c.Text.HiddenSize || x.VocabSize != c.Text.VocabSize ||
			x.NumHiddenLayers != c.Text.NumHiddenLayers {
			return fmt.Errorf("%s: %d layers of width %d, vocabulary %d, but the model on top of it has %d of width "+
				"%d, vocabulary %d: it belongs to another one",
				o.Base, x.NumHiddenLayers, x.HiddenSize, x.VocabSize, c.Text.NumHiddenLayers, c.Text.HiddenSize,
				c.Text.VocabSize)
		}
		m.Language = l
		return nil
	}
	w, err := nn.OpenWeights(o.Base)
	if err != nil {
		return err
	}
	if err = o.language(m.Language, w); c.Marks && err != nil {
		err = o.grown(m, w, err)
	}
	if err != nil || !o.Alias {
		w.Close()
	}
	return err
}

// language reads a language model alone.
func (o LoadOptions) language(l llm.Model, w *nn.Weights) error {
	return o.fill(&struct {
		Language llm.Model `param:"language_model"`
	}{l}, w)
}

// LoadProjector reads a projector into m, which must have the same shape: a file such as LLaVA's mm_projector.bin, or
// a folder that holds one. What else was trained and lies in the same file, such as the vision tower, is read too; of
// a file with the token embeddings, with which <im_start> and <im_end> were trained (mm_use_im_start_end), the last
// two rows. Of o, DType is used.
func LoadProjector(m *connector.VLM, path string, o LoadOptions) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		file := findProjector(path)
		if file == "" {
			return fmt.Errorf("%s: holds none of %s", path, strings.Join(projectorFiles, ", "))
		}
		path = file
	}
	w, err := nn.OpenWeights(path)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := readMarks(m, w); err != nil {
		return err
	}
	o.Alias = false
	return o.fill(m, w, "language_model.**", "vision_tower.**", secondTower+".**", "image_newline")
}

// fill reads all parameters of m from w.
func (o LoadOptions) fill(m any, w *nn.Weights, optional ...string) error {
	return nn.Load(m, w, nn.LoadOptions{Optional: optional, DType: keep(o.DType), Alias: o.Alias, Rounding: o.Rounding,
		Rename: func(name string) string {
			if name, ok := Canonical(name); ok {
				return name
			}
			return ""
		}})
}

// keep is [vit.Keep], and keeps the projector's slots in float32 too.
func keep(choose func(string, tensor.DType) tensor.DType) func(string, tensor.DType) tensor.DType {
	inner := vit.Keep(choose)
	return func(name string, stored tensor.DType) tensor.DType {
		if strings.HasSuffix(name, "multi_modal_projector.slots") {
			return tensor.Float32
		}
		return inner(name, stored)
	}
}

// tower reads the tower that a checkpoint in dir leaves to a folder of its own.
func (o LoadOptions) tower(c Config, dir string) (vit.Tower, error) {
	name := c.Tower
	t, err := vit.LoadAs(c.Vision, c.TowerDir(dir),
		nn.LoadOptions{DType: o.DType, Alias: o.Alias, Rounding: o.Rounding})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mm_vision_tower %q: %w: the checkpoint leaves its vision tower to that folder; "+
			"download it there, or name its folder (LoadOptions.Tower)", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("mm_vision_tower %q: %w", name, err)
	}
	return t, nil
}

// has reports whether w holds a tensor whose canonical name begins so.
func has(w *nn.Weights, prefix string) bool {
	for _, n := range w.Names() {
		if c, ok := Canonical(n); ok && strings.HasPrefix(c, prefix) {
			return true
		}
	}
	return false
}

func findProjector(dir string) string {
	for _, name := range projectorFiles {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			return path
		}
	}
	return ""
}

// readGeneration takes end and padding tokens, and how the model is to answer, from dir/generation_config.json, if
// there is one: it counts more than config.json.
func (c *Config) readGeneration(dir string) (err error) {
	if c.generation, err = llm.ReadGeneration(dir); err != nil {
		return err
	}
	if eos := c.generation.Options.EOS; eos != nil {
		c.eos = eos
	}
	if pad := c.generation.Options.PAD; pad >= 0 {
		c.pad = &pad
	}
	return nil
}
