// Command flamingo shows what examples in the prompt are for. Pictures of single objects are to be answered with one
// word, and which one only the examples tell: in some prompts they name the colour, in others the shape or the size.
// A vision tower and a small language model are trained alone, on captions and on prompts without pictures; then both
// are frozen, and a resampler and gated cross-attention between them learn to answer. It prints the share of right
// answers about new pictures after 0, 2 and 4 examples: with the gates still closed, trained, and with other pictures.
//
//	go run ./examples/flamingo
//	go run ./examples/flamingo -out few-shot    # keep what was trained, in OpenFlamingo's layout
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
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "flamingo:", err)
		os.Exit(1)
	}
}

const shots = 4 // examples before the question, at most

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("flamingo", flag.ContinueOnError)
	flags.SetOutput(out)
	steps := flags.Int("steps", 2000, "training steps of each of the three parts")
	batch := flags.Int("batch", 16, "prompts in a step")
	tests := flags.Int("test", 150, "new prompts")
	seed := flags.Uint64("seed", 1, "of the world and the weights")
	dir := flags.String("out", "", "folder for the model")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	config := shapes.Smoke(*seed)
	config.MaxObjects = 1
	w, err := shapes.New(config)
	if err != nil {
		return err
	}
	g := &game{World: w, words: vocabulary(), processor: imaging.CLIP(w.Side()), batch: *batch}
	r := rand.New(rand.NewPCG(*seed, 7))
	clip, err := vit.NewCLIP(r, g.clip())
	if err != nil {
		return err
	}
	language, err := llm.New(r, g.language())
	if err != nil {
		return err
	}
	if err := fit(out, "tower", *steps, contrast{clip}, g.captions, "**"); err != nil {
		return err
	}
	if err := fit(out, "language model", *steps, text{language}, g.texts, "**"); err != nil {
		return err
	}
	m, err := flamingo.Join(r, clip.Tower(), language, flamingo.Config{Every: 1, Image: g.words["<image>"],
		End: g.words["<|endofchunk|>"], Latents: 4, Depth: 1, Heads: 4, HeadDim: 16, Mult: 2, Language: "lm",
		Tower: "tower"})
	if err != nil {
		return err
	}
	if err := g.report(out, m, *tests, "gates at 0", nil); err != nil {
		return err
	}
	prompts := func(n int) (connector.Batch, error) { return g.prompts(m, shapes.Train, n*g.batch, g.batch, nil) }
	if err := fit(out, "bridge", *steps, m, prompts, "perceiver.**", "gated_cross_attn_layers.**"); err != nil {
		return err
	}
	other := func(images []connector.Image) []connector.Image { // the questions' own pictures, each at another place
		return append(images[1:len(images):len(images)], images[0])
	}
	blank := func(images []connector.Image) []connector.Image { // the mean of all pictures there are
		for i := range images {
			images[i].Pixels.Data = make([]float32, len(images[i].Pixels.Data))
		}
		return images
	}
	if err := errors.Join(g.report(out, m, *tests, "trained", nil),
		g.report(out, m, *tests, "shuffled pictures", other),
		g.report(out, m, *tests, "mean picture", blank)); err != nil {
		return err
	}
	if *dir == "" {
		return nil
	}
	return errors.Join(flamingo.Save(*dir, m, flamingo.SaveOptions{}),
		vit.Save(filepath.Join(*dir, "tower"), m.Vision, nn.SaveOptions{}),
		llm.Save(m.Language, filepath.Join(*dir, "lm"), nn.SaveOptions{}))
}

