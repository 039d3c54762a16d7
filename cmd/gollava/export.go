package main

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
)

type mergeCommand struct {
	Source source `embed:""`
	Out    string `required:"" help:"Folder for the merged model."`
	Layout string `enum:"hub,original" default:"hub" help:"Of a vision-language model: ${enum}; hub is transformers'."`
}

func (mergeCommand) Help() string {
	return `Folds a LoRA adapter, from PEFT or from LLaVA's repository, into the weights that it was trained on, and writes an ordinary model.

Example:

  gollava merge ./llava-lora --base ./vicuna-7b-v1.5 --out ./llava-merged`
}

func (v mergeCommand) Run(c console) error {
	if !v.Source.adapted() {
		return fmt.Errorf("merge: %s has no adapter_config.json: which folder holds the adapter?", v.Source.Dir)
	}
	if v.Source.Base != "" && !llava.Describes(v.Source.Base) && !llava.Describes(v.Source.Dir) { // of a language model alone
		if err := v.text(); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		c.next("gollava inspect %s", v.Out)
		return nil
	}
	a, _, err := v.Source.open()
	if err == nil {
		err = lora.Merge(a.Model)
	}
	if err == nil {
		err = llava.Save(v.Out, a.Model, saveOptions(v.Layout, v.Source, a))
	}
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	c.next("gollava chat %s", v.Out)
	return nil
}

// text merges an adapter of a plain language model.
func (v mergeCommand) text() error {
	m, err := llm.Load(v.Source.Base, nn.LoadOptions{DType: nn.As(v.Source.dtype())})
	if err != nil {
		return err
	}
	if _, err := lora.Load(m, v.Source.Dir); err != nil {
		return err
	}
	if err := lora.Merge(m); err != nil {
		return err
	}
	if err := llm.Save(m, v.Out, nn.SaveOptions{MaxShard: shardSize}); err != nil {
		return err
	}
	t, err := tokenizer.Load(v.Source.Base)
	if err != nil {
		return err
	}
	return t.Save(v.Out)
}

// shardSize is transformers' default.
const shardSize = 5e9

func saveOptions(layout string, s source, a *connector.Assistant) llava.SaveOptions {
	o := llava.SaveOptions{MaxShard: shardSize, DType: nn.As(s.dtype()), Processor: a.Processor, Tokenizer: a.Tokenizer}
	if layout == "original" {
		o.Layout = llava.Original
	}
	return o
}

type exportCommand struct {
	Source source `embed:""`
	Out    string `required:"" help:"Folder for what is written."`
	Layout string `enum:"hub,original,peft,gguf" default:"hub" help:"hub: what transformers loads; original: what LLaVA's repository loads; peft: an adapter under the names of transformers 5; gguf: what llama.cpp loads, of a language model."`
	Type   string `default:"f16" help:"Of layout gguf: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k_m, q5_k_m, q6_k or iq4_nl."`
}

func (exportCommand) Help() string {
	return `Writes a model under the names and with the files that other programs expect. An adapter stays one with --layout peft; otherwise it is
folded in.

Examples:

  gollava export ./llava-v1.5-7b --tower ./clip-vit-large-patch14-336 --out ./llava-1.5-7b-hf
  gollava export ./llava-lora --base ./vicuna-7b-v1.5 --layout peft --out ./llava-peft`
}

func (v exportCommand) Run(c console) error {
	if v.Layout == "gguf" {
		return v.gguf(c)
	}
	if err := v.run(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	c.next("gollava inspect %s", v.Out)
	return nil
}

// gguf writes a language model. The vision part of a model has no writer yet.
func (v exportCommand) gguf(c console) error {
	if llava.Describes(v.Source.Dir) {
		return fmt.Errorf("export: %s holds a vision-language model; the layout gguf is written of language models alone", v.Source.Dir)
	}
	return quantiseCommand{Model: v.Source.Dir, Out: v.Out, Type: v.Type, Quiet: true}.Run(c)
}

func (v exportCommand) run() error {
	a, adapter, err := v.Source.open()
	switch {
	case err != nil:
		return err
	case v.Layout == "peft" && adapter == nil:
		return fmt.Errorf("%s holds no adapter", v.Source.Dir)
	case v.Layout == "peft":
		if err := adapter.Save(v.Out, lora.SaveOptions{Naming: llava.Transformers5}); err != nil {
			return err
		}
		return llava.SaveProjector(a.Model, filepath.Join(v.Out, "mm_projector.safetensors"), llava.SaveOptions{})
	}
	if err := lora.Merge(a.Model); err != nil {
		return err
	}
	return llava.Save(v.Out, a.Model, saveOptions(v.Layout, v.Source, a))
}
