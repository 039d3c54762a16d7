// Command quickstart trains a vision-language model from nothing, in minutes, on a laptop: LLaVA's whole recipe on a small world of coloured shapes, without a
// download. It draws the world, trains CLIP on it by contrast, a language model on text, joins the two, and shows what the result sees and what it only guesses.
//
//	go run ./examples/quickstart                     about six minutes on two cores
//	go run ./examples/quickstart -preset smoke       twenty seconds
//	go run ./examples/quickstart -chat               talk with it about an unseen picture
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
	"github.com/gollava/gollava/vit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	j, err := open(args, out)
	if err != nil {
		return err
	}
	if j.flags.chat {
		m, err := j.finished()
		if err != nil {
			return err
		}
		return j.chat(ctx, in, m)
	}
	err = j.recipe(ctx)
	if stopped := (*train.Stopped)(nil); ctx.Err() != nil && err != nil && !errors.As(err, &stopped) {
		return fmt.Errorf("stopped (%w); go on with: %s", err, j.command("-resume"))
	}
	return err
}

// recipe is the whole of it.
func (j *job) recipe(ctx context.Context) error {
	l := j.lesson() // pictures, what can be said about them, and the words to say it

	clip, err := j.clip(ctx, l) // which caption belongs to which picture?
	if err != nil {
		return err
	}
	language, err := j.language(ctx, l) // talks about scenes that are told in words
	if err != nil {
		return err
	}
	l.pool.look(clip.Tower(), j.selects()) // the tower is frozen from now on, so it looks once
	vlm, err := j.join(clip, language.Language)
	if err != nil {
		return err
	}
	if err := j.alignAndTune(ctx, l, vlm); err != nil { // stages 1 and 2
		return err
	}
	if err := j.export(clip, vlm); err != nil {
		return err
	}
	return j.judge(ctx, l, clip, vlm)
}

// clip is Radford et al.'s contrastive pre-training.
func (j *job) clip(ctx context.Context, l *lesson) (*vit.CLIP, error) {
	c := j.preset.Clip
	m, err := j.newCLIP("clip")
	if err != nil {
		return nil, err
	}
	return m, fit(ctx, j, "clip", &contrast{m}, train.Stage[pairs]{
		Name: "clip", Batches: pairBatches(l, c), Steps: c.Steps, Schedule: warm(0.05), Betas: [2]float64{0.9, 0.98}, Clip: 1,
		Groups: []train.Group{{Params: "**", LR: c.LR, WeightDecay: 0.05, NoDecay: []string{"**.bias", "**.*norm*.*", "**.*layrnorm.*", "**.class_embedding", "**.logit_scale"}}},
		After:  func(int) { m.ClampLogitScale() },
	})
}

// language teaches a small Llama-like decoder to talk about scenes that are told in words. Now and then one gets stuck: it finds the row of a thing that is asked for,
// say, guesses the column, and stays there. So another start follows one that the validation questions find wanting, and the best is taken.
func (j *job) language(ctx context.Context, l *lesson) (*reader, error) {
	c := j.preset.Text
	var best *reader
	var most float64
	for _, name := range starts {
		m, err := j.newReader(name)
		if err != nil {
			return nil, err
		}
		told := j.telling(m)
		if err := fit(ctx, j, name, m, train.Stage[page]{
			Name: "language", Batches: pageBatches(l, c, j.preset.Language.Width), Steps: c.Steps, Schedule: warm(0.03), Betas: betas, Clip: 1,
			Groups:   []train.Group{{Params: "**", LR: c.LR}},
			Evaluate: []train.Evaluation{{Name: "told", Every: max(1, c.Steps/j.preset.Curve), Run: told}},
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
		if most >= j.preset.Told {
			break
		}
		j.printf("language · of %s's answers %.1f %% are right, of the %.1f %% that are wanted", name, 100*right["told"], 100*j.preset.Told)
	}
	return best, nil
}

// starts are where a text stage and its repetitions live.
var starts = []string{"language", "language-2", "language-3"}

// newCLIP draws both towers; name chooses the weights.
func (j *job) newCLIP(name string) (*vit.CLIP, error) {
	return vit.NewCLIP(j.world.Rand(name+"/start", 0), j.preset.clipConfig(j.world.Side(), j.vocabulary))
}

// newReader draws the language model, and how it reads told cells; name chooses the weights.
func (j *job) newReader(name string) (*reader, error) {
	m, err := llm.New(j.world.Rand(name+"/start", 0), j.preset.languageConfig(j.vocabulary))
	if err != nil {
		return nil, err
	}
	return newReader(j.world.Rand("reader/start", 0), m), nil
}

// join puts a fresh connector between the two.
func (j *job) join(clip *vit.CLIP, language llm.Model) (*connector.VLM, error) {
	w := j.world
	return llava.Join(w.Rand("connector/start", 0), clip.Tower(), language, j.preset.vlmConfig(w.Side(), j.vocabulary))
}

// alignAndTune is Liu et al.'s recipe: first the connector alone learns, on captions, to say what is seen in the language model's terms; then both learn from
// instructions. The vision tower stays frozen.
func (j *job) alignAndTune(ctx context.Context, l *lesson, m *connector.VLM) error {
	align, tune := j.alignment(l), j.tuning(l, j.preset.Tune)
	align.Evaluate = []train.Evaluation{{Name: "captions", Run: j.captioning(m)}, {Name: "questions", Run: j.questioning(m)}}
	tune.Evaluate = []train.Evaluation{{Name: "questions", Every: max(1, tune.Steps/j.preset.Curve), Run: j.questioning(m)}}
	return fit(ctx, j, "vlm", m, align, tune)
}

// alignment is stage 1.
func (j *job) alignment(l *lesson) train.Stage[connector.Batch] {
	c := j.preset.Align
	return train.Stage[connector.Batch]{
		Name: "align", Batches: pictureBatches(l, "align", c, captions), Steps: c.Steps, Schedule: warm(0.03), Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: c.LR}},
	}
}

// tuning is stage 2.
func (j *job) tuning(l *lesson, c Length) train.Stage[connector.Batch] {
	return train.Stage[connector.Batch]{
		Name: "tune", Batches: pictureBatches(l, "tune", c, instructions), Steps: c.Steps, Schedule: warm(0.03), Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: c.LR}, {Params: "language_model.**", LR: c.LR}},
	}
}

var betas = [2]float64{0.9, 0.95}

// warm is LLaVA's schedule with a floor: warm-up, then half a cosine.
func warm(ratio float64) train.Schedule {
	s := train.Cosine(ratio)
	s.Floor = 0.02
	return s
}
