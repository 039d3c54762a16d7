package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

type inspectCommand struct {
	Path string `arg:"" help:"Folder with config.json and weights or with an adapter, or a file of weights."`
}

func (inspectCommand) Help() string {
	return `Prints the parameters of a language model, a vision tower, a CLIP, a vision-language model or an
adapter as a tree, computed from config.json and from the headers of the weights, which are not loaded; what is missing
or too much is listed, and fails.

Example:

  gollava inspect ./llava-1.5-7b-hf`
}

// checkpoint is what a folder's config.json describes.
type checkpoint struct {
	says  string         // one line
	model any            // without weights; nil: what the files hold is only a part of one
	load  nn.LoadOptions // how names in the files become the model's, if it is no tower
	talks bool           // gollava chat opens it

	towers []towerPart // whose weights may be in folders of their own
}

// towerPart is a tower whose parameters' names begin with its own in a model.
type towerPart struct {
	name string
	vit.Tower
	dir string
}

func (i inspectCommand) Run(c console) error {
	st, err := os.Stat(i.Path)
	if err != nil {
		return err
	}
	if st.IsDir() {
		if _, err := os.Stat(filepath.Join(i.Path, "adapter_config.json")); err == nil {
			return inspectAdapter(c, i.Path)
		}
		if _, err := os.Stat(filepath.Join(i.Path, "config.json")); err == nil {
			return inspectModel(c, i.Path)
		}
	}
	return inspectFile(c, i.Path)
}

// inspectFile shows weights of which nothing says what model they belong to.
func inspectFile(c console, path string) error {
	w, err := nn.OpenWeights(path)
	if err != nil {
		return err
	}
	defer w.Close()
	fmt.Fprintf(c.out, "%s: weights without config.json\n\n%s", path, w.Summary())
	return nil
}

// parts are files that hold what was trained beside a base model.
var parts = []string{"adapter_model.safetensors", "adapter_model.bin", "non_lora_trainables.bin",
	"non_lora_trainables.safetensors",
	"mm_projector.bin", "mm_projector.safetensors"}

