// Command blip2 learns BLIP-2's two stages from nothing, on a small world of coloured shapes, without a download. A
// CLIP and a language model are trained first and then stay frozen, as the published ones do. Stage 1 teaches the
// Q-Former by contrast, matching and captioning; stage 2 joins it to the language model, which then says what it
// sees.
//
//	go run ./examples/blip2                  a minute or two on two cores
//	go run ./examples/blip2 -preset toy      a second, to see that it runs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "blip2:", err)
		os.Exit(1)
	}
}

// preset is how much is learnt.
type preset struct{ scenes, clip, stage1, language, stage2, exam int }

var presets = map[string]preset{
	"default": {scenes: 3000, clip: 600, stage1: 800, language: 800, stage2: 1200, exam: 96},
	"toy":     {scenes: 64, clip: 3, stage1: 3, language: 3, stage2: 3, exam: 4},
}

const batch, queries = 32, 8

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("blip2", flag.ContinueOnError)
	flags.SetOutput(out)
	name := flags.String("preset", "default", "default or toy")
	seed := flags.Uint64("seed", 1, "of everything that is drawn")
	dir := flags.String("out", "", "folder for what stage 1 leaves; empty: nothing is kept")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, ok := presets[*name]
	if !ok {
		return fmt.Errorf("-preset %q is neither default nor toy", *name)
	}
	w, err := shapes.New(shapes.Smoke(*seed))
	if err != nil {
		return err
	}
	l := &lesson{World: w, words: append([]string{"[PAD]", "[CLS]", "[SEP]"}, shapes.Vocabulary()...)}
	known, unseen := l.pool(shapes.Train, p.scenes), l.pool(shapes.Validation, p.exam)

	clip, err := vit.NewCLIP(w.Rand("clip", 0), l.clip())
	if err != nil {
		return err
	}
	if err := fit(ctx, out, &contrast{clip}, "clip", p.clip, 1e-3, known.pairs(l), "**"); err != nil {
		return err
	}
	known.look(clip.Tower())
	unseen.look(clip.Tower())

	stage1, err := blip2.NewStage1(w.Rand("qformer", 0), clip.Tower(), l.config(llm.Config{}))
	if err != nil {
		return err
	}
	trained := []string{"query_tokens", "qformer.**", "embeddings.**", "vision_projection.**", "text_projection.**",
		"itm_head.**", "cls.**", "temp", "vision_model.post_layernorm.*"}
	if err := fit(ctx, out, stage1, "stage 1", p.stage1, 2e-3, known.pairs(l), trained...); err != nil {
		return err
	}
	itc, itm := unseen.retrieve(l, stage1)
	fmt.Fprintf(out,
		"unseen pictures: their caption among %d by contrast %.0f %%, by matching %.0f %% (chance %.0f %%)\n",
		choices, 100*itc, 100*itm, 100./choices)
	if *dir != "" {
		if err := nn.Save(stage1, *dir, nn.SaveOptions{}); err != nil {
			return err
		}
	}

	language, err := llm.New(w.Rand("language", 0), l.language())
	if err != nil {
		return err
	}
	if err := fit(ctx, out, reader{language}, "language", p.language, 2e-3, known.texts(l), "**"); err != nil {
		return err
	}
	m, err := blip2.Join(w.Rand("join", 0), clip.Tower(), language, l.config(language.Config()))
	if err != nil {
		return err
	}
	if err := blip2.StartFrom(m, stage1); err != nil {
		return err
	}
	trained = []string{"query_tokens", "qformer.**", "language_projection.*", "vision_model.post_layernorm.*"}
	if err := fit(ctx, out, m, "stage 2", p.stage2, 2e-3, known.captions(l), trained...); err != nil {
		return err
	}
	for _, who := range []struct {
		name  string
		shown func(i int) *tensor.Tensor // the features that are seen where caption i is right
	}{{"seen", func(i int) *tensor.Tensor { return unseen.seen([]int{i}) }},
		{"another's picture", func(i int) *tensor.Tensor { return unseen.seen([]int{(i + 1) % p.exam}) }},
		{"the mean of all", func(int) *tensor.Tensor { return unseen.mean() }},
		{"blind (zeros)", func(int) *tensor.Tensor { return unseen.mean().Scale(0) }}} {
		right, err := unseen.say(ctx, l, m, who.shown)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "captions of unseen pictures, every word right: %-20s %.0f %%\n", who.name, 100*right)
	}
	return nil
}

