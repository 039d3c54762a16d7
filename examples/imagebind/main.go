// Command imagebind binds sounds, depth maps and texts that never met: an ImageBind is trained from nothing on pairs
// with a picture alone, on the built-in world of coloured shapes, and then finds texts by sounds.
//
//	go run ./examples/imagebind                  -out run
//	go run ./examples/imagebind -preset smoke    under a minute
//
// Pictures and texts are trained first and frozen; then a tower for sounds learns from picture–sound pairs, and one for
// depth from picture–depth pairs. The model is written to -out, for `gollava inspect` and package imagebind, with a
// contact sheet, found.png: sounds and depth maps, and the five texts that each finds first. What was reached is in
// docs/embed-and-segment.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/data/audio"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit/imagebind"
)

// preset is how long everything takes.
type preset struct{ look, listen, batch, pool, gallery int }

var presets = map[string]preset{
	"default": {look: 2200, listen: 1000, batch: 64, pool: 6000, gallery: 100},
	"smoke":   {look: 16, listen: 8, batch: 12, pool: 64, gallery: 20},
}

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "imagebind:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("imagebind", flag.ContinueOnError)
	flags.SetOutput(out)
	name := flags.String("preset", "default", "default, or smoke")
	seed := flags.Uint64("seed", 1, "of the world, the weights and the order")
	dir := flags.String("out", "",
		"folder for the model and a sheet of what it finds, where a stopped run goes on; none: nothing is kept")
	gate := flags.Bool("gate", false, "fail if a score falls short of the default preset's goals")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, ok := presets[*name]
	if !ok {
		return fmt.Errorf("-preset %q: there are default and smoke", *name)
	}
	w, err := shapes.New(shapes.Default(*seed))
	if err != nil {
		return err
	}
	b, err := newBinder(w, *seed)
	if err != nil {
		return err
	}
	b.dir = *dir
	if err := b.look(ctx, p, out); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nbefore the towers of sound and depth are trained:")
	if _, err := b.judge(p, out); err != nil {
		return err
	}
	for _, kind := range []imagebind.Modality{imagebind.Audio, imagebind.Depth} {
		if err := b.bind(ctx, kind, p, out); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "\nafter:")
	got, err := b.judge(p, out)
	if err != nil {
		return err
	}
	if *dir != "" {
		if err := imagebind.Save(*dir, b.Model, nn.SaveOptions{}); err != nil {
			return err
		}
		if err := b.sheet(filepath.Join(*dir, "found.png")); err != nil {
			return err
		}
	}
	if *gate {
		return got.gate()
	}
	return nil
}

// binder is a model, the world that it lives in, and what it hears with.
type binder struct {
	*imagebind.Model
	world *shapes.World
	words *study.Vocabulary
	ear   audio.Processor
	dir   string // of the run; empty: none
}

// options are those of a stage, which goes on where it was stopped if there is a folder.
func (b *binder) options(stage string, out io.Writer) train.Options {
	o := train.Options{Progress: out}
	if b.dir != "" {
		o.Dir, o.Resume, o.Signals = filepath.Join(b.dir, "training", stage), true, true
	}
	return o
}

func newBinder(w *shapes.World, seed uint64) (*binder, error) {
	b := &binder{world: w, words: study.NewVocabulary(), ear: audio.Processor{
		FilterBank: audio.FilterBank{Rate: shapes.SoundRate, Bins: 32, Frame: 25, Shift: 10, Low: 80, High: 6000},
		Frames:     48, Clips: 1, Seconds: 0.5, Mean: -3, Std: 4}}
	c := imagebind.Huge()
	c.Modalities = []imagebind.Modality{imagebind.Vision, imagebind.Text, imagebind.Audio, imagebind.Depth}
	c.EmbedDim, c.PositionStd, c.AudioDropPath = 64, 1, 0
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 64, 3, 4, [2]int{w.Side(), 8}
	c.TextDim, c.TextBlocks, c.TextHeads, c.VocabSize, c.ContextLength = 64, 2, 4, b.words.Size(), 24
	c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioShape, c.AudioKernel = 64, 2, 4, [2]int{32, 48}, [2]int{8, 4}
	c.DepthDim, c.DepthBlocks, c.DepthHeads, c.DepthPatch = 64, 2, 4, [2]int{w.Side(), 8}
	m, err := imagebind.New(rand.New(rand.NewPCG(seed, 1)), c)
	b.Model = m
	return b, err
}

// pictures are [B, 3, S, S]; their brightness is near white, so mean and deviation are those of the study.
func pictures(scenes []shapes.Scene) *tensor.Tensor {
	return study.Pixels(scenes, func(v float32) float32 { return (v/255 - 0.85) / 0.25 })
}

// texts are ids [B, 32], filled up with zeros. The end of a text must have the largest id of all, so that the head
// finds it: ids are counted from the end of the vocabulary.
func (b *binder) texts(list []string) *tensor.Tensor {
	ids, _ := b.words.Texts(list)
	n, T := ids.Dims2()
	L, most := b.Config().ContextLength, int32(b.words.Size()-1)
	out := make([]int32, n*L)
	for i := range n {
		for t, id := range ids.IntData()[i*T : (i+1)*T] {
			switch {
			case t >= L || id == b.words.Pad:
			case id == b.words.EOS:
				out[i*L+t] = most
			case id == most:
				out[i*L+t] = b.words.EOS
			default:
				out[i*L+t] = id
			}
		}
	}
	return tensor.WrapInts(out, n, L)
}

// senses are what a tower other than that of pictures and texts reads of scenes.
func (b *binder) senses(kind imagebind.Modality, scenes []shapes.Scene) (*tensor.Tensor, error) {
	S := b.world.Side()
	if kind == imagebind.Depth {
		x := tensor.New(len(scenes), 1, S, S)
		for i, s := range scenes {
			copy(x.Data()[i*S*S:], s.Depth())
		}
		return x, nil
	}
	x := tensor.New(len(scenes), 1, b.ear.Bins, b.ear.Frames)
	for i, s := range scenes {
		clip, err := b.ear.Inputs(audio.Wave{Rate: shapes.SoundRate, Channels: [][]float32{s.Sound()}})
		if err != nil {
			return nil, err
		}
		copy(x.Data()[i*clip.Len():], clip.Data())
	}
	return x, nil
}

// scene is a training scene of one or two objects without a sign.
func (b *binder) scene(split shapes.Split, i, most int) shapes.Scene {
	return b.world.Scene(split, i, shapes.Options{MinObjects: 1, MaxObjects: most, Sign: shapes.NoSign})
}