// inspectParts shows those that are in dir.
func inspectParts(c console, dir string) (shown bool) {
	for _, name := range parts {
		w, err := nn.OpenWeights(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		fmt.Fprintf(c.out, "\n%s\n%s", name, w.Summary())
		w.Close()
		shown = true
	}
	return shown
}

func inspectAdapter(c console, dir string) error {
	cfg, err := lora.ReadConfig(dir)
	if err != nil {
		return err
	}
	kind := "LoRA"
	if cfg.DoRA {
		kind = "DoRA"
	}
	fmt.Fprintf(c.out, "%s: %s adapter, rank %d, α %v, dropout %v", dir, kind, cfg.R, cfg.Alpha, cfg.Dropout)
	if cfg.BaseModel != "" {
		fmt.Fprintf(c.out, ", of %s", cfg.BaseModel)
	}
	fmt.Fprintf(c.out, "\nlayers: %s%s", strings.Join(cfg.Targets.Names, ", "), cfg.Targets.Pattern)
	if len(cfg.Save) > 0 {
		fmt.Fprintf(c.out, "; in full: %s", strings.Join(cfg.Save, ", "))
	}
	fmt.Fprintln(c.out)
	if !inspectParts(c, dir) {
		return fmt.Errorf("inspect: %s: none of %s can be read", dir, strings.Join(parts, ", "))
	}
	c.hint("gollava merge folds the adapter into its base model, and gollava chat talks with both: name the base " +
		"with --base")
	return nil
}

// renamed turns a translation of names, which reports false for what is no parameter, into an option for loading.
func renamed(canonical func(string) (string, bool)) nn.LoadOptions {
	return nn.LoadOptions{Rename: func(name string) string {
		if name, ok := canonical(name); ok {
			return name
		}
		return ""
	}}
}

// describe reads config.json and builds the model that it describes, without weights; with ownHead its head is not tied
// to its word embeddings, whatever config.json says.
func describe(dir string, ownHead bool) (*checkpoint, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var head struct {
		ModelType string `json:"model_type"`
		Tower     string `json:"mm_vision_tower"`
		Timm      string `json:"architecture"` // timm's name for a tower
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, x := range systems {
		if x.describes(dir) {
			return x.describe(dir, ownHead)
		}
	}
	switch tower := regexp.MustCompile(`^(clip|siglip|dinov2)|_vision_model$`); {
	case head.ModelType == "clip":
		cfg, err := vit.ReadCLIPConfig(dir)
		if err != nil {
			return nil, err
		}
		m, err := vit.NewCLIP(nil, cfg)
		return &checkpoint{says: "CLIP, a vision and a text tower", model: m}, err
	case tower.MatchString(head.ModelType) || head.ModelType == "" && head.Timm != "":
		cfg, err := vit.ReadVisionConfig(dir)
		if err != nil {
			return nil, err
		}
		m, err := vit.New(nil, cfg)
		return &checkpoint{says: towerOf(cfg), model: m}, err
	case llava.Describes(dir):
		cfg, err := llava.ReadConfig(dir)
		if err != nil {
			return nil, err
		}
		cfg.Text.TieWordEmbeddings = cfg.Text.TieWordEmbeddings && !ownHead
		m, err := llava.New(nil, cfg)
		if err != nil {
			return nil, err
		}
		says := fmt.Sprintf("vision-language model %s, connector %s, %d tokens a view, then %s", head.ModelType,
			cfg.Projector, cfg.FeaturesPerView(), decoder(cfg.Text))
		k := &checkpoint{says: says, model: m, load: renamed(llava.Canonical), talks: true}
		if head.Tower != "" {
			k.towers = []towerPart{{"vision_tower.", m.Vision, cfg.TowerDir(dir)}}
			if at := cfg.SecondTowerDir(dir); at != "" {
				k.towers = append(k.towers,
					towerPart{"second_vision_tower.", m.Connector.(*llava.Connector).SecondTower, at})
			}
		}
		return k, nil
	}
	cfg, err := llm.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	cfg.TieWordEmbeddings = cfg.TieWordEmbeddings && !ownHead
	m, err := llm.New(nil, cfg)
	return &checkpoint{says: "language model " + decoder(cfg), model: m,
		load: nn.LoadOptions{Ignore: []string{"**.rotary_emb.inv_freq"}}}, err
}

func towerOf(c vit.VisionConfig) string {
	return fmt.Sprintf("vision tower %s, pictures of %d×%d in patches of %d, %d layers of width %d", c.ModelType,
		c.ImageSize, c.ImageSize, c.PatchSize, c.NumHiddenLayers, c.HiddenSize)
}

func decoder(c llm.Config) string {
	return fmt.Sprintf("%s, %d layers of width %d, %d heads (%d of keys), vocabulary %d, %d positions", c.ModelType,
		c.NumHiddenLayers, c.HiddenSize,
		c.NumAttentionHeads, c.NumKeyValueHeads, c.VocabSize, c.MaxPositionEmbeddings)
}

func inspectModel(c console, dir string) error {
	k, err := describe(dir, false)
	if errors.Is(err, fs.ErrNotExist) { // the vision tower's folder: what is here can still be shown
		if shown := inspectParts(c, dir); shown {
			fmt.Fprintf(c.out, "\nThese are parts of a model whose rest is elsewhere: %v\n", err)
			return nil
		}
	}
	if err != nil {
		return err
	}
	if k.model == nil {
		w, err := nn.OpenWeights(dir)
		if err != nil {
			return err
		}
		defer w.Close()
		fmt.Fprintf(c.out, "%s: %s\n\n%s", dir, k.says, w.Summary())
		return nil
	}
	stored, err := k.fit(dir)
	if errors.Is(err, nn.ErrTied) { // as loading does
		if k, err = describe(dir, true); err != nil {
			return err
		}
		stored, err = k.fit(dir)
	}
	fmt.Fprintf(c.out, "%s: %s\n\n", dir, k.says)
	fmt.Fprint(c.out, nn.SummaryAs(k.model, func(name string) string { return stored[name] }))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(c.out, "\nNot all weights are here (%v); what is missing is shown as float32.\n", err)
		return nil
	case err != nil:
		return fmt.Errorf("inspect: %w", err)
	}
	if k.talks {
		c.next("chat", place(dir))
	}
	return nil
}

// fit finds the dtypes of all parameters in the files, and what does not fit.
func (k *checkpoint) fit(dir string) (map[string]string, error) {
	switch k.model.(type) {
	case vit.Tower, *vit.CLIP:
		return vit.Fit(k.model, dir)
	}
	w, err := nn.OpenWeights(dir)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o := k.load
	var apart []towerPart
	for _, t := range k.towers {
		if !slices.ContainsFunc(w.Names(), func(name string) bool {
			at := strings.Index(name, t.name)
			return at == 0 || at > 0 && name[at-1] == '.'
		}) {
			apart, o.Optional = append(apart, t), append(o.Optional, t.name+"**")
		}
	}
	stored, err := nn.Fit(k.model, w, o)
	for _, t := range apart {
		if err != nil {
			return stored, err
		}
		err = t.fit(stored)
	}
	return stored, err
}

// fit adds the dtypes of the tower's parameters in its folder.
func (t towerPart) fit(stored map[string]string) error {
	dtypes, err := vit.Fit(t.Tower, t.dir)
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.TrimSuffix(t.name, "."), err)
	}
	for name, dtype := range dtypes {
		stored[t.name+name] = dtype
	}
	return err
}
