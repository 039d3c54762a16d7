package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// clip trains CLIP from scratch, or reads what an earlier call trained.
func (o options) clip(ctx context.Context, n *study.Naming, out io.Writer) (*vit.CLIP, error) {
	dir := filepath.Join(o.out, "clip")
	if _, err := os.Stat(filepath.Join(dir, "preprocessor_config.json")); err == nil {
		return vit.LoadCLIP(dir, nn.LoadOptions{})
	}
	m, err := vit.NewCLIP(o.rand("clip", 0), o.config(n))
	if err != nil {
		return nil, err
	}
	stage := train.Stage[study.Pairs]{
		Name: "clip", Batches: train.Prefetch(n.Batches(o.Clip.Batch, o.Clip.Steps, o.rand), 2), Steps: o.Clip.Steps,
		Schedule: train.Schedule{Kind: "cosine", WarmupRatio: 0.05, Floor: 0.02},
		Betas:    [2]float64{0.9, 0.98}, Clip: 1, Every: 200,
		Groups: []train.Group{{Params: "**", LR: o.Clip.LR, WeightDecay: 0.1,
			NoDecay: []string{"**.bias", "**.*norm*.*", "**.*layrnorm.*", "**.class_embedding", "**.logit_scale"}}},
		After: func(int) { m.ClampLogitScale() },
		Evaluate: []train.Evaluation{{Name: "zero-shot", Every: max(1, o.Clip.Steps/8),
			Run: func(context.Context) (map[string]float64, error) {
				first, five, err := n.ZeroShot(m, n.Things, held)
				if err != nil {
					return nil, err
				}
				seen, _, err := n.ZeroShot(m, n.Things, shown)
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
	if err := n.Words.Save(dir); err != nil {
		return nil, err
	}
	b, err := json.Marshal(n.Processor)
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), b, 0o644) // last: the folder is whole
}

// config is that of both towers.
func (o options) config(n *study.Naming) vit.CLIPConfig {
	return vit.CLIPConfig{ModelType: "clip", ProjectionDim: o.Width, LogitScaleInit: 2.6592,
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: o.Width, IntermediateSize: 4 * o.Width,
			NumHiddenLayers: o.Layers, NumAttentionHeads: o.Width / 32, NumChannels: 3, ImageSize: o.Side,
			PatchSize: o.Patch, ProjectionDim: o.Width, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: 0.1},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: n.Words.Size(), HiddenSize: 128,
			IntermediateSize: 512, NumHiddenLayers: 1, NumAttentionHeads: 4, MaxPositionEmbeddings: n.Longest,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5, TokenStd: 0.05, BOS: int(n.Words.BOS()), EOS: int(n.Words.EOS()),
			ProjectionDim: o.Width}}
}

// score is what the tower alone makes of the held-out pictures, by the nearest name.
func score(n *study.Naming, m *vit.CLIP, all []study.Thing, out io.Writer) (zeroShot, error) {
	var z zeroShot
	var err error
	if z.First, z.Five, err = n.ZeroShot(m, n.Things, held); err != nil {
		return z, err
	}
	if z.All, _, err = n.ZeroShot(m, all, held); err != nil {
		return z, err
	}
	_, err = fmt.Fprintf(out, "zero-shot: %.1f %% of the held-out pictures, %.1f %% among five\n", 100*z.First, 100*z.Five)
	return z, err
}

func held(t study.Thing) *image.RGBA  { return t.Held }
func shown(t study.Thing) *image.RGBA { return t.Shown[0] }
