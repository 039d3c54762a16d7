package study

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Preset is everything that decides a run's result besides its seed.
type Preset struct {
	Name     string `json:"name"`
	Pictures int    `json:"pictures"` // rendered once, shown again and again

	Patch  int     `json:"patch"`
	Vision Blocks  `json:"vision"`
	Reader Blocks  `json:"reader"` // CLIP's text tower
	Shared int     `json:"shared"` // width of the space that CLIP's towers share
	Place  float64 `json:"place"`  // deviation that the vision tower's position table starts with

	Language Blocks `json:"language"`
	Merge    int    `json:"merge"` // neighbouring patches that become one token, per side

	Clip    Length  `json:"clip"`    // contrastive pre-training
	Text    Length  `json:"text"`    // the language model on described scenes
	Told    float64 `json:"told"`    // share of right answers with which the text stage is done; below it there is another start
	First   float64 `json:"first"`   // share of the text stage in which kinds of questions come one after another
	Align   Length  `json:"align"`   // stage 1: captions, connector only
	Tune    Length  `json:"tune"`    // stage 2: instructions, connector and language model
	Compare Length  `json:"compare"` // baselines are tuned as long as this (0: there are none), unless -full

	Made Length `json:"made"` // stage 2 of both models that -made compares

	Widgets Length `json:"widgets"` // eight new names through LoRA (0: none)

	Questions int `json:"questions"` // of each family, in the final evaluation
	Quick     int `json:"quick"`     // the same, while training
	Curve     int `json:"curve"`     // how many times stage 2 is measured
}

// Blocks are the sizes of a stack of transformer blocks.
type Blocks struct {
	Width  int `json:"width"`
	Layers int `json:"layers"`
	Heads  int `json:"heads"`
	MLP    int `json:"mlp"`
}

// Length is how long a stage trains, on how much, and how fast.
type Length struct {
	Steps int     `json:"steps"`
	Batch int     `json:"batch"` // samples of a micro-batch
	LR    float64 `json:"lr"`

	Accumulate int `json:"accumulate,omitempty"` // micro-batches of a step; 0: 1
}

// MicroBatches is how many micro-batches the stage takes in all.
func (c Length) MicroBatches() int { return c.Steps * max(1, c.Accumulate) }

// cut divides each step's samples into n micro-batches.
func (c *Length) cut(n int) error {
	if c.Batch%n != 0 {
		return fmt.Errorf("-accumulate %d: a batch of %d samples cannot be cut into so many equal parts", n, c.Batch)
	}
	c.Batch, c.Accumulate = c.Batch/n, n
	return nil
}

// cut divides the steps of all stages into n micro-batches each.
func (p *Preset) cut(n int) error {
	if n < 1 {
		return fmt.Errorf("-accumulate %d: a step has at least one micro-batch", n)
	}
	if n == 1 {
		return nil
	}
	for _, c := range []*Length{&p.Clip, &p.Text, &p.Align, &p.Tune, &p.Made, &p.Compare, &p.Widgets} {
		if c.Steps == 0 {
			continue
		}
		if err := c.cut(n); err != nil {
			return err
		}
	}
	return nil
}

// world is the world that the preset trains in.
func (p Preset) world(seed uint64) shapes.Config {
	c := shapes.Smoke(seed)
	if p.Name == "default" {
		c = shapes.Default(seed)
	}
	// the language model knows the words of all pairs; that they look like something, no picture shows
	c.TextHeldOut = 0.3
	return c
}

// ProjectorGain makes what is seen as loud as what is read, at the start.
const ProjectorGain = 3

// CLIP describes both towers for pictures of side pixels and the texts of v.
func (p Preset) CLIP(side int, v *Vocabulary) vit.CLIPConfig {
	s, t := p.Vision, p.Reader
	return vit.CLIPConfig{ModelType: "clip", ProjectionDim: p.Shared, LogitScaleInit: math.Log(1 / 0.07),
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: s.Width, IntermediateSize: s.MLP,
			NumHiddenLayers: s.Layers, NumAttentionHeads: s.Heads, NumChannels: 3, ImageSize: side, PatchSize: p.Patch,
			ProjectionDim: p.Shared, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: p.Place},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: v.Size(), HiddenSize: t.Width,
			IntermediateSize: t.MLP, NumHiddenLayers: t.Layers, NumAttentionHeads: t.Heads, MaxPositionEmbeddings: 96,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5, TokenStd: 0.05,
			BOS: int(v.BOS), EOS: int(v.EOS), PAD: int(v.Pad), ProjectionDim: p.Shared}}
}

// Decoder describes Qwen3's decoder, which is Llama's with normalised queries and keys. How it starts departs from the
// published weights, which suit widths of thousands: large embeddings keep the words of a question legible in the
// residual stream, without which looking up is learnt several times later.
func (p Preset) Decoder(v *Vocabulary) llm.Config {
	b := p.Language
	return llm.Config{ModelType: "qwen3", VocabSize: v.Size(), HiddenSize: b.Width, IntermediateSize: b.MLP,
		NumHiddenLayers: b.Layers, NumAttentionHeads: b.Heads, NumKeyValueHeads: b.Heads, HeadDim: b.Width / b.Heads,
		MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu", TieWordEmbeddings: true,
		RoPE: nn.RoPEConfig{Type: "default", Theta: 1e6},
		BOS:  int(v.BOS), PAD: int(v.Pad), EOS: []int{int(v.EOS)}, DType: "float32",
		InitStd: 0.05, DampResidual: true, EmbeddingStd: 0.3}
}
