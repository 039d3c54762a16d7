// Command seem trains a SEEM from nothing on the built-in world of coloured shapes: one model that is to find what
// words, clicks, strokes and boxes mean, to improve its answer click by click, and to find all objects without being
// asked. docs/embed-and-segment.md has what was reached, on which -gate insists, beside the goals.
//
//	go run ./examples/seem                  -out run
//	go run ./examples/seem -preset smoke    under a minute
//
// The model is written to -out, and with it masks.png, which shows prompts and the masks that they give.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// preset is how long everything takes.
type preset struct{ steps, batch, test int }

var presets = map[string]preset{"default": {1600, 16, 200}, "smoke": {6, 4, 6}}

// sets is the share of spatial prompts that mean two or three objects, of which the first click shows one.
const sets = 0.35

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "seem:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("seem", flag.ContinueOnError)
	flags.SetOutput(out)
	name := flags.String("preset", "default", "default, or smoke")
	seed := flags.Uint64("seed", 1, "of the world, the weights and the order")
	steps := flags.Int("steps", 0, "optimizer steps; 0: the preset's")
	test := flags.Int("test", 0, "scenes of each test; 0: the preset's")
	dir := flags.String("out", "",
		"folder for the model and a sheet of its masks, where a stopped run goes on; none: nothing is kept")
	gate := flags.Bool("gate", false, "fail if a score falls short of the default preset's goals")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, ok := presets[*name]
	if !ok {
		return fmt.Errorf("-preset %q: there are default and smoke", *name)
	}
	if *steps > 0 {
		p.steps = *steps
	}
	if *test > 0 {
		p.test = *test
	}
	c := shapes.Default(*seed)
	c.Signs = 0
	w, err := shapes.New(c)
	if err != nil {
		return err
	}
	s, err := newStudent(w, *seed)
	if err != nil {
		return err
	}
	stage := train.Stage[batch]{Name: "seem", Batches: train.Prefetch(s.batches(p), 2), Steps: p.steps,
		Schedule: train.Cosine(0.05), Clip: 1,
		Groups: []train.Group{{Params: "**", LR: 1.5e-3, WeightDecay: 0.01}}, Every: 100}
	options := train.Options{Progress: out}
	if *dir != "" {
		options.Dir, options.Resume, options.Signals = filepath.Join(*dir, "training"), true, true
	}
	if _, err := train.Run(ctx, s, options, stage); err != nil {
		return err
	}
	got := s.judge(p, out)
	if *dir != "" {
		if err := seem.Save(*dir, s.Model, nn.SaveOptions{}); err != nil {
			return err
		}
		if err := s.sheet(filepath.Join(*dir, "masks.png")); err != nil {
			return err
		}
	}
	if *gate {
		return got.gate()
	}
	return nil
}

// student is a model, the world that it lives in, and what its losses draw points with.
type student struct {
	Model *seem.Model `param:",inline"`

	world   *shapes.World
	words   *study.Vocabulary
	classes *tensor.Tensor // ids of the thirty names, and of none
	seed    uint64
}

