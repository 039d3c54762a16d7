package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// newCLIP is a small CLIP that has learnt nothing, for images of side×side pixels.
func newCLIP(random *rand.Rand, side int, tok *tokenizer.Tokenizer) (*vit.CLIP, error) {
	return vit.NewCLIP(random, vit.CLIPConfig{ModelType: "clip", ProjectionDim: 48, LogitScaleInit: math.Log(1 / 0.07),
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 48, IntermediateSize: 192,
			NumHiddenLayers: 2, NumAttentionHeads: 4, NumChannels: 3, ImageSize: side, PatchSize: 8, ProjectionDim: 48,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: 1},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: tok.Size(), HiddenSize: 48, IntermediateSize: 192,
			NumHiddenLayers: 2, NumAttentionHeads: 4, MaxPositionEmbeddings: 24, ProjectionDim: 48,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5, BOS: int(tok.BOS()), EOS: int(tok.EOS()), PAD: int(tok.Pad()),
			TokenStd: 0.3}})
}

// contrast is CLIP as it trains: which prompt belongs to which image?
type contrast struct {
	CLIP *vit.CLIP `param:"clip"`
}

// pairs are images and prompts that ask for them.
type pairs struct {
	images *tensor.Tensor // [B, 3, S, S]
	ids    *tensor.Tensor // [B, T]
	same   *tensor.Tensor // [B, B], −10⁴ where a prompt equals another image's
}

// In is b in scope s.
func (b pairs) In(s *tensor.Arena) pairs {
	b.images, b.ids, b.same = b.images.In(s), b.ids.In(s), b.same.In(s)
	return b
}

// Loss is CLIP's symmetric cross-entropy.
func (m *contrast) Loss(b pairs) *tensor.Tensor {
	images, texts := m.CLIP.EncodeImage(b.images), m.CLIP.EncodeText(b.ids, nil) // [B, E]
	return vit.ContrastiveLoss(m.CLIP.Logits(images, texts), b.same)
}

// pairBatches draws images with one object in the first half, then with up to r.objects, half of their prompts with
// places.
func pairBatches(p *gligen.Pipeline, w *shapes.World, r recipe) train.Batches[pairs] {
	return func(_ context.Context, n int) (pairs, error) {
		random := rand.New(rand.NewPCG(r.seed+2<<32, uint64(n)))
		B := 4 * r.batch
		var scenes []shapes.Scene
		var prompts []string
		for range B {
			s := w.Scene(shapes.Train, random.IntN(1<<30), shapes.Options{MaxObjects: min(1+2*n/r.clip, r.objects)})
			scenes = append(scenes, s)
			prompts = append(prompts, request(random, s, random.IntN(2) == 0, false).Prompt)
		}
		return pairs{pixels(scenes), p.IDs(prompts, false), study.Equal(prompts, B)}, nil
	}
}
