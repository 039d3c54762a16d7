// Command connectors compares five ways to join a vision tower to a language model: LLaVA's linear map and its MLP,
// BLIP-2's Q-Former, Flamingo's resampler with gated cross-attention, and GIT's prefix with bidirectional attention.
// One CLIP and one language model are trained on the built-in world; each connector then starts from copies of the
// two, and learns from the same batches for as many steps. It prints a table, and draws right answers against steps
// and against time.
//
//	go run ./examples/connectors                    minutes on two cores
//	go run ./examples/connectors -frozen            only the connectors train
//	go run ./examples/connectors -preset smoke      about 100 seconds of CPU time
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "connectors:", err)
		os.Exit(1)
	}
}

// preset is a study's, and the sizes of the connectors that have any.
type preset struct {
	study.Preset
	Grid    int // cells of the world, per side
	Queries int // tokens that the Q-Former and the resampler make of an image
	Layers  int // of these two
}

var presets = map[string]preset{
	"default": {Grid: 3, Queries: 12, Layers: 2, Preset: study.Preset{
		Name: "default", Pictures: 12000, Patch: 8, Vision: study.Blocks{Width: 64, Layers: 3, Heads: 4, MLP: 256},
		Reader: study.Blocks{Width: 64, Layers: 2, Heads: 4, MLP: 256}, Shared: 64, Place: 0.17,
		Language: study.Blocks{Width: 96, Layers: 3, Heads: 6, MLP: 256}, First: 0.3,
		Clip: study.Length{Steps: 1000, Batch: 64, LR: 2e-3}, Text: study.Length{Steps: 2500, Batch: 16, LR: 1.2e-3},
		Tune: study.Length{Steps: 600, Batch: 16, LR: 1.2e-3}, Questions: 40, Quick: 40, Curve: 6}},
	"smoke": {Grid: 2, Queries: 8, Layers: 1, Preset: study.Preset{
		Name: "smoke", Pictures: 4000, Patch: 8, Vision: study.Blocks{Width: 48, Layers: 2, Heads: 4, MLP: 192},
		Reader: study.Blocks{Width: 48, Layers: 1, Heads: 4, MLP: 192}, Shared: 48, Place: 0.17,
		Language: study.Blocks{Width: 64, Layers: 2, Heads: 4, MLP: 176}, First: 0.7,
		Clip: study.Length{Steps: 300, Batch: 48, LR: 2e-3}, Text: study.Length{Steps: 1000, Batch: 16, LR: 2e-3},
		Tune: study.Length{Steps: 240, Batch: 16, LR: 1.5e-3}, Questions: 30, Quick: 30, Curve: 4}},
	"toy": {Grid: 2, Queries: 3, Layers: 1, Preset: study.Preset{ // for tests: it learns next to nothing
		Name: "toy", Pictures: 96, Patch: 8, Vision: study.Blocks{Width: 16, Layers: 2, Heads: 2, MLP: 32},
		Reader: study.Blocks{Width: 16, Layers: 1, Heads: 2, MLP: 32}, Shared: 16, Place: 0.17,
		Language: study.Blocks{Width: 16, Layers: 1, Heads: 2, MLP: 32}, First: 0.3,
		Clip: study.Length{Steps: 3, Batch: 8, LR: 2e-3}, Text: study.Length{Steps: 3, Batch: 4, LR: 2e-3},
		Tune: study.Length{Steps: 4, Batch: 4, LR: 2e-3}, Questions: 2, Quick: 2, Curve: 2}},
}