// fit trains what the patterns name, and prints the loss of the first and the last steps.
func fit[B any](ctx context.Context, out io.Writer, m train.Model[B], name string, steps int, lr float64,
	batches func(n int) B, patterns ...string) error {
	s := train.Stage[B]{Name: name, Steps: steps, Schedule: train.Cosine(0.05), Clip: 1, Betas: [2]float64{0.9, 0.98},
		Batches: func(_ context.Context, n int) (B, error) { return batches(n), nil }}
	for _, p := range patterns {
		s.Groups = append(s.Groups, train.Group{Params: p, LR: lr})
	}
	report, err := train.Run(ctx, m, train.Options{}, s)
	if err != nil {
		return err
	}
	loss, k := report.Stages[0].Loss, min(20, steps)
	fmt.Fprintf(out, "%-8s %4d steps: loss %.3f → %.3f\n", name, steps, mean(loss[:k]), mean(loss[len(loss)-k:]))
	return nil
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// lesson is the world and its words: [PAD], [CLS] (the language model's first token, too), [SEP] (its last), words, and
// for the Q-Former [DEC] behind them.
type lesson struct {
	*shapes.World
	words []string
}

func (l *lesson) encode(text string) []int32 {
	ids := []int32{1}
	for w := range strings.FieldsSeq(text) {
		ids = append(ids, int32(slices.Index(l.words, w)))
	}
	return append(ids, 2)
}

func (l *lesson) vision() vit.VisionConfig {
	return vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 48, IntermediateSize: 128, NumHiddenLayers: 2,
		NumAttentionHeads: 4, NumChannels: 3, ImageSize: l.Side(), PatchSize: 8, ProjectionDim: 32,
		HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: 0.17}
}

func (l *lesson) clip() vit.CLIPConfig {
	return vit.CLIPConfig{ModelType: "clip", Vision: l.vision(), ProjectionDim: 32, LogitScaleInit: math.Log(1 / 0.07),
		Text: vit.TextConfig{VocabSize: len(l.words), HiddenSize: 48, IntermediateSize: 128, NumHiddenLayers: 1,
			NumAttentionHeads: 4, MaxPositionEmbeddings: 32, HiddenAct: "quick_gelu", LayerNormEps: 1e-5,
			TokenStd: 0.05, BOS: 1, EOS: 2, ProjectionDim: 32}}
}

func (l *lesson) language() llm.Config {
	return llm.Config{ModelType: "llama", VocabSize: len(l.words), HiddenSize: 64, IntermediateSize: 160,
		NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 4, MaxPositionEmbeddings: 64, NormEps: 1e-5,
		HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, InitStd: 0.05}
}

// config is the Q-Former's, in which every layer looks at the picture, between vision and the language model given.
func (l *lesson) config(text llm.Config) blip2.Config {
	c := blip2.Config{Vision: l.vision(), Text: text, NumQueryTokens: queries, Image: -1, ProjectionDim: 32,
		QFormer: blip2.BertBase()}
	q := &c.QFormer
	q.VocabSize, q.HiddenSize, q.IntermediateSize, q.NumHiddenLayers, q.NumAttentionHeads = len(l.words)+1,
		64, 160, 2, 4
	q.MaxPositionEmbeddings, q.CrossAttentionFrequency, q.InitializerRange = 32, 1, 0.05
	return c
}

// contrast is CLIP as it trains.
type contrast struct {
	CLIP *vit.CLIP `param:"clip"`
}

// Loss is Radford et al.'s.
func (m *contrast) Loss(b blip2.Pairs) *tensor.Tensor {
	return vit.ContrastiveLoss(m.CLIP.Logits(m.CLIP.EncodeImage(b.Pixels), m.CLIP.EncodeText(b.IDs, b.Lengths)), nil)
}

// reader is a language model as it trains on text.
type reader struct{ llm.Model }

// Loss is that of the next token.
func (m reader) Loss(b connector.Batch) *tensor.Tensor {
	return llm.Loss(m.Model, llm.Input{Embeds: m.Embed(b.IDs)}, b.Labels)
}
