// Command quickstart trains a vision-language model from nothing, in minutes, on a laptop: LLaVA's whole recipe on a
// small world of coloured shapes, without a download. It draws the world, trains CLIP on it by contrast, a language
// model on text, joins the two, and shows what the result sees and what it only guesses.
//
//	go run ./examples/quickstart                     about six minutes on two cores
//	go run ./examples/quickstart -preset smoke       twenty seconds
//	go run ./examples/quickstart -chat               talk with it about an unseen picture
//	go run ./examples/quickstart -made -out made     stage 2 on instructions that rules make from captions and boxes
//
// Several processes train it together, with the same result, once it is built with MPI:
//
//	go build -tags mpi ./examples/quickstart
//	mpirun -n 4 --bind-to none ./quickstart -accumulate 4
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	comm, leave, err := join()
	if err == nil {
		if err = run(ctx, os.Args[1:], os.Stdin, os.Stdout, comm); err == nil {
			leave()
		}
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		end(0)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run is the program on one rank of comm; nil: in one process.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer, comm train.Comm) error {
	j, err := begin(args, out, comm)
	if err != nil {
		return err
	}
	if j.Flags.Chat {
		m, err := j.Finished()
		if err != nil {
			return err
		}
		return j.Chat(ctx, in, m)
	}
	err = j.recipe(ctx)
	if stopped := (*train.Stopped)(nil); ctx.Err() != nil && err != nil && !errors.As(err, &stopped) {
		return fmt.Errorf("stopped (%w); go on with: %s", err, j.Command("-resume"))
	}
	return err
}

// job is a study of a model that this program trains.
type job struct{ *study.Study }

// begin reads the command line.
func begin(args []string, out io.Writer, comm train.Comm) (*job, error) {
	s, err := study.Open(args, out, presets, comm)
	if err != nil {
		return nil, err
	}
	c := vlmConfig(s.Preset, s.World.Side(), s.Vocabulary)
	s.Places, s.Selects = c.FeaturesPerView(), c.Select
	return &job{s}, nil
}

// recipe is the whole of it.
func (j *job) recipe(ctx context.Context) error {
	l := j.Lesson() // pictures, what can be said about them, and the words to say it

	clip, err := j.clip(ctx, l) // which caption belongs to which picture?
	if err != nil {
		return err
	}
	language, err := j.language(ctx, l) // talks about scenes that are told in words
	if err != nil {
		return err
	}
	l.Pool.Look(clip.Tower(), j.Selects) // the tower is frozen from now on, so it looks once
	if j.Flags.Made {
		return j.compareMade(ctx, l, clip)
	}
	vlm, err := j.join(clip, language.Language)
	if err != nil {
		return err
	}
	if err := j.alignAndTune(ctx, l, vlm); err != nil { // stages 1 and 2
		return err
	}
	if err := j.Export(clip, vlm); err != nil {
		return err
	}
	compare := func(exams []*study.Exam, sit study.Sitting) error { return j.compare(ctx, l, clip, exams, sit) }
	return j.Judge(ctx, l, clip, vlm, compare, func() error { return j.learnWidgets(ctx, l, vlm) })
}

// clip is Radford et al.'s contrastive pre-training.
func (j *job) clip(ctx context.Context, l *study.Lesson) (*vit.CLIP, error) {
	c := j.Preset.Clip
	m, err := j.newCLIP("clip")
	if err != nil {
		return nil, err
	}
	return m, study.Fit(ctx, j.Study, "clip", &study.Contrast{CLIP: m}, train.Stage[study.Pairs]{
		Name: "clip", Batches: study.PairBatches(l, c), Steps: c.Steps, Schedule: warm(0.05),
		Betas: [2]float64{0.9, 0.98}, Clip: 1,
		Groups: []train.Group{{Params: "**", LR: c.LR, WeightDecay: 0.05,
			NoDecay: []string{"**.bias", "**.*norm*.*", "**.*layrnorm.*", "**.class_embedding", "**.logit_scale"}}},
		After: func(int) { m.ClampLogitScale() },
	})
}

