package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/gollava/gollava/connector/llava"
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
	Batch int     `json:"batch"`
	LR    float64 `json:"lr"`
}

// presets are what -preset knows.
var presets = []Preset{smoke(), standard(), toy()}

// standard is the default: a world of 3×3 cells, everything measured, in minutes.
func standard() Preset {
	return Preset{
		Name: "default", Pictures: 16000,
		Patch: 8, Vision: Blocks{64, 3, 4, 256}, Reader: Blocks{64, 2, 4, 256}, Shared: 64, Place: 0.17,
		Language: Blocks{96, 3, 6, 256}, Merge: 2,
		Clip: Length{1400, 64, 2e-3}, Text: Length{8000, 16, 1.2e-3}, Told: 0.98, First: 0.3, Align: Length{300, 32, 2e-3}, Tune: Length{6000, 16, 1.2e-3}, Compare: Length{500, 16, 1.2e-3}, Widgets: Length{400, 16, 3e-3},
		Questions: 300, Quick: 40, Curve: 10,
	}
}

// smoke is a world of 2×2 cells: enough to see that the picture is used, in about a minute.
func smoke() Preset {
	return Preset{
		Name: "smoke", Pictures: 6000,
		Patch: 8, Vision: Blocks{48, 2, 4, 192}, Reader: Blocks{48, 1, 4, 192}, Shared: 48, Place: 0.17,
		Language: Blocks{64, 2, 4, 176}, Merge: 2,
		Clip: Length{400, 48, 2e-3}, Text: Length{1500, 16, 2e-3}, First: 0.7, Align: Length{80, 32, 2e-3}, Tune: Length{800, 16, 1.5e-3},
		Questions: 150, Quick: 40, Curve: 4,
	}
}

// toy runs through everything in a second or two and learns next to nothing; it is for tests.
func toy() Preset {
	return Preset{
		Name: "toy", Pictures: 96,
		Patch: 8, Vision: Blocks{16, 2, 2, 32}, Reader: Blocks{16, 1, 2, 32}, Shared: 16, Place: 0.17,
		Language: Blocks{16, 1, 2, 32}, Merge: 2,
		Clip: Length{6, 8, 2e-3}, Text: Length{6, 4, 2e-3}, First: 0.3, Align: Length{4, 4, 2e-3}, Tune: Length{6, 4, 2e-3}, Compare: Length{2, 4, 2e-3}, Widgets: Length{2, 4, 2e-3},
		Questions: 4, Quick: 2, Curve: 2,
	}
}

// presetNamed finds a preset.
func presetNamed(name string) (Preset, error) {
	if i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name }); i >= 0 {
		return presets[i], nil
	}
	return Preset{}, fmt.Errorf("-preset %q is not known: use default (minutes) or smoke (about one)", name)
}

// world is the world that the preset trains in.
func (p Preset) world(seed uint64) shapes.Config {
	c := shapes.Smoke(seed)
	if p.Name == "default" {
		c = shapes.Default(seed)
	}
	c.TextHeldOut = 0.3 // the language model knows the words of all pairs; that they look like something, no picture shows
	return c
}

func (p Preset) visionConfig(side int) vit.VisionConfig {
	b := p.Vision
	return vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: b.Width, IntermediateSize: b.MLP, NumHiddenLayers: b.Layers, NumAttentionHeads: b.Heads,
		NumChannels: 3, ImageSize: side, PatchSize: p.Patch, ProjectionDim: p.Shared, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, PositionStd: p.Place}
}

func (p Preset) clipConfig(side int, v *Vocabulary) vit.CLIPConfig {
	b := p.Reader
	return vit.CLIPConfig{ModelType: "clip", Vision: p.visionConfig(side), ProjectionDim: p.Shared, LogitScaleInit: math.Log(1 / 0.07),
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: v.Size(), HiddenSize: b.Width, IntermediateSize: b.MLP, NumHiddenLayers: b.Layers,
			NumAttentionHeads: b.Heads, MaxPositionEmbeddings: 96, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, TokenStd: 0.05,
			BOS: int(v.BOS), EOS: int(v.EOS), PAD: int(v.Pad), ProjectionDim: p.Shared}}
}

// languageConfig is Qwen3's decoder, which is Llama's with normalised queries and keys. How it starts departs from the published weights, which suit widths of
// thousands: large embeddings keep the words of a question legible in the residual stream, without which looking up is learnt several times later.
func (p Preset) languageConfig(v *Vocabulary) llm.Config {
	b := p.Language
	return llm.Config{ModelType: "qwen3", VocabSize: v.Size(), HiddenSize: b.Width, IntermediateSize: b.MLP, NumHiddenLayers: b.Layers,
		NumAttentionHeads: b.Heads, NumKeyValueHeads: b.Heads, HeadDim: b.Width / b.Heads, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu",
		TieWordEmbeddings: true, RoPE: nn.RoPEConfig{Type: "default", Theta: 1e6}, BOS: int(v.BOS), PAD: int(v.Pad), EOS: []int{int(v.EOS)}, DType: "float32",
		InitStd: 0.05, DampResidual: true, EmbeddingStd: 0.3}
}

// projectorGain makes what is seen as loud as what is read, at the start.
const projectorGain = 3

// vlmConfig joins the towers with LLaVA's first connector, a linear map, which can only pass on what the encoder has made plain; the two Linears
// are how transformers' files say it. With GELU between them (v1.5) the connector is a small encoder of its own: see README for what it gave.
func (p Preset) vlmConfig(side int, v *Vocabulary) llava.Config {
	return llava.Config{Text: p.languageConfig(v), Vision: p.visionConfig(side), Projector: "mlp2x_linear", Select: vit.Select{Layers: []int{-2}, Class: "patch"},
		Template: "vicuna_v1", System: new(string),
		Image: int(v.Image), Aspect: "square", PaddingSide: "right", Merge: p.Merge, Gain: projectorGain}
}
