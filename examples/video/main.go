// Command video trains GIT with time embeddings, from nothing, on animations of the built-in world, and asks about new
// ones what no single frame tells: which way the object moved, and which of three objects came first.
//
//	go run ./examples/video                  both questions, with all baselines
//	go run ./examples/video -single          a model that is trained on the third frame alone
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

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

const (
	frames = 4 // of a video
	still  = 2 // the frame that a single one is: where an object is in it says nothing of where it goes
	stride = 4 // pixels that an object moves from frame to frame
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "video:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("video", flag.ContinueOnError)
	flags.SetOutput(out)
	steps := flags.Int("steps", 2500, "training steps")
	batch := flags.Int("batch", 32, "videos in a step")
	tests := flags.Int("test", 300, "new videos for each question")
	seed := flags.Uint64("seed", 1, "of the world and the weights")
	single := flags.Bool("single", false, "train on the third frame alone, shown four times")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if *batch < 1 || *tests < 2 {
		return fmt.Errorf("-batch %d, -test %d: at least one video in a step and two in a test", *batch, *tests)
	}
	v, err := newViewer(*seed)
	if err != nil {
		return err
	}
	shown := ""
	if *single {
		shown = "single frame"
	}
	report, err := train.Run(context.Background(), v.Model, train.Options{Progress: out}, train.Stage[connector.Batch]{
		Name: "video", Steps: *steps, Groups: []train.Group{{Params: "**", LR: 1e-3, WeightDecay: 0.01}},
		Schedule: train.Cosine(0.05), Clip: 1,
		Batches: func(_ context.Context, n int) (connector.Batch, error) {
			samples := make([]connector.Sample, *batch)
			for i := range samples {
				samples[i] = v.sample(v.clip(shapes.Train, n**batch+i), true)
			}
			change(samples, shown)
			return v.Model.Splice(samples, false)
		},
	})
	if err != nil {
		return err
	}
	losses := report.Stages[0].Loss
	fmt.Fprintf(out, "loss %.3f → %.3f\n\n", losses[0], losses[len(losses)-1])
	fmt.Fprintf(out, "%-22s%12s%12s\n", "% right", "moved", "first")
	baselines := []string{"", "single frame", "backwards", "shuffled", "mean", "blind"}
	if *single {
		baselines = []string{"single frame"}
	}
	for _, b := range baselines {
		var right [2]float64
		for question := range right {
			if right[question], err = v.score(*tests, question, b); err != nil {
				return err
			}
		}
		name := map[string]string{"": "the video", "backwards": "played backwards", "shuffled": "another video",
			"mean": "the mean of all", "blind": "no video"}[b]
		if name == "" {
			name = b
		}
		fmt.Fprintf(out, "%-22s%12.1f%12.1f\n", name, 100*right[0], 100*right[1])
	}
	return nil
}

// viewer is a GIT with its world.
type viewer struct {
	connector.Assistant
	world *shapes.World
}

// newViewer makes an untrained one: frames of 32×32 pixels in patches of 16×16.
func newViewer(seed uint64) (*viewer, error) {
	w, err := shapes.New(shapes.Smoke(seed))
	if err != nil {
		return nil, err
	}
	v := &viewer{world: w}
	var texts []string
	for i := range 400 {
		c := v.clip(shapes.Train, i)
		texts = append(texts, c.question+" "+c.answer)
	}
	v.Tokenizer, err = tokenizer.Train(slices.Values(texts), tokenizer.TrainConfig{Size: 320, Words: true,
		Specials: []string{"[PAD]", "[CLS]", "[SEP]"}, BOS: "[CLS]", EOS: "[SEP]", Pad: "[PAD]"})
	if err != nil {
		return nil, err
	}
	v.Processor = imaging.CLIP(w.Side())
	tower := vit.CLIPBase32()
	tower.HiddenSize, tower.IntermediateSize, tower.NumHiddenLayers, tower.NumAttentionHeads = 64, 128, 2, 4
	tower.ImageSize, tower.PatchSize, tower.PositionStd = w.Side(), 16, 0.3
	v.Model, err = git.New(rand.New(rand.NewPCG(seed, 7)), git.Config{Vision: tower, VocabSize: v.Tokenizer.Size(),
		HiddenSize: 64, IntermediateSize: 128, NumHiddenLayers: 2, NumAttentionHeads: 4, MaxPositions: 32,
		Frames: frames, NormEps: 1e-12, HiddenAct: "gelu", InitStd: 0.12,
		PAD: int(v.Tokenizer.Pad()), BOS: int(v.Tokenizer.BOS()), EOS: []int{int(v.Tokenizer.EOS())}})
	return v, err
}

// clip is a video with a question about it.
type clip struct {
	scenes           []shapes.Scene // of the frames
	question, answer string
}

