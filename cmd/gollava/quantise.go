package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

type quantiseCommand struct {
	Model string `arg:"" help:"A language model or a vision-language model: its folder, or its GGUF file."`
	Out   string `required:"" help:"The GGUF file to write; the vision part of a vision-language model goes beside it, to mmproj-NAME. Of types nf4 and fp4: a folder."`
	Type  string `default:"q4_k_m" help:"f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k_m, q5_k_m, q6_k or iq4_nl, in GGUF; or nf4, fp4, nf4d, fp4d (d: with double quantisation), as transformers saves them with bitsandbytes."`
	Text  string `type:"existingfile" help:"A text on which perplexity is measured, before and after."`
	Limit int    `default:"2048" help:"The number of its tokens that are read; 0: all."`
	Quiet bool   `short:"q" help:"Leave out the table of tensors."`
}

func (quantiseCommand) Help() string {
	return `Writes a model as a GGUF file with its weights in blocks of small integers, as llama.cpp's llama-quantize does, and shows for each
tensor how much that changes: the root mean square of the change, over that of the values. Of a vision-language model the
language model is quantised; tower and projector become float16 (mmproj). Types nf4 and fp4 quantise the linear layers
of the language model's blocks, and write a folder.

Example:

  gollava quantise ./vicuna-7b-v1.5 --type q4_k_m --out vicuna.gguf --text README.md`
}

func (v quantiseCommand) Run(c console) error {
	if err := v.run(c); err != nil {
		return fmt.Errorf("quantise: %w", err)
	}
	c.next("inspect", place(v.Out))
	return nil
}

func (v quantiseCommand) run(c console) error {
	if dt, ok := tensor.ParseDType(strings.ToUpper(v.Type)); ok && inFourBits(dt) {
		return v.bitsandbytes(c, dt)
	}
	if llava.Describes(v.Model) {
		return v.vision(c, source{Dir: v.Model, DType: "stored"})
	}
	if err := v.check(v.Model); err != nil {
		return err
	}
	m, err := llm.Load(v.Model, nn.LoadOptions{Alias: true})
	if err != nil {
		return err
	}
	t, err := tokenizer.Load(v.Model)
	if err != nil {
		return err
	}
	meta, err := t.GGUF(m.Config().VocabSize)
	if err != nil {
		return err
	}
	if err := llm.SaveGGUF(v.Out, m, llm.GGUFOptions{Type: v.Type, Metadata: meta, OnTensor: v.table(c)}); err != nil {
		return err
	}
	return v.written(c, m, t, v.Out)
}

// vision writes a vision-language model, with its adapter folded in if it has one.
func (v quantiseCommand) vision(c console, from source) error {
	if err := v.check(from.Dir, from.Base, from.Tower, from.Second); err != nil {
		return err
	}
	a, _, err := from.open()
	if err != nil {
		return err
	}
	if err := lora.Merge(a.Model); err != nil {
		return err
	}
	mmproj, err := llava.SaveGGUF(v.Out, a, llm.GGUFOptions{Type: v.Type, OnTensor: v.table(c)})
	if err != nil {
		return err
	}
	return v.written(c, a.Model.Language, a.Tokenizer, v.Out, mmproj)
}

