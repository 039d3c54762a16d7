package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

type mergeCommand struct {
	Source source `embed:"" set:"dtype=stored"`
	output `embed:""`
	Layout string `enum:"auto,hub,original,gollava" default:"auto" help:"Of a vision-language model: hub is what transformers loads, original what LLaVA's repository loads, gollava what only this program loads; auto: hub where that is possible, else gollava."`
	Bits   int    `enum:"0,4" default:"0" help:"4: store the merged weights in 4 bits (NF4, double quantisation), and say what that loses; 0: as they are, or in float32 where the base is in blocks."`
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
	if err := v.output.check(v.Source.Dir, v.Source.Base, v.Source.Tower, v.Source.Second); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	// of a language model alone
	if v.Source.Base != "" && !llava.Describes(v.Source.Base) && !llava.Describes(v.Source.Dir) {
		if err := v.text(c); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		c.next("inspect", place(v.Out))
		return nil
	}
	a, _, err := v.Source.open()
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	why := own(a.Model)
	if v.Layout == "auto" {
		v.Layout = "hub"
		if why != "" {
			v.Layout = "gollava"
		}
	}
	if err = fits(v.Layout, a.Model); err == nil {
		err = v.fold(c, a.Model)
	}
	if err == nil {
		err = save(v.Out, v.Layout, v.Source, a)
	}
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if why != "" {
		c.hint("only gollava can open the result: %s", why)
	}
	c.next("chat", place(v.Out))
	return nil
}

// fold folds the adapter into m.
func (v mergeCommand) fold(c console, m any) error {
	if v.Bits == 0 {
		return lora.Merge(m)
	}
	lost, err := lora.MergeInto(m, tensor.NF4D)
	switch {
	case err == nil && math.IsInf(lost, 1):
		fmt.Fprintln(c.out, "4 bits: the adapter changes nothing; rounding changes the base's weights")
	case err == nil:
		fmt.Fprintf(c.out, "4 bits: rounding the merged weights changes them by %.0f %% of what the adapter "+
			"had changed\n", 100*lost)
	}
	return err
}

// text merges an adapter of a plain language model.
func (v mergeCommand) text(c console) error {
	m, err := llm.Load(v.Source.Base, nn.LoadOptions{DType: v.Source.dtype()})
	if err != nil {
		return err
	}
	if _, err := lora.Load(m, v.Source.Dir); err != nil {
		return err
	}
	if err := v.fold(c, m); err != nil {
		return err
	}
	if err := llm.Save(m, v.Out, nn.SaveOptions{MaxShard: shardSize, DType: v.Source.written("")}); err != nil {
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

// save folds a's adapter into its model and writes it.
func save(dir, layout string, s source, a *connector.Assistant) error {
	if err := lora.Merge(a.Model); err != nil {
		return err
	}
	o := llava.SaveOptions{MaxShard: shardSize, Processor: a.Processor, Tokenizer: a.Tokenizer,
		DType: s.written(llava.ConfigOf(a.Model).TowerDir(s.Dir))}
	if layout == "original" {
		o.Layout = llava.Original
	}
	return llava.Save(dir, a.Model, o)
}

// written is what weights that came from s, and a tower in a folder of its own, are stored as. What is kept in float32
// to compute with, such as scalars and vectors, goes back to bfloat16 if the folders hold nothing else. Weights in
// blocks are widened to bfloat16, but for those of bitsandbytes.
func (s source) written(tower string) func(name string, kept tensor.DType) tensor.DType {
	if s.DType != "stored" {
		return nn.As(s.dtype()("", tensor.Float32))
	}
	widened := func(_ string, kept tensor.DType) tensor.DType {
		if kept.Quantized() && kept != tensor.INT8 && !inFourBits(kept) {
			return tensor.BFloat16
		}
		return kept
	}
	for _, dir := range []string{cmp.Or(s.Base, s.Dir), tower} {
		if dir == "" {
			continue
		}
		w, err := nn.OpenWeights(dir)
		if err != nil {
			return widened
		}
		defer w.Close()
		if slices.ContainsFunc(w.Names(), func(name string) bool { return w.DType(name) != "BF16" }) {
			return widened // of weights in blocks, saving them sees to it
		}
	}
	return nn.As(tensor.BFloat16)
}

// inFourBits reports whether bitsandbytes' checkpoints of 4 bits have a dtype.
func inFourBits(dt tensor.DType) bool {
	return slices.Contains([]tensor.DType{tensor.NF4, tensor.NF4D, tensor.FP4, tensor.FP4D}, dt)
}

// output says where a command writes.
type output struct {
	Out   string `required:"" help:"Where the result goes: a new or an empty folder; of layout gguf: a file."`
	Force bool   `help:"Write to --out though the folder is not empty: files of the same names are replaced, others stay."`
}

// check refuses to write over what is read, and into a folder with other contents without --force.
func (o output) check(inputs ...string) error {
	if err := unread("--out", o.Out, inputs...); err != nil {
		return err
	}
	entries, err := os.ReadDir(o.Out)
	if err != nil || len(entries) == 0 || o.Force {
		return nil // what cannot be written to says so then
	}
	return fmt.Errorf("--out %s is not empty (%s): choose a new folder, or write into this one with --force", o.Out,
		entries[0].Name())
}

type exportCommand struct {
	Source source `embed:"" set:"dtype=stored"`
	output `embed:""`
	Layout string `enum:"hub,original,gollava,peft,gguf" default:"hub" help:"hub: what transformers loads; original: what LLaVA's repository loads; gollava: what only this program loads; peft: an adapter under the names of transformers 5; gguf: what llama.cpp loads."`
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
	if err := v.output.check(v.Source.Dir, v.Source.Base, v.Source.Tower, v.Source.Second); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if v.Layout == "gguf" {
		return v.gguf(c)
	}
	if err := v.run(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	c.next("inspect", place(v.Out))
	return nil
}

// gguf writes a language model, or a vision-language model in two files.
func (v exportCommand) gguf(c console) error {
	q := quantiseCommand{Model: v.Source.Dir, Out: v.Out, Type: v.Type, Quiet: true}
	if !v.Source.adapted() && v.Source.Base == "" && v.Source.Tower == "" && v.Source.Second == "" {
		if err := q.run(c); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		c.next("inspect", place(v.Out))
		return nil
	}
	if err := q.vision(c, v.Source); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	c.next("chat", place(v.Out))
	return nil
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
	if err := fits(v.Layout, a.Model); err != nil {
		return err
	}
	return save(v.Out, v.Layout, v.Source, a)
}

// fits returns an error if the programs that a layout is for cannot open m.
func fits(layout string, m *connector.VLM) error {
	why := own(m)
	if why == "" || layout == "gollava" {
		return nil
	}
	return fmt.Errorf("--layout %s: %s; --layout gollava writes what this program opens", layout, why)
}

// own says why neither transformers nor LLaVA's repository can open m; "": they can.
func own(m *connector.VLM) string {
	x := llava.ConfigOf(m)
	var why []string
	if x.Merge > 1 {
		why = append(why, fmt.Sprintf("merges patches (merge %d)", x.Merge))
	}
	if x.SlotStd != 0 {
		why = append(why, fmt.Sprintf("adds a vector to each of an image's tokens (slot_std %v)", x.SlotStd))
	}
	if why == nil {
		return ""
	}
	return "no other program has a projector that " + strings.Join(why, " and ")
}