// language teaches a small Llama-like decoder to talk about scenes that are told in words. Now and then one gets
// stuck: it finds the row of a thing that is asked for, say, guesses the column, and stays there. So another start
// follows one that the validation questions find wanting, and the best is taken.
func (j *job) language(ctx context.Context, l *study.Lesson) (*study.Reader, error) {
	c := j.Preset.Text
	var best *study.Reader
	var most float64
	for _, name := range study.Starts {
		m, err := j.newReader(name)
		if err != nil {
			return nil, err
		}
		told := j.Telling(m)
		if err := study.Fit(ctx, j.Study, name, m, train.Stage[study.Page]{
			Name: "language", Batches: study.PageBatches(l, c, j.Preset.Language.Width), Steps: c.Steps,
			Schedule: warm(0.03), Betas: betas, Clip: 1,
			Groups:   []train.Group{{Params: "**", LR: c.LR}},
			Evaluate: []train.Evaluation{{Name: "told", Every: max(1, c.Steps/j.Preset.Curve), Run: told}},
		}); err != nil {
			return nil, err
		}
		right, err := told(ctx)
		if err != nil {
			return nil, err
		}
		if best == nil || right["told"] > most {
			best, most = m, right["told"]
		}
		if most >= j.Preset.Told {
			break
		}
		j.Printf("language · of %s's answers %.1f %% are right, of the %.1f %% that are wanted", name,
			100*right["told"], 100*j.Preset.Told)
	}
	return best, nil
}

// newCLIP draws both towers; name chooses the weights.
func (j *job) newCLIP(name string) (*vit.CLIP, error) {
	return vit.NewCLIP(j.World.Rand(name+"/start", 0), j.Preset.CLIP(j.World.Side(), j.Vocabulary))
}

// newReader draws the language model, and how it reads told cells; name chooses the weights.
func (j *job) newReader(name string) (*study.Reader, error) {
	m, err := llm.New(j.World.Rand(name+"/start", 0), j.Preset.Decoder(j.Vocabulary))
	if err != nil {
		return nil, err
	}
	return study.NewReader(j.World.Rand("reader/start", 0), m), nil
}

// join puts a fresh connector between the two.
func (j *job) join(clip *vit.CLIP, language llm.Model) (*connector.VLM, error) {
	w := j.World
	return llava.Join(w.Rand("connector/start", 0), clip.Tower(), language, vlmConfig(j.Preset, w.Side(), j.Vocabulary))
}

// alignAndTune is Liu et al.'s recipe: first the connector alone learns, on captions, to say what is seen in the
// language model's terms; then both learn from instructions. The vision tower stays frozen.
func (j *job) alignAndTune(ctx context.Context, l *study.Lesson, m *connector.VLM) error {
	align, tune := j.alignment(l), j.tuning(l, j.Preset.Tune, study.Instructions)
	align.Evaluate = []train.Evaluation{{Name: "captions", Run: j.Captioning(m)},
		{Name: "questions", Run: j.Questioning(m)}}
	tune.Evaluate = []train.Evaluation{{Name: "questions", Every: max(1, tune.Steps/j.Preset.Curve),
		Run: j.Questioning(m)}}
	return study.Fit(ctx, j.Study, "vlm", m, align, tune)
}

// alignment is stage 1.
func (j *job) alignment(l *study.Lesson) train.Stage[connector.Batch] {
	c := j.Preset.Align
	return train.Stage[connector.Batch]{
		Name: "align", Batches: pictureBatches(l, "align", c, study.Captions), Steps: c.Steps, Schedule: warm(0.03),
		Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: c.LR}},
	}
}

// tuning is stage 2.
func (j *job) tuning(l *study.Lesson, c study.Length, teach study.Course) train.Stage[connector.Batch] {
	return train.Stage[connector.Batch]{
		Name: "tune", Batches: pictureBatches(l, "tune", c, teach), Steps: c.Steps, Schedule: warm(0.03), Betas: betas,
		Clip:   1,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: c.LR}, {Params: "language_model.**", LR: c.LR}},
	}
}

// pictureBatches makes batch n of stage 1 or 2 from cached features.
func pictureBatches(l *study.Lesson, stage string, c study.Length, teach study.Course) train.Batches[connector.Batch] {
	samples := l.Samples(stage, c, teach)
	return func(_ context.Context, n int) (connector.Batch, error) {
		chosen := samples(n)
		var b connector.Batch
		b.IDs, b.Labels = l.Pad(chosen)
		var pictures []int
		for _, s := range chosen {
			pictures = append(pictures, s.Picture)
		}
		b.Features = l.Pool.Seen(pictures)
		return b, nil
	}
}

var betas = [2]float64{0.9, 0.95}

// warm is LLaVA's schedule with a floor: warm-up, then half a cosine.
func warm(ratio float64) train.Schedule {
	s := train.Cosine(ratio)
	s.Floor = 0.02
	return s
}
