package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// lesson is a part of the curriculum. Every picture is drawn anew.
type lesson struct {
	Name                string
	Steps, Batch        int
	Schedule            string  // of the learning rates, after five steps of warm-up
	Projector, Adapters float64 // learning rates; 0: do not train
	YesNo               float64 // share of conversations that ask yes or no; the others ask what it is
	Replay              int     // every so many samples one is a text without a picture; 0: none
}

// plain reports whether the lesson's texts follow a picture without a question, as in LLaVA's first stage.
func (l lesson) plain() bool { return strings.HasPrefix(l.Name, "names") }

// lessons are the curriculum. The first is stage 1: the projector alone. A frozen language model of this size does not
// learn to say the names by it, so that stage 2 begins with the same texts for the adapters too, before conversations.
func (o options) lessons() []lesson {
	constant := "constant_with_warmup"
	all := []lesson{
		{Name: "names", Steps: 250, Batch: 16, Schedule: "cosine", Projector: 1e-3},
		{Name: "names-2", Steps: 360, Batch: 16, Schedule: constant, Projector: 5e-4, Adapters: 8e-4},
		{Name: "questions", Steps: 80, Batch: 4, Schedule: constant, Projector: 3e-4, Adapters: 4e-4, Replay: 3},
		{Name: "yes-no", Steps: 70, Batch: 4, Schedule: constant, Projector: 3e-4, Adapters: 4e-4, YesNo: 0.8, Replay: 3},
		{Name: "everything", Steps: 80, Batch: 4, Schedule: "cosine", Projector: 3e-4, Adapters: 4e-4, YesNo: 0.4,
			Replay: 3},
	}
	for i, l := range all {
		all[i].Steps = max(1, int(o.Length*float64(l.Steps)))
	}
	return all
}

// The ways to ask. The exam asks the first.
var (
	askName     = []string{"What is this?", "What does the picture show?", "What do you see?", "Name this."}
	askCategory = []string{"Which category does it belong to?", "What category is this?"}
	askKind     = []string{"What kind of thing is it?", "What type is it?"}
	askWhether  = []string{"Is this %s?", "Does the picture show %s?", "Do you see %s?"}
)

// say is what a lesson says about a thing. No turn answers a later one: category, kind and name each say more than the
// one before, and after a yes there is nothing left to ask.
func (l lesson) say(t study.Thing, learnt []study.Thing, r *rand.Rand) (turns []chat.Turn) {
	add := func(ways []string, answer string) {
		turns = append(turns, chat.Turn{From: chat.Human, Value: ways[r.IntN(len(ways))]},
			chat.Turn{From: chat.GPT, Value: answer})
	}
	switch {
	case l.plain():
		text := t.Name
		if r.IntN(2) == 0 {
			text = t.Sort() + ": " + t.Name
		}
		add([]string{""}, text)
	case r.Float64() < l.YesNo:
		for range 4 {
			if r.IntN(2) == 0 {
				add(whether(t.Name), "Yes")
				break
			}
			add(whether(other(t, learnt, r.IntN(5) < 3, r).Name), "No")
		}
	default:
		if r.IntN(2) == 0 {
			add(askCategory, t.Category)
		}
		if t.Kind != "" && r.IntN(2) == 0 {
			add(askKind, t.Kind)
		}
		if len(turns) == 0 || r.IntN(4) > 0 {
			add(askName, t.Name)
		}
	}
	return turns
}

// whether asks yes or no.
func whether(name string) (ways []string) {
	for _, way := range askWhether {
		ways = append(ways, fmt.Sprintf(way, name))
	}
	return ways
}

// other is another thing, of the same kind if there is one and it is to be like, else of any.
func other(t study.Thing, learnt []study.Thing, like bool, r *rand.Rand) study.Thing {
	pool := slices.DeleteFunc(slices.Clone(learnt), func(u study.Thing) bool {
		return u.Name == t.Name || like && u.Sort() != t.Sort()
	})
	if len(pool) == 0 {
		return other(t, learnt, false, r)
	}
	return pool[r.IntN(len(pool))]
}

// file is the lesson's data in LLaVA's form.
func (l lesson) file(dir string) string { return filepath.Join(dir, l.Name+".json") }

