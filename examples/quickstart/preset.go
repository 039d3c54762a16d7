package main

import (
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// presets are what -preset knows.
var presets = []study.Preset{smoke(), standard(), toy()}

// standard is the default: a world of 3×3 cells, everything measured, in minutes.
func standard() study.Preset {
	return study.Preset{
		Name: "default", Pictures: 16000,
		Patch: 8, Vision: study.Blocks{Width: 64, Layers: 3, Heads: 4, MLP: 256},
		Reader: study.Blocks{Width: 64, Layers: 2, Heads: 4, MLP: 256}, Shared: 64, Place: 0.17,
		Language: study.Blocks{Width: 96, Layers: 3, Heads: 6, MLP: 256}, Merge: 2,
		Clip: length(1400, 64, 2e-3), Text: length(8000, 16, 1.2e-3), Told: 0.98, First: 0.3,
		Align: length(300, 32, 2e-3), Tune: length(6000, 16, 1.2e-3), Compare: length(500, 16, 1.2e-3),
		Made: length(3000, 16, 1.2e-3), Widgets: length(400, 16, 3e-3),
		Questions: 300, Quick: 40, Curve: 10,
	}
}

// smoke is a world of 2×2 cells: enough to see that the picture is used, in about a minute.
func smoke() study.Preset {
	return study.Preset{
		Name: "smoke", Pictures: 6000,
		Patch: 8, Vision: study.Blocks{Width: 48, Layers: 2, Heads: 4, MLP: 192},
		Reader: study.Blocks{Width: 48, Layers: 1, Heads: 4, MLP: 192}, Shared: 48, Place: 0.17,
		Language: study.Blocks{Width: 64, Layers: 2, Heads: 4, MLP: 176}, Merge: 2,
		Clip: length(400, 48, 2e-3), Text: length(1500, 16, 2e-3), First: 0.7,
		Align: length(80, 32, 2e-3), Tune: length(800, 16, 1.5e-3), Made: length(800, 16, 1.5e-3),
		Questions: 150, Quick: 40, Curve: 4,
	}
}

// toy runs through everything in a second or two and learns next to nothing; it is for tests.
func toy() study.Preset {
	return study.Preset{
		Name: "toy", Pictures: 96,
		Patch: 8, Vision: study.Blocks{Width: 16, Layers: 2, Heads: 2, MLP: 32},
		Reader: study.Blocks{Width: 16, Layers: 1, Heads: 2, MLP: 32}, Shared: 16, Place: 0.17,
		Language: study.Blocks{Width: 16, Layers: 1, Heads: 2, MLP: 32}, Merge: 2,
		Clip: length(6, 8, 2e-3), Text: length(6, 4, 2e-3), First: 0.3, Align: length(4, 4, 2e-3),
		Tune: length(6, 4, 2e-3), Compare: length(2, 4, 2e-3), Made: length(4, 4, 2e-3), Widgets: length(2, 4, 2e-3),
		Questions: 4, Quick: 2, Curve: 2,
	}
}

// vlmConfig joins the towers with LLaVA's first connector, a linear map, which can only pass on what the encoder has
// made plain; the two Linears are how transformers' files say it. With GELU between them (v1.5) the connector is a
// small encoder of its own: see README for what it gave.
func vlmConfig(p study.Preset, side int, v *study.Vocabulary) llava.Config {
	return llava.Config{Text: p.Decoder(v), Vision: p.CLIP(side, v).Vision, Projector: "mlp2x_linear",
		Select:   vit.Select{Layers: []int{-2}, Class: "patch"},
		Template: "vicuna_v1", System: new(string),
		Image: int(v.Image), Aspect: "square", PaddingSide: "right", Merge: p.Merge, Gain: study.ProjectorGain}
}

func length(steps, batch int, lr float64) study.Length {
	return study.Length{Steps: steps, Batch: batch, LR: lr}
}