func newStudent(w *shapes.World, seed uint64) (*student, error) {
	s := &student{world: w, words: study.NewVocabulary(), seed: seed}
	c := seem.FocalLarge()
	// masks of every second pixel; levels of 6×6, 12×12 and 24×24, and group norms that leave colour
	c.Focal.EmbedDim, c.Focal.StemStride, c.Focal.Downsample = 24, 2, [3]int{1, 2, 2}
	c.Encoder.Groups = 8
	c.Focal.Depths, c.Focal.Levels = [4]int{1, 1, 1, 1}, [4]int{2, 2, 2, 2}
	c.Encoder.ConvDim, c.Encoder.MaskDim, c.Encoder.Layers, c.DimProj = 64, 64, 1, 64
	d := &c.Decoder
	d.HiddenDim, d.Heads, d.FeedForward, d.Layers = 64, 4, 256, 4
	d.Queries, d.PerPrompt, d.Memories, d.Points = 8, 8, 4, [4]int{64, 64, 64, 64}
	c.Text = seem.TextConfig{ContextLength: 24, VocabSize: s.words.Size(), Width: 48, Layers: 2, Heads: 4}
	c.Input = seem.InputConfig{Mean: [3]float32{217, 217, 217}, Std: [3]float32{64, 64, 64}, Size: w.Side()}
	m, err := seem.New(rand.New(rand.NewPCG(seed, 1)), c)
	if err != nil {
		return nil, err
	}
	for name, p := range nn.Params(m) { // the authors' first values are for longer training
		factor := float32(1)
		switch {
		case strings.Contains(name, "gamma_"):
			p.Fill(0.3)
		case strings.HasSuffix(name, "mask_embed.layers.2.weight"):
			factor = 0.15 // mask logits begin at the size of 1
		case strings.HasSuffix(name, "mask_sptial_embed.0"), strings.HasSuffix(name, "mask_sptial_embed.1"),
			strings.HasSuffix(name, "mask_sptial_embed.2"), strings.HasSuffix(name, "class_embed"),
			strings.HasSuffix(name, "lang_proj"),
			strings.HasSuffix(name, "token_embedding.weight"):
			factor = 6 // N(0, 0.02²) is too little
		case p.Rank() == 2 && strings.HasPrefix(name, "backbone."):
			factor = 50 / float32(math.Sqrt(float64(p.Dim(1)))) // a step is small against N(0, 1/n)
		case p.Rank() == 2 && strings.Contains(name, ".resblocks."):
			factor = 35 / float32(math.Sqrt(float64(p.Dim(1))))
		}
		for i, v := range p.Data() {
			p.Data()[i] = v * factor
		}
	}
	m.Decoder.Language.LogitScale.Fill(2)
	s.Model = m
	var names []string
	for _, p := range shapes.AllPairs() {
		names = append(names, fmt.Sprintf("%v %v", p.Color, p.Shape))
	}
	s.classes = s.texts(append(names, "nothing"))
	return s, nil
}

// texts are ids, padded with ends of text. The end must have the largest id, so it changes places with the last word.
func (s *student) texts(list []string) *tensor.Tensor {
	ids, _ := s.words.Texts(list)
	most := int32(s.words.Size() - 1)
	for i, id := range ids.IntData() {
		switch id {
		case s.words.EOS, s.words.Pad:
			ids.IntData()[i] = most
		case most:
			ids.IntData()[i] = s.words.EOS
		}
	}
	return ids
}

// lengths are how many ids of each text are real.
func (s *student) lengths(ids *tensor.Tensor) (n []int32) {
	B, T := ids.Dims2()
	for b := range B {
		t := 0
		for t < T && ids.IntData()[b*T+t] != int32(s.words.Size()-1) {
			t++
		}
		n = append(n, int32(min(t+1, T)))
	}
	return n
}

// batch is pictures, and for each a phrase and a spatial prompt with what they mean.
type batch struct {
	pixels  *tensor.Tensor // 0 … 255, [B, 3, S, S]
	others  *tensor.Tensor // the pictures that the strokes are drawn in; nil: the same
	objects [][]seem.Mask  // of each picture
	labels  [][]int        // their classes
	ids     *tensor.Tensor // of the phrases, [B, T]
	phrase  []seem.Mask    // what they mean
	strokes []seem.Strokes
	meant   []seem.Mask // by the strokes
	rounds  int         // of simulated clicks before
	draw    uint64      // seed of the points of the losses
}

// In is b in scope a.
func (b batch) In(a *tensor.Arena) batch {
	if b.pixels, b.ids = b.pixels.In(a), b.ids.In(a); b.others != nil {
		b.others = b.others.In(a)
	}
	return b
}

// Reaches implements [train.Partial]: memory tokens take part from the second round of clicks on.
func (b batch) Reaches(parameter string) bool {
	return b.rounds > 0 || !strings.Contains(parameter, ".spatial_embed.") && !strings.Contains(parameter,
		".spatial_featured.")
}

// stack is masks as a tensor: [n, S, S] of 0 and 1.
func stack(list ...seem.Mask) *tensor.Tensor {
	t := tensor.New(len(list), list[0].H, list[0].W)
	for i, m := range list {
		for j, on := range m.On {
			if on {
				t.Data()[i*len(m.On)+j] = 1
			}
		}
	}
	return t
}