// write writes the lessons to a folder, each as LLaVA's json with images. Some samples are a text without an image.
// What an earlier call wrote in full is kept.
func (o options) write(ctx context.Context, dir string, learnt []study.Thing, before *connector.Assistant) error {
	var texts [][]chat.Turn
	for _, l := range o.lessons() {
		if _, err := os.Stat(l.file(dir)); err == nil {
			continue
		}
		if l.Replay > 0 && texts == nil {
			var err error
			if texts, err = study.Replay(ctx, before, o.Replayed); err != nil {
				return err
			}
		}
		if err := study.WriteSamples(dir, l.Name, l.Steps*l.Batch, l.Replay, texts, func(i int) (image.Image, []chat.Turn) {
			r := o.rand(l.Name, i)
			t := learnt[o.rand(l.Name+"/order", i/len(learnt)).Perm(len(learnt))[i%len(learnt)]]
			return o.drawn(t, r), l.say(t, learnt, r)
		}); err != nil {
			return err
		}
	}
	return nil
}

// drawn is a varied picture of a thing.
func (o options) drawn(t study.Thing, r *rand.Rand) *image.RGBA {
	x := t.Draw(nil, o.Side, true, r) // [3, S, S]
	m := image.NewRGBA(image.Rect(0, 0, o.Side, o.Side))
	for i := range o.Side * o.Side {
		for c := range 3 {
			m.Pix[4*i+c] = uint8(x[c*o.Side*o.Side+i]*255 + 0.5)
		}
		m.Pix[4*i+3] = 255
	}
	return m
}

// tune joins tower and language model and trains them: stage 1, then stage 2.
func (o options) tune(ctx context.Context, n *study.Naming, clip *vit.CLIP, before *connector.Assistant,
	out io.Writer) (*connector.Assistant, error) {
	learnt, tower := n.Things, filepath.Join(o.out, "tower")
	if err := o.write(ctx, o.lessonDir(), learnt, before); err != nil {
		return nil, err
	}
	if err := study.Centre(tower, clip.Tower(), n.Processor, len(learnt), func(i int) image.Image {
		return study.OnWhite(learnt[i].Shown[0])
	}); err != nil {
		return nil, err
	}
	lessons, projector := o.lessons(), filepath.Join(o.out, "align")
	if _, err := os.Stat(filepath.Join(projector, "config.json")); err != nil {
		if _, err := o.stage(ctx, llava.Config{Stage: "align", Vision: tower, ProjectorType: "linear", Merge: o.Merge,
			Out: projector}, lessons[:1], out); err != nil {
			return nil, err
		}
	}
	return o.stage(ctx, llava.Config{Stage: "lora", Vision: tower, ProjectorType: "linear", Merge: o.Merge,
		Projector: projector, System: new(string), Out: filepath.Join(o.out, "tune"),
		LoRA: llava.LoRA{Rank: 16, Alpha: 32, Dropout: new(float64)}}, lessons[1:], out)
}

// lessonDir is the folder of the lessons' data.
func (o options) lessonDir() string { return filepath.Join(o.out, "data") }

// stage trains what c describes through lessons and saves it.
func (o options) stage(ctx context.Context, c llava.Config, lessons []lesson, out io.Writer) (
	*connector.Assistant, error) {
	dir := o.lessonDir()
	c.LLM, c.Data, c.Images, c.DType, c.Seed = o.llm, lessons[0].file(dir), dir, "float32", o.seed
	c.Batch, c.Steps, c.MaxLength = 1, 1, 512 // the lessons have their own
	r, err := llava.Open(ctx, c, out)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if c.Projector == "" {
		study.Shrink(r.Assistant().Model)
	}
	like, err := r.Stage(ctx)
	if err != nil {
		return nil, err
	}
	var stages []train.Stage[connector.Batch]
	for _, l := range lessons {
		s, err := study.FromFile(like, *r.Assistant(), l.file(dir), dir, l.Batch, l.plain())
		if err != nil {
			return nil, err
		}
		s.Name, s.Steps, s.Betas, s.Every = l.Name, l.Steps, [2]float64{0.9, 0.99}, 50
		s.Schedule = train.Schedule{Kind: l.Schedule, WarmupSteps: min(5, l.Steps)}
		s.Groups = []train.Group{{Params: "multi_modal_projector.**", LR: l.Projector}}
		if l.Adapters > 0 {
			s.Groups = append(s.Groups, train.Group{Params: "**.lora_*.**", LR: l.Adapters})
		}
		s.Config = []any{s.Config, l}
		stages = append(stages, s)
	}
	if _, err := train.Run(ctx, r.Assistant().Model, train.Options{Dir: filepath.Join(c.Out, "checkpoints"),
		Progress: out, Signals: true, Resume: true}, stages...); err != nil {
		return nil, err
	}
	return r.Assistant(), r.Save()
}

// same reports whether an answer is the one wanted.
func same(answer, want string) bool {
	return strings.EqualFold(strings.Trim(answer, " ."), want)
}