// fit trains the parameters of m that match the patterns, and no others.
func fit[B any](out io.Writer, name string, steps int, m train.Model[B], batches func(n int) (B, error),
	patterns ...string) error {
	var groups []train.Group
	for _, p := range patterns {
		groups = append(groups, train.Group{Params: p, LR: 2e-3, WeightDecay: 0.01})
	}
	report, err := train.Run(context.Background(), m, train.Options{}, train.Stage[B]{Name: name, Steps: steps,
		Groups: groups, Schedule: train.Cosine(0.05), Clip: 1,
		Batches: func(_ context.Context, n int) (B, error) { return batches(n) }})
	if err != nil {
		return err
	}
	l := report.Stages[0].Loss
	fmt.Fprintf(out, "%-15s loss %.3f → %.3f in %d steps\n", name, l[0], l[len(l)-1], steps)
	return nil
}

// game is the world and its vocabulary, a word a token.
type game struct {
	*shapes.World
	words     map[string]int
	processor *imaging.Processor
	batch     int
}

func vocabulary() map[string]int {
	words := map[string]int{}
	for _, w := range append([]string{"<pad>", "<s>", "<image>", "<|endofchunk|>"}, shapes.Vocabulary()...) {
		words[w] = len(words)
	}
	return words
}

func (g *game) clip() vit.CLIPConfig {
	c := vit.CLIPBase32().CLIP()
	c.ProjectionDim = 48
	v, t := &c.Vision, &c.Text
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads = 64, 128, 2, 4
	v.ImageSize, v.PatchSize, v.PositionStd = g.Side(), 8, 0.3
	t.HiddenSize, t.IntermediateSize, t.NumHiddenLayers, t.NumAttentionHeads, t.MaxPositionEmbeddings = 48, 96, 1, 4, 16
	t.VocabSize, t.BOS, t.EOS, t.TokenStd = len(g.words), 1, g.words["<|endofchunk|>"], 0.1
	return c
}

func (g *game) language() llm.Config {
	return llm.Config{ModelType: "llama", VocabSize: len(g.words), HiddenSize: 64, IntermediateSize: 128,
		NumHiddenLayers: 2, NumAttentionHeads: 4, MaxPositionEmbeddings: 64, NormEps: 1e-6, HiddenAct: "silu", BOS: 1,
		RoPE: nn.RoPEConfig{Type: "default", Theta: 10000}, EOS: []int{g.words["<|endofchunk|>"]}, InitStd: 0.1}
}

// contrast trains CLIP on pictures and captions.
type contrast struct {
	CLIP *vit.CLIP `param:",inline"`
}

type pairs struct{ pixels, ids *tensor.Tensor }

// In is b with its tensors in scope s.
func (b pairs) In(s *tensor.Arena) pairs { return pairs{b.pixels.In(s), b.ids.In(s)} }

func (m contrast) Loss(b pairs) *tensor.Tensor {
	return vit.ContrastiveLoss(m.CLIP.Logits(m.CLIP.EncodeImage(b.pixels), m.CLIP.EncodeText(b.ids, nil)), nil)
}

// captions are pictures and what they show.
func (g *game) captions(n int) (pairs, error) {
	B, T := 2*g.batch, 16
	var pixels []float32
	ids := make([]int32, 0, B*T)
	for i := range B {
		s := g.Scene(shapes.Train, n*B+i, shapes.Options{})
		p, err := g.processor.Process(imaging.FromImage(s.Image()))
		if err != nil {
			return pairs{}, err
		}
		pixels = append(pixels, p.Data...)
		row := []int32{1}
		for _, w := range strings.Fields(s.Caption()) {
			row = append(row, int32(g.words[w]))
		}
		for row = append(row, int32(g.words["<|endofchunk|>"])); len(row) < T; {
			row = append(row, 0)
		}
		ids = append(ids, row...)
	}
	return pairs{tensor.Wrap(pixels, B, 3, g.Side(), g.Side()), tensor.WrapInts(ids, B, T)}, nil
}

// answer is what rule 0, 1 or 2 names of a scene: its colour, its shape or its size.
func answer(s shapes.Scene, rule int) string {
	o := s.Objects[0]
	return []string{o.Color.String(), o.Shape.String(), o.Size.String()}[rule]
}

