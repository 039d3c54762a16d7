// Command git trains GIT, image encoder and text together, from nothing on the built-in world of shapes, and says how
// many captions of new pictures are right to the last word.
//
//	go run ./examples/git -steps 1500
//	go run ./examples/git -steps 1500 -out captioner    # keep the model: transformers' GitForCausalLM loads it too
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
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "git:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("git", flag.ContinueOnError)
	flags.SetOutput(out)
	steps := flags.Int("steps", 1500, "training steps")
	batch := flags.Int("batch", 32, "pictures in a step")
	tests := flags.Int("test", 200, "new pictures to caption")
	seed := flags.Uint64("seed", 1, "of the world and the weights")
	smooth := flags.Bool("smooth", false, "train by the original's loss, label smoothing, instead of cross-entropy")
	dir := flags.String("out", "", "folder for the model")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	c, err := newCaptioner(*seed)
	if err != nil {
		return err
	}
	var model train.Model[connector.Batch] = c.Model
	if *smooth {
		model = git.Smooth{VLM: c.Model}
	}
	report, err := train.Run(context.Background(), model, train.Options{Progress: out}, train.Stage[connector.Batch]{
		Name: "caption", Steps: *steps, Groups: []train.Group{{Params: "**", LR: 1e-3, WeightDecay: 0.01}},
		Schedule: train.Cosine(0.05), Clip: 1,
		Batches: func(_ context.Context, n int) (connector.Batch, error) { return c.batch(n**batch, *batch) },
	})
	if err != nil {
		return err
	}
	losses := report.Stages[0].Loss
	fmt.Fprintf(out, "loss %.3f → %.3f\n", losses[0], losses[len(losses)-1])
	for _, baseline := range []string{"", "shuffled", "blind"} {
		right, example, err := c.score(*tests, baseline)
		if err != nil {
			return err
		}
		name := map[string]string{"": "the picture", "shuffled": "another picture",
			"blind": "the mean picture"}[baseline]
		fmt.Fprintf(out, "%-17s %5.1f %% of %d captions right, such as %q\n", name, 100*right, *tests, example)
	}
	if *dir == "" {
		return nil
	}
	return errors.Join(git.Save(*dir, c.Model, git.SaveOptions{}), c.Tokenizer.Save(*dir),
		saveProcessor(filepath.Join(*dir, "preprocessor_config.json"), c.Processor))
}

func saveProcessor(path string, p *imaging.Processor) error {
	raw, err := p.MarshalJSON()
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

// captioner is a GIT with its world.
type captioner struct {
	connector.Assistant
	world *shapes.World
}

// newCaptioner makes an untrained one: pictures of 32×32 pixels with one object, in patches of 8×8.
func newCaptioner(seed uint64) (*captioner, error) {
	config := shapes.Smoke(seed)
	config.MaxObjects = 1
	w, err := shapes.New(config)
	if err != nil {
		return nil, err
	}
	c := &captioner{world: w}
	var texts []string
	for i := range 600 {
		texts = append(texts, w.Scene(shapes.Train, i, shapes.Options{}).Caption())
	}
	c.Tokenizer, err = tokenizer.Train(slices.Values(texts), tokenizer.TrainConfig{Size: 320, Words: true,
		Specials: []string{"[PAD]", "[CLS]", "[SEP]"}, BOS: "[CLS]", EOS: "[SEP]", Pad: "[PAD]"})
	if err != nil {
		return nil, err
	}
	c.Processor = imaging.CLIP(w.Side())
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads = 64, 128, 2, 4
	v.ImageSize, v.PatchSize, v.PositionStd = w.Side(), 8, 0.3
	c.Model, err = git.New(rand.New(rand.NewPCG(seed, 7)), git.Config{Vision: v, VocabSize: c.Tokenizer.Size(),
		HiddenSize: 64, IntermediateSize: 128, NumHiddenLayers: 2, NumAttentionHeads: 4, MaxPositions: 32,
		NormEps: 1e-12, HiddenAct: "gelu", InitStd: 0.12, PAD: int(c.Tokenizer.Pad()), BOS: int(c.Tokenizer.BOS()),
		EOS: []int{int(c.Tokenizer.EOS())}})
	return c, err
}

// sample is a picture, [CLS], its caption and [SEP]; without a caption what GIT continues.
func (c *captioner) sample(scene shapes.Scene, caption bool) (connector.Sample, error) {
	p, err := c.Processor.Process(imaging.FromImage(scene.Image()))
	s := connector.Sample{Name: fmt.Sprintf("%s %d", scene.Split, scene.Index), Images: []connector.Image{{Pixels: p}},
		IDs: []int32{chat.ImageIndex, c.Tokenizer.BOS()}, Labels: []int32{tensor.IgnoreIndex, tensor.IgnoreIndex}}
	if caption {
		ids := append(c.Tokenizer.Encode(scene.Caption()), c.Tokenizer.EOS())
		s.IDs, s.Labels = append(s.IDs, ids...), append(s.Labels, ids...)
	}
	return s, err
}

// batch makes samples of n training scenes.
func (c *captioner) batch(first, n int) (connector.Batch, error) {
	samples := make([]connector.Sample, n)
	for i := range samples {
		var err error
		if samples[i], err = c.sample(c.world.Scene(shapes.Train, first+i, shapes.Options{}), true); err != nil {
			return connector.Batch{}, err
		}
	}
	return c.Model.Splice(samples, false)
}

// score is the share of n new scenes whose caption is right to the last word, and the first caption: with its own
// picture, with that of the next scene ("shuffled"), or with the mean of all ("blind").
func (c *captioner) score(n int, baseline string) (right float64, example string, err error) {
	var samples []connector.Sample
	var want []string
	for i := range n {
		scene := c.world.Scene(shapes.Test, i, shapes.Options{})
		s, err := c.sample(scene, false)
		if err != nil {
			return 0, "", err
		}
		samples, want = append(samples, s), append(want, scene.Caption())
	}
	mean := make([]float32, len(samples[0].Images[0].Pixels.Data))
	first := samples[0].Images
	for i := range samples {
		for j, v := range samples[i].Images[0].Pixels.Data {
			mean[j] += v / float32(n)
		}
		if next := first; baseline == "shuffled" {
			if i+1 < n {
				next = samples[i+1].Images
			}
			samples[i].Images = next
		}
	}
	for i := range samples {
		if baseline == "blind" {
			x := samples[i].Images[0]
			x.Pixels.Data = mean
			samples[i].Images = []connector.Image{x}
		}
	}
	const together = 50
	for from := 0; from < n; from += together {
		to := min(from+together, n)
		b, err := c.Model.Splice(samples[from:to], true)
		if err != nil {
			return 0, "", err
		}
		g, err := c.Model.Generate(context.Background(), b, llm.Options{MaxNewTokens: 20})
		if err != nil {
			return 0, "", err
		}
		for i, ids := range g.IDs {
			said := c.Tokenizer.Decode(ids)
			if from+i == 0 {
				example = said
			}
			if said == want[from+i] {
				right += 1 / float64(n)
			}
		}
	}
	return right, example, nil
}
