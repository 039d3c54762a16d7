package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// source says where a vision-language model is: arguments of every command that runs one.
type source struct {
	Dir    string `arg:"" help:"Folder of a vision-language model, in any of LLaVA's layouts or in GGUF, or the GGUF file of its language model, or of a BLIP-2, InstructBLIP, IDEFICS, OpenFlamingo or GIT; or folder of a projector or an adapter on top of --base."`
	Base   string `help:"Folder of the plain language model, where DIR holds only what was trained: a projector, or an adapter."`
	Tower  string `aliases:"mmproj" help:"Folder of the vision tower, where DIR does not hold it; of a model in GGUF: the file of its vision part (mmproj)."`
	Second string `name:"second-tower" help:"Folder of the second vision tower of a model that has two, where DIR does not hold it."`
	DType  string `name:"dtype" enum:"float32,bfloat16,stored" default:"${dtype}" help:"What weights are kept as: ${enum}, in which float16 counts as float32. Weights in blocks of small integers stay in them, unless it is float32."`

	rounding bool // of products with weights in blocks, for speed
}

// dtype is what weights are kept as.
func (s source) dtype() func(name string, stored tensor.DType) tensor.DType {
	return func(_ string, stored tensor.DType) tensor.DType {
		switch {
		case s.DType == "float32":
			return tensor.Float32
		case s.DType == "stored" || stored.Quantized():
			return stored
		}
		return tensor.BFloat16
	}
}

// systems are the vision-language models beside LLaVA's, each by what its folder says of itself.
var systems = []struct {
	describes func(dir string) bool
	open      func(s source) (*connector.Assistant, error)
	describe  func(dir string, ownHead bool) (*checkpoint, error)
}{
	{blip2.Describes, func(s source) (*connector.Assistant, error) {
		return blip2.Open(s.Dir, blip2.LoadOptions{DType: s.dtype()})
	}, describeBLIP2},
	{flamingo.Describes, func(s source) (*connector.Assistant, error) {
		return flamingo.Open(s.Dir, flamingo.LoadOptions{DType: s.dtype(), Language: s.Base, Tower: s.Tower})
	}, describeFlamingo},
	{git.Describes, func(s source) (*connector.Assistant, error) {
		return git.Open(s.Dir, git.LoadOptions{DType: s.dtype()})
	}, describeGIT},
}

// assistant loads the model as openAny does, with its adapter folded in if it has one, to be asked with a template,
// "" for its own.
func (s source) assistant(template string) (*connector.Assistant, error) {
	a, err := s.openAny()
	if err == nil {
		err = lora.Merge(a.Model)
	}
	if err == nil && template != "" {
		a.Template, err = chat.Choose(template, a.Tokenizer)
	}
	return a, err
}

// openAny loads the model if it is one of systems, else as open does.
func (s source) openAny() (*connector.Assistant, error) {
	for _, x := range systems {
		if !s.adapted() && x.describes(s.Dir) {
			if s.Second != "" {
				return nil, fmt.Errorf("--second-tower %s: %s has no second tower", s.Second, s.Dir)
			}
			return x.open(s)
		}
	}
	a, _, err := s.open()
	return a, err
}

// sees reports whether DIR is, or says that it is, a vision-language model or a part of one.
func (s source) sees() bool {
	if s.adapted() || s.Base != "" || s.Tower != "" || s.Second != "" || llava.Describes(s.Dir) {
		return true
	}
	for _, x := range systems {
		if x.describes(s.Dir) {
			return true
		}
	}
	return false
}

// adapted reports whether DIR holds an adapter.
func (s source) adapted() bool {
	_, err := os.Stat(filepath.Join(s.Dir, "adapter_config.json"))
	return err == nil
}

// asked is the command that talks with the same model, from any folder.
func (s source) asked(template string) []string {
	args := []string{"chat", place(s.Dir)}
	if s.Base != "" {
		args = append(args, "--base", place(s.Base))
	}
	if s.Tower != "" {
		args = append(args, "--tower", place(s.Tower))
	}
	if s.Second != "" {
		args = append(args, "--second-tower", place(s.Second))
	}
	if s.DType == "float32" {
		args = append(args, "--dtype", s.DType)
	}
	if template != "" {
		args = append(args, "--template", template)
	}
	return args
}

// there returns an error if a folder is not, or holds the model in a folder of its own.
func (s source) there() error {
	for _, x := range [][2]string{{"", s.Dir}, {"--base ", s.Base}, {"--tower ", s.Tower},
		{"--second-tower ", s.Second}} {
		if x[1] == "" {
			continue
		}
		info, err := os.Stat(x[1])
		if err != nil {
			return fmt.Errorf("%s%w", x[0], err)
		}
		if !info.IsDir() || llava.Describes(x[1]) {
			continue
		}
		below, err := filepath.Glob(filepath.Join(x[1], "*", "config.json"))
		if at, _ := filepath.Glob(filepath.Join(x[1], "*.json")); err == nil && len(at) == 0 && len(below) > 0 {
			return fmt.Errorf("%s%s holds no model itself: did you mean %s?", x[0], x[1], filepath.Dir(below[0]))
		}
	}
	return nil
}

// open loads the model, a LLaVA. An adapter in DIR, on top of the whole model or the language model in Base, is put
// around it and returned too.
func (s source) open() (*connector.Assistant, *lora.Adapter, error) {
	if err := s.there(); err != nil {
		return nil, nil, err
	}
	o := llava.LoadOptions{Base: s.Base, Tower: s.Tower, SecondTower: s.Second, DType: s.dtype(), Rounding: s.rounding}
	dir := s.Dir
	if s.adapted() {
		if s.Base == "" {
			return nil, nil, fmt.Errorf("%s holds an adapter: name the model that it was trained on with --base", s.Dir)
		}
		if llava.Describes(s.Base) { // the whole model
			dir, o.Base = s.Base, ""
		}
	}
	a, err := llava.Open(dir, o)
	if err != nil || !s.adapted() {
		return a, nil, err
	}
	adapter, err := lora.Load(a.Model, s.Dir, llava.Namings(a.Model)...)
	return a, adapter, err
}

// openText loads a plain language model. Of a GGUF file the weights stay what they are stored as.
func (s source) openText(template string) (*connector.Assistant, error) {
	o := connector.TextOptions{Template: template, LoadOptions: nn.LoadOptions{Alias: true, Rounding: s.rounding}}
	if !s.gguf() {
		o.DType = s.dtype()
	}
	return connector.OpenText(s.Dir, o)
}

// gguf reports whether DIR is a GGUF file.
func (s source) gguf() bool { return strings.HasSuffix(strings.ToLower(s.Dir), ".gguf") }

// name is what answers call the model: the last part of its folder's path.
func (s source) name() string {
	if abs, err := filepath.Abs(s.Dir); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(filepath.Clean(s.Dir))
}

// unread refuses an output that is one of the inputs, by whatever path.
func unread(flag, out string, inputs ...string) error {
	for _, in := range inputs {
		if in != "" && out != "" && same(in, out) {
			return fmt.Errorf("%s %s is what is read: choose another", flag, out)
		}
	}
	return nil
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