// bitsandbytes writes a folder whose language model is in 4 bits.
func (v quantiseCommand) bitsandbytes(c console, dt tensor.DType) error {
	if err := (output{Out: v.Out}).check(v.Model); err != nil {
		return err
	}
	widened := func(_ string, stored tensor.DType) tensor.DType {
		if stored.Quantized() {
			return tensor.BFloat16
		}
		return stored
	}
	narrowed := func(name string, stored tensor.DType) tensor.DType {
		if llm.BlockLinear(name) {
			return dt
		}
		return widened(name, stored)
	}
	var before, after llm.Model
	var t *tokenizer.Tokenizer
	if llava.Describes(v.Model) {
		m, err := llava.Load(v.Model, llava.LoadOptions{DType: widened, Alias: true})
		if err != nil {
			return err
		}
		a, err := llava.Open(v.Model, llava.LoadOptions{DType: narrowed})
		if err != nil {
			return err
		}
		before, after, t = m.Language, a.Model.Language, a.Tokenizer
		o := llava.SaveOptions{MaxShard: shardSize, Processor: a.Processor, Tokenizer: a.Tokenizer}
		if err := llava.Save(v.Out, a.Model, o); err != nil {
			return err
		}
	} else {
		var err error
		if before, err = llm.Load(v.Model, nn.LoadOptions{DType: widened, Alias: true}); err != nil {
			return err
		}
		if after, err = llm.Load(v.Model, nn.LoadOptions{DType: narrowed}); err != nil {
			return err
		}
		if t, err = tokenizer.Load(v.Model); err != nil {
			return err
		}
		if err := llm.Save(after, v.Out, nn.SaveOptions{MaxShard: shardSize}); err != nil {
			return err
		}
		if err := t.Save(v.Out); err != nil {
			return err
		}
	}
	v.changes(v.table(c), before, after)
	if v.Text == "" {
		return nil
	}
	return v.perplexity(c, before, after, t)
}

// changes reports what quantising changed.
func (v quantiseCommand) changes(report func(name, dtype string, rms, changed float64), before, after llm.Model) {
	if report == nil {
		return
	}
	from := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(before) {
		from[name] = p
	}
	wide := func(p *tensor.Tensor) []float32 { return p.Detach().Cast(tensor.Float32).Data() }
	for name, p := range nn.Params(after) {
		if !p.DType().Quantized() {
			continue
		}
		x, y := wide(from[name]), wide(p)
		squares, changed := 0.0, 0.0
		for i, a := range x {
			squares, changed = squares+float64(a)*float64(a), changed+float64(a-y[i])*float64(a-y[i])
		}
		report(name, p.DType().String(), math.Sqrt(squares), math.Sqrt(changed))
	}
}

// check refuses to write over what is read.
func (v quantiseCommand) check(inputs ...string) error {
	if !strings.HasSuffix(v.Out, ".gguf") {
		return fmt.Errorf("--out %s: the file's name must end in .gguf", v.Out)
	}
	return unread("--out", v.Out, inputs...)
}

// table prints what happens to each tensor, unless it is not asked for.
func (v quantiseCommand) table(c console) func(name, dtype string, rms, changed float64) {
	if v.Quiet {
		return nil
	}
	head := sync.OnceFunc(func() { fmt.Fprintf(c.out, "%-32s %-8s %10s\n", "TENSOR", "TYPE", "CHANGE") })
	return func(name, dtype string, rms, changed float64) {
		head()
		fmt.Fprintf(c.out, "%-32s %-8s %9.4f%%\n", name, dtype, 100*changed/max(rms, 1e-30))
	}
}

// written says how large files are, and measures perplexity if there is a text.
func (v quantiseCommand) written(c console, m llm.Model, t *tokenizer.Tokenizer, files ...string) error {
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s: %.1f MB\n", name, float64(info.Size())/1e6)
	}
	if v.Text == "" {
		return nil
	}
	after, err := llm.Load(v.Out, nn.LoadOptions{Alias: true})
	if err != nil {
		return err
	}
	return v.perplexity(c, m, after, t)
}

// perplexity measures the model before and after.
func (v quantiseCommand) perplexity(c console, before, after llm.Model, t *tokenizer.Tokenizer) error {
	raw, err := os.ReadFile(v.Text)
	if err != nil {
		return err
	}
	ids := t.Wrap(t.Encode(string(raw)))
	if v.Limit > 0 {
		ids = ids[:min(len(ids), v.Limit)]
	}
	for _, x := range []struct {
		name string
		m    llm.Model
	}{{"before", before}, {"after", after}} {
		start := time.Now()
		p, err := llm.Perplexity(context.Background(), x.m, ids, 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "perplexity %s: %.4f on %d tokens (%.1f s)\n", x.name, p, len(ids),
			time.Since(start).Seconds())
	}
	return nil
}
