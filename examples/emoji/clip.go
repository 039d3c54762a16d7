package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// captions of a thing, of which CLIP's text tower reads one: its name, and often words that go with it.
func captions(t study.Thing, r *rand.Rand) string {
	tags := slices.Clone(t.Tags)
	r.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
	if len(tags) == 0 || r.IntN(10) < 7 {
		return t.Name
	}
	return t.Name + ", " + strings.Join(tags[:min(2, len(tags))], ", ")
}

// clip trains CLIP from scratch, or reads what an earlier call trained.
func (o options) clip(ctx context.Context, all []study.Thing, out io.Writer) (*vit.CLIP, error) {
	dir := filepath.Join(o.out, "clip")
	if _, err := os.Stat(filepath.Join(dir, "preprocessor_config.json")); err == nil {
		return vit.LoadCLIP(dir, nn.LoadOptions{})
	}
	learnt := study.Trained(all)
	words, err := vocabulary(learnt)
	if err != nil {
		return nil, err
	}
	m, err := vit.NewCLIP(o.rand("clip", 0), o.config(words))
	if err != nil {
		return nil, err
	}
	stage := train.Stage[study.Pairs]{
		Name: "clip", Batches: train.Prefetch(o.pairs(learnt, words), 2), Steps: o.Clip.Steps,
		Schedule: train.Schedule{Kind: "cosine", WarmupRatio: 0.05, Floor: 0.02},
		Betas:    [2]float64{0.9, 0.98}, Clip: 1, Every: 200,
		Groups: []train.Group{{Params: "**", LR: o.Clip.LR, WeightDecay: 0.1,
			NoDecay: []string{"**.bias", "**.*norm*.*", "**.*layrnorm.*", "**.class_embedding", "**.logit_scale"}}},
		After: func(int) { m.ClampLogitScale() },
		Evaluate: []train.Evaluation{{Name: "zero-shot", Every: max(1, o.Clip.Steps/8),
			Run: func(context.Context) (map[string]float64, error) {
				first, five, err := o.zeroShot(m, words, learnt, held)
				if err != nil {
					return nil, err
				}
				seen, _, err := o.zeroShot(m, words, learnt, shown)
				return map[string]float64{"top1": first, "top5": five, "trained": seen}, err
			}}},
	}
	if _, err := train.Run(ctx, &study.Contrast{CLIP: m}, train.Options{Dir: filepath.Join(o.out, "clip-run"),
		Progress: out, Signals: true, Resume: true}, stage); err != nil {
		return nil, err
	}
	if err := vit.SaveCLIP(dir, m, nn.SaveOptions{}); err != nil {
		return nil, err
	}
	if err := words.Save(dir); err != nil {
		return nil, err
	}
	b, err := json.Marshal(o.processor())
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), b, 0o644) // last: the folder is whole
}

// vocabulary is that of the captions, the words of names and tags.
func vocabulary(learnt []study.Thing) (*tokenizer.Tokenizer, error) {
	return tokenizer.Train(func(yield func(string) bool) {
		for _, t := range learnt {
			for _, text := range append([]string{t.Name, t.Name}, t.Tags...) {
				if !yield(text) || !yield(", "+text) {
					return
				}
			}
		}
	}, tokenizer.TrainConfig{Size: 2000, Specials: []string{"<pad>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>",
		Pad: "<pad>", MinCount: 2})
}

// longest is how many ids of a caption are read.
const longest = 24

// config is that of both towers.
func (o options) config(words *tokenizer.Tokenizer) vit.CLIPConfig {
	return vit.CLIPConfig{ModelType: "clip", ProjectionDim: o.Width, LogitScaleInit: 2.6592,
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: o.Width, IntermediateSize: 4 * o.Width,
			NumHiddenLayers: o.Layers, NumAttentionHeads: o.Width / 32, NumChannels: 3, ImageSize: o.Side,
			PatchSize: o.Patch, ProjectionDim: o.Width, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: 0.1},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: words.Size(), HiddenSize: 128,
			IntermediateSize: 512, NumHiddenLayers: 1, NumAttentionHeads: 4, MaxPositionEmbeddings: longest,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5, TokenStd: 0.05, BOS: int(words.BOS()), EOS: int(words.EOS()),
			ProjectionDim: o.Width}}
}

