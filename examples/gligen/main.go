// Command gligen trains a text-to-image model from nothing on the world of coloured shapes: a small CLIP, an
// autoencoder, and a UNet on its latents which draws what CLIP's text tower says. It then adds boxes as GLIGEN does:
// new gated layers, which at first change nothing, and only these train. What was reached is in docs/draw.md.
//
//	go run ./examples/gligen            all stages, with scores and contact sheets; goes on where it was stopped
//	go run ./examples/gligen -smoke     the same in seconds, which learns nothing
//	go run ./examples/gligen -describe run/model    the same, described by the quickstart's model
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
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "gligen:", err)
		os.Exit(1)
	}
}

// recipe is how wide the model is, and how long it trains.
type recipe struct {
	widths       []int
	clip, vae    int // steps of the stages
	base, gated  int
	batch        int // images of a step, four times as many for CLIP
	tests, steps int // images drawn for the scores, steps of the sampler
	objects      int // of a scene at most, 1 or 2
	seed         uint64

	reader *connector.Assistant // describes what is drawn; may be nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("gligen", flag.ContinueOnError)
	flags.SetOutput(out)
	r := recipe{widths: []int{64, 96}, clip: 400, vae: 900, batch: 16, tests: 48, steps: 20, objects: 1}
	smoke := flags.Bool("smoke", false, "some seconds, which learn nothing")
	dir := flags.String("out", "gligen-shapes", "folder for checkpoints and contact sheets")
	flags.Uint64Var(&r.seed, "seed", 1, "of the world, the weights and the order")
	flags.IntVar(&r.objects, "objects", 1, "of a scene at most, 1 or 2")
	flags.IntVar(&r.base, "base", 2500, "steps of the text-to-image model")
	flags.IntVar(&r.gated, "gated", 1000, "steps of the gated layers")
	describe := flags.String("describe", "", "folder of the quickstart's model, which then describes what is drawn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *describe != "" {
		var err error
		if r.reader, err = llava.Open(*describe, llava.LoadOptions{}); err != nil {
			return err
		}
	}
	if *smoke {
		r.clip, r.vae, r.base, r.gated, r.batch, r.widths, r.tests, r.steps = 20, 20, 40, 20, 8, []int{16, 32}, 4, 6
	}
	return learn(ctx, r, *dir, out)
}

func learn(ctx context.Context, r recipe, dir string, out io.Writer) error {
	c := shapes.Smoke(r.seed) // 32×32 pixels, 2×2 cells
	c.MinObjects, c.MaxObjects = 1, r.objects
	world, err := shapes.New(c)
	if err != nil {
		return err
	}
	p, clip, err := newPipeline(world, r)
	if err != nil {
		return err
	}
	options := func(stage string) train.Options {
		return train.Options{Dir: filepath.Join(dir, stage), Resume: true, Progress: out, Signals: true}
	}
	first := train.Stage[pairs]{Name: "clip", Steps: r.clip, Batches: pairBatches(p, world, r),
		Groups:   []train.Group{{Params: "clip.**", LR: 2e-3, WeightDecay: 0.01}},
		Schedule: train.Cosine(0.05), Clip: 1}
	if _, err := train.Run(ctx, &contrast{clip}, options("clip"), first); err != nil {
		return err
	}
	p.Text = clip.TextTower()
	second := train.Stage[views]{Name: "vae", Steps: r.vae, Batches: viewBatches(p, world, r),
		Groups:   []train.Group{{Params: "vae.**", LR: 3e-3}},
		Schedule: train.Cosine(0.05), Clip: 1, Betas: [2]float64{0.9, 0.99}}
	if _, err := train.Run(ctx, &autoencoder{p.VAE.(*unet.VAE)}, options("vae"), second); err != nil {
		return err
	}
	stage := func(name string, steps int, boxes bool, groups ...train.Group) train.Stage[gligen.Batch] {
		return train.Stage[gligen.Batch]{Name: name, Steps: steps, Groups: groups, Batches: batches(p, world, r, boxes),
			Schedule: train.Cosine(0.05), Clip: 1, Betas: [2]float64{0.9, 0.99}, EMA: 1 - 1/max(float64(steps)/20, 2),
			Every: 500, Evaluate: []train.Evaluation{{Name: "drawn", Every: 500, Run: watch(p, world, r, boxes)}}}
	}
	stages := []train.Stage[gligen.Batch]{
		stage("base", r.base, false,
			train.Group{Params: "unet.**", Except: gligen.NewLayers(), LR: 2e-3, WeightDecay: 0.01},
			train.Group{Params: "text_encoder.**", LR: 5e-4, WeightDecay: 0.01}),
		stage("gated", r.gated, true,
			train.Group{Params: "unet.**.fuser.**", Except: []string{"**.alpha_*"}, LR: 2e-3},
			train.Group{Params: "unet.position_net.**", LR: 2e-3},
			train.Group{Params: "unet.**.alpha_*", LR: 2e-2}), // gates open slowly at the rate of the rest
	}
	for i, s := range stages {
		if _, err := train.Run(ctx, p, options(s.Name), s); err != nil {
			return err
		}
		if err := report(ctx, p, world, r, filepath.Join(dir, s.Name+".png"), i > 0, out); err != nil {
			return err
		}
	}
	return nil
}