func each(masks []seem.Mask) (list []*tensor.Tensor) {
	for _, m := range masks {
		list = append(list, stack(m))
	}
	return list
}

// Loss is that of all three kinds of prompts, averaged over the layers.
func (s *student) Loss(b batch) *tensor.Tensor {
	d := s.Model.Decoder
	v := s.Model.View(s.Model.Normalize(b.pixels))
	c := seem.NewCriterion(seem.Cells(rand.New(rand.NewPCG(s.seed, b.draw)), 24))
	c.Points, c.Importance, c.None = 24*24, 0, 0.2 // all of a mask, for most of it is never uncertain
	in := b.pixels.Arena()
	classes := d.Language.Classes(s.classes.In(in))
	words := d.Language.Words(b.ids)
	phrases := d.Language.Phrases(b.ids, words) // [B, E]
	var said []seem.Phrases
	var objects []*tensor.Tensor
	for i := range b.phrase {
		said = append(said, seem.Phrases{Embed: phrases.Slice(0, i, i+1), Class: true})
		objects = append(objects, stack(b.objects[i]...))
	}
	var sum *tensor.Tensor
	add := func(l seem.Losses, ce float32) {
		t := l.Total(ce, 5, 5)
		if sum != nil {
			t = sum.Add(t)
		}
		sum = t
	}
	p := d.Objects(v)
	for _, p := range p {
		add(c.Objects(d.Logits(p.Class, classes), p.Masks, objects, b.labels), 2)
	}
	for _, p := range d.Ground(v, seem.Words{States: words, Lengths: s.lengths(b.ids)}) {
		add(c.Ground(p.Class, p.Masks, each(b.phrase), said, d.Language.LogitScale), 1.6) // names of classes count half
	}
	prompt, strokes := s.prompt(b.strokes), b.strokes
	for range b.rounds {
		_, prompt.Previous = s.answer(v.NoGrad(), v.NoGrad(), prompt)
		strokes = s.click(prompt.Previous, b.meant, strokes, 0.925)
		prompt.Prompts = s.prompt(strokes).Prompts
	}
	on := v
	if b.others != nil {
		on = s.Model.View(s.Model.Normalize(b.others))
	}
	e := d.Encode(on, prompt)
	for _, p := range d.Prompt(v, e) {
		add(c.Spatial(p.Embed, p.Masks, e.Positive, each(b.meant)), 0.8)
	}
	return sum.Scale(1 / float32(3*len(p)))
}

// prompt is one spatial prompt a picture.
func (s *student) prompt(strokes []seem.Strokes) seem.Spatial {
	p := seem.Spatial{H: s.world.Side(), W: s.world.Side()}
	for _, one := range strokes {
		p.Prompts = append(p.Prompts, []seem.Strokes{one})
	}
	return p
}

// answer is what a prompt on one view means in another: masks, and their logits [B, 1, h, w].
func (s *student) answer(on, v *seem.View, p seem.Spatial) ([]seem.Mask, *tensor.Tensor) {
	d := s.Model.Decoder
	e := d.Encode(on, p)
	layers := d.Prompt(v, e)
	last := layers[len(layers)-1]
	logits := seem.Chosen(last, d.Answer(last, e)).Detach()
	return s.masks(logits), logits
}

// masks are logits [B, 1, h, w] above 0.
func (s *student) masks(logits *tensor.Tensor) (list []seem.Mask) {
	B, _, h, w := logits.Dims4()
	for b := range B {
		list = append(list, seem.MaskOf(logits.Slice(0, b, b+1).Reshape(h, w), s.world.Side(), s.world.Side()))
	}
	return list
}

// click adds the next click of each picture.
func (s *student) click(logits *tensor.Tensor, meant []seem.Mask, strokes []seem.Strokes,
	enough float64) []seem.Strokes {
	next := make([]seem.Strokes, len(strokes))
	for i, m := range s.masks(logits) {
		next[i], _ = seem.NextClick(meant[i], m, strokes[i], enough)
	}
	return next
}