// processor prepares pictures for the tower.
func (o options) processor() *imaging.Processor {
	p := imaging.CLIP(o.Side)
	p.Mean, p.Std = [3]float64{0.75, 0.7, 0.65}, [3]float64{0.33, 0.33, 0.36}
	return p
}

// ids pads the ids of texts: int32 [M, T], and their lengths.
func ids(words *tokenizer.Tokenizer, texts []string) (*tensor.Tensor, []int32) {
	var rows [][]int32
	var ends []int32
	T := 0
	for _, text := range texts {
		row := words.Encode(text)
		row = words.Wrap(row[:min(len(row), longest-2)])
		rows, ends, T = append(rows, row), append(ends, int32(len(row))), max(T, len(row))
	}
	flat := make([]int32, len(rows)*T)
	for i, row := range rows {
		copy(flat[i*T:], row)
	}
	return tensor.Ints(flat, len(rows), T), ends
}

// pairs makes batch n of pictures with their captions, each of another thing.
func (o options) pairs(learnt []study.Thing, words *tokenizer.Tokenizer) train.Batches[study.Pairs] {
	p := o.processor()
	return func(_ context.Context, n int) (study.Pairs, error) {
		r := o.rand("pairs", n)
		var texts []string
		var x []float32
		order := o.rand("order", n*o.Clip.Batch/len(learnt)).Perm(len(learnt))
		chosen := map[string]bool{}
		for i := range min(o.Clip.Batch, len(learnt)) {
			t := learnt[order[(n*o.Clip.Batch+i)%len(learnt)]]
			chosen[t.Name] = true
			texts = append(texts, captions(t, r))
			x = t.Draw(x, o.Side, 5*n >= 2*o.Clip.Steps, r) // easy ones come first
		}
		for i := range x {
			c := i / (o.Side * o.Side) % 3
			x[i] = (x[i] - float32(p.Mean[c])) / float32(p.Std[c])
		}
		b := study.Pairs{Pixels: tensor.Wrap(x, len(texts), 3, o.Side, o.Side)}
		own := texts
		for _, i := range r.Perm(len(learnt)) { // names that are wrong
			if t := learnt[i]; !chosen[t.Name] && len(texts) < 4*o.Clip.Batch {
				texts = append(texts, t.Name)
			}
		}
		b.Same = study.Equal(own, len(texts))
		b.Texts, b.Ends = ids(words, texts)
		return b, nil
	}
}

// score is what the tower alone makes of the held-out pictures, by the nearest name.
func (o options) score(m *vit.CLIP, all []study.Thing, to map[string]float64, out io.Writer) (err error) {
	words, err := tokenizer.Load(filepath.Join(o.out, "clip"))
	if err != nil {
		return err
	}
	if to["top1"], to["top5"], err = o.zeroShot(m, words, study.Trained(all), held); err != nil {
		return err
	}
	if to["all_top1"], to["all_top5"], err = o.zeroShot(m, words, all, held); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "zero-shot: %.1f %% of the held-out pictures, %.1f %% among five\n", 100*to["top1"],
		100*to["top5"])
	return err
}

func held(t study.Thing) *image.RGBA  { return t.Held }
func shown(t study.Thing) *image.RGBA { return t.Shown[0] }

// zeroShot is the share of pictures whose own name is the likeliest among all, and among the likeliest five.
func (o options) zeroShot(m *vit.CLIP, words *tokenizer.Tokenizer, all []study.Thing,
	which func(study.Thing) *image.RGBA) (first, five float64, err error) {
	p := o.processor()
	var names []string
	var x []float32
	for _, t := range all {
		names = append(names, t.Name)
		v, err := p.Process(imaging.FromImage(study.OnWhite(which(t))))
		if err != nil {
			return 0, 0, err
		}
		x = append(x, v.Data...)
	}
	tensor.Scope(func(s *tensor.Arena) {
		texts, ends := ids(words, names)
		pictures := m.EncodeImage(tensor.Wrap(x, len(all), 3, o.Side, o.Side).NoGrad().In(s))
		logits := m.Logits(pictures, m.EncodeText(texts.NoGrad(), ends)).Data()
		for i := range all {
			row, above := logits[i*len(all):][:len(all)], 0
			for _, v := range row {
				if v > row[i] {
					above++
				}
			}
			if above == 0 {
				first += 1 / float64(len(all))
			}
			if above < 5 {
				five += 1 / float64(len(all))
			}
		}
	})
	return first, five, nil
}