// newPipeline builds the model from nothing: an autoencoder, a UNet on its latents, and the text tower of a CLIP that
// is to be trained before it.
func newPipeline(w *shapes.World, r recipe) (*gligen.Pipeline, *vit.CLIP, error) {
	words := " " + strings.Join(shapes.Vocabulary(), " ") // a token holds the space before its word
	tok, err := tokenizer.Train(slices.Values([]string{"an", words, words, "an"}), tokenizer.TrainConfig{Size: 512,
		Words: true, Specials: []string{"<|startoftext|>", "<|endoftext|>"}, BOS: "<|startoftext|>", EOS: "<|endoftext|>",
		Pad: "<|endoftext|>"})
	if err != nil {
		return nil, nil, err
	}
	random := rand.New(rand.NewPCG(r.seed, 1))
	clip, err := newCLIP(random, w.Side(), tok)
	if err != nil {
		return nil, nil, err
	}
	c := unet.StableDiffusion()
	c.SampleSize = w.Side() / 4
	c.BlockOutChannels, c.LayersPerBlock, c.Heads, c.NormNumGroups = r.widths, unet.Levels{1}, unet.Levels{4}, 8
	c.DownBlockTypes, c.UpBlockTypes = []string{unet.CrossDown, unet.CrossDown}, []string{unet.CrossUp, unet.CrossUp}
	c.CrossAttentionDim, c.AttentionType = 48, unet.Gated
	u, err := unet.New(random, c)
	if err != nil {
		return nil, nil, err
	}
	// He's initial weights: with PyTorch's, 2 % of what leaves the three layers depends on the box, with these 21 %
	for _, l := range []nn.Layer{u.Position.Linears.First, u.Position.Linears.Second, u.Position.Linears.Third} {
		l := l.(*nn.Linear)
		for i, v := range l.Weight.Data() {
			l.Weight.Data()[i] = v * float32(math.Sqrt(6))
		}
		l.Bias.Fill(0)
	}
	s := diffusion.StableDiffusion()
	s.PredictionType = "v_prediction"
	// Stable Diffusion's schedule leaves 7 % of the image at its noisiest. That shows where a shape of this size is, so
	// that nothing is to be learnt from a box; DDPM's schedule leaves 0.6 %.
	s.BetaSchedule, s.BetaStart, s.BetaEnd = "linear", 1e-4, 0.02
	s.TimestepSpacing, s.SetAlphaToOne = "trailing", true
	schedule, err := diffusion.New(s)
	if err != nil {
		return nil, nil, err
	}
	vae, err := newVAE(random, w.Side())
	if err != nil {
		return nil, nil, err
	}
	p := &gligen.Pipeline{UNet: u, VAE: vae, Text: clip.TextTower(), Tokenizer: tok, Schedule: schedule, Slots: 2}
	return p, clip, p.Validate()
}

// pixels are scenes in −1…1, [B, 3, S, S].
func pixels(scenes []shapes.Scene) *tensor.Tensor {
	return study.Pixels(scenes, func(v float32) float32 { return v/127.5 - 1 })
}

// phrase is an object with its article.
func phrase(o shapes.Object) string {
	if o.Color == shapes.Orange {
		return "an " + o.Pair().String()
	}
	return "a " + o.Pair().String()
}

// request asks for a scene, its objects in random order; with places the prompt says where each is.
func request(random *rand.Rand, s shapes.Scene, places, boxes bool) (r gligen.Request) {
	var parts []string
	for _, i := range random.Perm(len(s.Objects)) {
		o := s.Objects[i]
		text := phrase(o)
		if boxes {
			x := gligen.Object{Phrase: text}
			for k, v := range s.Box(o) {
				x.Box[k] = float64(v) / float64(s.World().Side())
			}
			r.Objects = append(r.Objects, x)
		}
		if places {
			text += " at the " + s.World().Place(o.Cell)
		}
		parts = append(parts, text)
	}
	r.Prompt = strings.Join(parts, " and ")
	return r
}

// batches draws training images. The base model is told places in half of the prompts, so that it learns where its
// pixels are; the gated stage leaves out half of the prompts and never says a place, so that boxes are worth reading.
func batches(p *gligen.Pipeline, w *shapes.World, r recipe, boxes bool) train.Batches[gligen.Batch] {
	drop, stream := gligen.Drop{Prompt: 0.1}, r.seed
	if boxes {
		drop, stream = gligen.Drop{Prompt: 0.5, Boxes: 0.1}, r.seed+1<<32
	}
	return func(_ context.Context, n int) (gligen.Batch, error) {
		random := rand.New(rand.NewPCG(stream, uint64(n)))
		var scenes []shapes.Scene
		var rs []gligen.Request
		for range r.batch {
			s := w.Scene(shapes.Train, random.IntN(1<<30), shapes.Options{})
			scenes, rs = append(scenes, s), append(rs, request(random, s, !boxes && random.IntN(2) == 0, boxes))
		}
		b := p.Batch(random, latents(random, p, scenes), rs, boxes, drop)
		T := float64(p.Schedule.Config().NumTrainTimesteps)
		// Little noise is nothing to learn from, as latents have noise of their own; what is to be where is decided
		// under much.
		power := 0.7
		if boxes {
			power = 0.2
		}
		for i, t := range b.Timesteps {
			b.Timesteps[i] = int32(T * math.Pow(float64(t)/T, power))
		}
		return b, nil
	}
}