// prompt is number i of a split: shots examples of a rule and a question, "<image>red<|endofchunk|>" each.
func (g *game) prompt(split shapes.Split, i int) (s connector.Sample, scenes []shapes.Scene, rule int) {
	rule = g.Rand("rule "+string(split), i).IntN(3)
	s = connector.Sample{Name: fmt.Sprintf("%s %d", split, i), IDs: []int32{1}, Labels: []int32{tensor.IgnoreIndex}}
	for k := range shots + 1 {
		scene := g.Scene(split, i*(shots+1)+k, shapes.Options{})
		scenes = append(scenes, scene)
		word, end := int32(g.words[answer(scene, rule)]), int32(g.words["<|endofchunk|>"])
		s.IDs = append(s.IDs, chat.ImageIndex, word, end)
		s.Labels = append(s.Labels, tensor.IgnoreIndex, word, end)
	}
	return s, scenes, rule
}

// texts are prompts without pictures.
func (g *game) texts(n int) (llmBatch, error) {
	var ids, labels []int32
	T := 1 + 3*(shots+1)
	for i := range g.batch {
		s, _, _ := g.prompt(shapes.Train, n*g.batch+i)
		for j, id := range s.IDs {
			if id == chat.ImageIndex {
				s.IDs[j] = int32(g.words["<image>"])
			}
		}
		ids, labels = append(ids, s.IDs...), append(labels, s.Labels...)
	}
	return llmBatch{tensor.WrapInts(ids, g.batch, T), tensor.WrapInts(labels, g.batch, T)}, nil
}

// text trains a language model alone.
type text struct {
	Language llm.Model `param:",inline"`
}

type llmBatch struct{ ids, labels *tensor.Tensor }

// In is b with its tensors in scope s.
func (b llmBatch) In(s *tensor.Arena) llmBatch { return llmBatch{b.ids.In(s), b.labels.In(s)} }

func (m text) Loss(b llmBatch) *tensor.Tensor {
	return llm.Loss(m.Language, llm.Input{Embeds: m.Language.Embed(b.ids)}, b.labels)
}

// prompts are a batch with pictures, which change may give in another order.
func (g *game) prompts(m *connector.VLM, split shapes.Split, first, n int,
	change func([]connector.Image) []connector.Image) (connector.Batch, error) {
	var samples []connector.Sample
	for i := range n {
		s, scenes, _ := g.prompt(split, first+i)
		for _, scene := range scenes {
			p, err := g.processor.Process(imaging.FromImage(scene.Image()))
			if err != nil {
				return connector.Batch{}, err
			}
			s.Images = append(s.Images, connector.Image{Pixels: p})
		}
		if change != nil {
			s.Images = change(s.Images)
		}
		samples = append(samples, s)
	}
	return m.Splice(samples, false)
}

// report prints the share of n new prompts whose word after 0, 2 and 4 examples is the likeliest of all.
func (g *game) report(out io.Writer, m *connector.VLM, n int, name string,
	change func([]connector.Image) []connector.Image) error {
	right := [shots + 1]int{}
	for from := 0; from < n; from += 50 {
		B := min(50, n-from)
		b, err := g.prompts(m, shapes.Test, from, B, change)
		if err != nil {
			return err
		}
		tensor.Scope(func(s *tensor.Arena) {
			best := llm.Logits(m.Language, m.Hidden(b.In(s))).ArgMax(2).IntData() // [B, T]
			T := b.IDs.Dim(1)
			for i := range B {
				for k := range right { // the word after the k-th <image>
					if at := i*T + 1 + 3*k; best[at] == b.IDs.IntData()[at+1] {
						right[k]++
					}
				}
			}
		})
	}
	share := func(k int) float64 { return 100 * float64(right[k]) / float64(n) }
	_, err := fmt.Fprintf(out, "%-18s right after 0 examples %5.1f %%, 2 %5.1f %%, 4 %5.1f %%\n", name,
		share(0), share(2), share(4))
	return err
}