// job is one run.
type job struct {
	study.Study
	preset preset
	frozen bool // the language model stays as it is
	resume bool
	dir    string
	seed   uint64
	lesson *study.Lesson
	tower  *vit.CLIPVision
	reader *study.Reader // the language model, as it learnt to talk
	exam   []*study.Exam
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("connectors", flag.ContinueOnError)
	flags.SetOutput(out)
	name := flags.String("preset", "default", strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
	j := &job{}
	flags.Uint64Var(&j.seed, "seed", 1, "of the world and the weights")
	flags.StringVar(&j.dir, "out", "connectors-run", "folder for what is trained and the picture")
	flags.BoolVar(&j.resume, "resume", false, "go on with the run in -out")
	flags.BoolVar(&j.frozen, "frozen", false, "train the connectors alone, and not the language model")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var ok bool
	if j.preset, ok = presets[*name]; !ok || flags.NArg() > 0 {
		return fmt.Errorf("-preset %q, arguments %q: the presets are %s", *name, flags.Args(),
			strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
	}
	config := shapes.Default(j.seed)
	if j.preset.Grid == 2 {
		config = shapes.Smoke(j.seed)
	}
	config.TextHeldOut = 0.3
	var err error
	if j.World, err = shapes.New(config); err != nil {
		return err
	}
	j.Preset, j.Vocabulary, j.Out, j.Places = j.preset.Preset, study.NewVocabulary(), out, j.preset.Grid*j.preset.Grid
	j.lesson = j.Lesson()
	if err := j.parts(ctx); err != nil {
		return err
	}
	j.lesson.Pool.Look(j.tower, selected) // the tower is frozen from now on, so it looks once
	j.lesson.Places = 1                   // where VLM.Splice puts the image
	j.exam = j.questions()
	var all []*result
	for _, s := range systems {
		r, err := j.learn(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, r)
	}
	if err := j.clock(ctx, all); err != nil {
		return err
	}
	table(out, all)
	return picture(filepath.Join(j.dir, j.folder("connectors.png")), all)
}

// selected are the features that every connector gets: the class and the patches of the layer before the last.
var selected = vit.Select{Layers: []int{-2}, Class: "cls_patch"}

// parts trains the tower and the language model that all connectors share.
func (j *job) parts(ctx context.Context) error {
	clip, err := vit.NewCLIP(j.World.Rand("clip/start", 0), j.Preset.CLIP(j.World.Side(), j.Vocabulary))
	if err != nil {
		return err
	}
	c := j.Preset.Clip
	if err := fit(ctx, j, "clip", &study.Contrast{CLIP: clip}, train.Stage[study.Pairs]{
		Batches: study.PairBatches(j.lesson, c), Steps: c.Steps, Schedule: train.Cosine(0.05),
		Betas: [2]float64{0.9, 0.98}, After: func(int) { clip.ClampLogitScale() },
		Groups: []train.Group{{Params: "**", LR: c.LR, WeightDecay: 0.05, NoDecay: []string{"**.bias", "**.*norm*.*",
			"**.*layrnorm.*", "**.class_embedding", "**.logit_scale"}}},
	}); err != nil {
		return err
	}
	j.tower = clip.Tower()
	language, err := llm.New(j.World.Rand("language/start", 0), j.Preset.Decoder(j.Vocabulary))
	if err != nil {
		return err
	}
	j.reader = study.NewReader(j.World.Rand("reader/start", 0), language)
	c = j.Preset.Text
	if err := fit(ctx, j, "language", j.reader, train.Stage[study.Page]{
		Batches: study.PageBatches(j.lesson, c, j.Preset.Language.Width), Steps: c.Steps,
		Schedule: train.Schedule{Kind: "cosine", WarmupRatio: 0.03, Floor: 0.02}, Betas: betas,
		Groups: []train.Group{{Params: "**", LR: c.LR}},
	}); err != nil {
		return err
	}
	told, err := j.Telling(j.reader)(ctx)
	j.Printf("the language model, told in words what there is to see: %.1f %% right", 100*told["told"])
	return err
}

var betas = [2]float64{0.9, 0.95}

// copied is the language model again.
func (j *job) copied() (llm.Model, error) {
	l, err := llm.New(nil, j.reader.Language.Config())
	if err != nil {
		return nil, err
	}
	from := maps.Collect(nn.Params(j.reader.Language))
	for name, p := range nn.Params(l) {
		p.Allocate()
		p.CopyFrom(from[name])
	}
	return l, nil
}

// folder is where what belongs to the connectors lies: a run with -frozen has a place of its own beside the parts that
// both share.
func (j *job) folder(name string) string {
	if j.frozen {
		return filepath.Join("frozen", name)
	}
	return name
}

// fit runs a stage in a folder of the run.
func fit[B any](ctx context.Context, j *job, name string, m train.Model[B], s train.Stage[B]) error {
	s.Name, s.Clip, s.Every, s.Seed = name, 1, max(1, s.Steps/4), j.seed
	s.Batches, s.Config = train.Prefetch(s.Batches, 2), []any{j.preset, j.seed}
	_, err := train.Run(ctx, m, train.Options{Dir: filepath.Join(j.dir, name), Resume: j.resume, Keep: 1,
		Progress: j.Out, Command: j.command()}, s)
	return err
}

// command is how to go on with the run.
func (j *job) command() string {
	c := fmt.Sprintf("go run ./examples/connectors -preset %s -seed %d -out %s -resume", j.preset.Name, j.seed, j.dir)
	if j.frozen {
		c += " -frozen"
	}
	return c
}