var ways = []struct {
	word   string
	dx, dy int
}{{"left", -1, 0}, {"right", 1, 0}, {"up", 0, -1}, {"down", 0, 1}}

// clip is video number i of a split: an object that moves where i is even, else three that appear one after another
// and stay.
func (v *viewer) clip(split shapes.Split, i int) clip {
	r := v.world.Rand("video/"+string(split), i)
	if i%2 == 0 {
		scene := v.world.Scene(split, i, shapes.Options{MinObjects: 1, MaxObjects: 1})
		way := ways[r.IntN(len(ways))]
		o := scene.Objects[0]
		o.Cell, o.DX, o.DY = shapes.Cell{}, 6+r.IntN(5), 6+r.IntN(5) // in the frame that a single one is
		c := clip{question: "which way did the " + o.Pair().String() + " move ?", answer: way.word}
		for k := range frames {
			moved := o
			moved.DX, moved.DY = o.DX+(k-still)*stride*way.dx, o.DY+(k-still)*stride*way.dy
			scene.Objects = []shapes.Object{moved}
			c.scenes = append(c.scenes, scene)
		}
		return c
	}
	scene := v.world.Scene(split, i, shapes.Options{MinObjects: 3, MaxObjects: 3})
	all := slices.Clone(scene.Objects)
	r.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	c := clip{question: "what came first ?", answer: all[0].Pair().String()}
	for k := range frames {
		scene.Objects = all[:min(k+1, len(all))]
		c.scenes = append(c.scenes, scene)
	}
	return c
}

// sample is a video, [CLS], the question, the answer and [SEP]; without the answer what the model continues.
func (v *viewer) sample(c clip, answer bool) connector.Sample {
	var x imaging.Pixels // [frames, 3, H, W]
	for _, scene := range c.scenes {
		p, err := v.Processor.Process(imaging.FromImage(scene.Image()))
		if err != nil {
			panic(err) // images of the world fit
		}
		x.N, x.H, x.W, x.Data = x.N+p.N, p.H, p.W, append(x.Data, p.Data...)
	}
	s := connector.Sample{Name: c.question, IDs: []int32{chat.ImageIndex, v.Tokenizer.BOS()},
		Images: []connector.Image{{Size: imaging.Size{W: x.W, H: x.H}, Pixels: x}}}
	s.IDs = append(s.IDs, v.Tokenizer.Encode(c.question)...)
	s.Labels = slices.Repeat([]int32{tensor.IgnoreIndex}, len(s.IDs))
	if answer {
		ids := append(v.Tokenizer.Encode(" "+c.answer), v.Tokenizer.EOS())
		s.IDs, s.Labels = append(s.IDs, ids...), append(s.Labels, ids...)
	}
	return s
}

// change shows something else than the videos of samples: the third frame alone, the frames in reverse, the video of
// the next sample, the mean of all, or nothing.
func change(samples []connector.Sample, how string) {
	first, n := samples[0].Images[0].Pixels.Data, float32(len(samples))
	mean := make([]float32, len(first))
	for _, s := range samples {
		for i, v := range s.Images[0].Pixels.Data {
			mean[i] += v / n
		}
	}
	size := len(first) / frames
	for i := range samples {
		x := samples[i].Images[0].Pixels
		was := x.Data
		switch how {
		case "single frame":
			x.Data = slices.Repeat(was[still*size:(still+1)*size], frames)
		case "backwards":
			x.Data = nil
			for k := frames - 1; k >= 0; k-- {
				x.Data = append(x.Data, was[k*size:(k+1)*size]...)
			}
		case "shuffled":
			if x.Data = first; i+1 < len(samples) {
				x.Data = samples[i+1].Images[0].Pixels.Data
			}
		case "mean":
			x.Data = mean
		case "blind":
			x.Data = make([]float32, len(was))
		}
		samples[i].Images = []connector.Image{{Size: samples[i].Images[0].Size, Pixels: x}}
	}
}

// score is the share of right answers about n new videos: question 0 asks for the way, 1 for what came first.
func (v *viewer) score(n, question int, how string) (right float64, err error) {
	const together = 50
	for from := 0; from < n; from += together {
		var samples []connector.Sample
		var want []string
		for i := from; i < min(from+together, n); i++ {
			c := v.clip(shapes.Test, 2*i+question)
			samples, want = append(samples, v.sample(c, false)), append(want, c.answer)
		}
		change(samples, how)
		b, err := v.Model.Splice(samples, true)
		if err != nil {
			return 0, err
		}
		g, err := v.Model.Generate(context.Background(), b, llm.Options{MaxNewTokens: 8})
		if err != nil {
			return 0, err
		}
		for i, ids := range g.IDs {
			if strings.TrimSpace(v.Tokenizer.Decode(ids)) == want[i] {
				right += 1 / float64(n)
			}
		}
	}
	return right, nil
}
