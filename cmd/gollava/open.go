package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// source says where a vision-language model lies: arguments of every command that runs one.
type source struct {
	Dir   string `arg:"" help:"Folder of a vision-language model, in any of LLaVA's layouts; or of a projector or an adapter on top of --base."`
	Base  string `help:"Folder of the plain language model, where DIR holds only what was trained: a projector, or an adapter."`
	Tower string `help:"Folder of the vision tower, where DIR does not hold it."`
	DType string `name:"dtype" enum:"float32,bfloat16" default:"bfloat16" help:"What weights are kept as: ${enum}."`
}

// dtype is what weights are kept as.
func (s source) dtype() tensor.DType {
	if s.DType == "float32" {
		return tensor.Float32
	}
	return tensor.BFloat16
}

// adapted reports whether DIR holds an adapter.
func (s source) adapted() bool {
	_, err := os.Stat(filepath.Join(s.Dir, "adapter_config.json"))
	return err == nil
}

// open loads the model. An adapter in DIR, on top of the whole model or the language model in Base, is put around it and returned too.
func (s source) open() (*connector.Assistant, *lora.Adapter, error) {
	o := llava.LoadOptions{Base: s.Base, Tower: s.Tower, DType: nn.As(s.dtype())}
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
