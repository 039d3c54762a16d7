package main

import (
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// modelCases are whole models and training steps.
func modelCases() []Case {
	four, small, llava := llamaConfig(4, 2048, 16, 5632, 32000), llamaConfig(4, 256, 8, 704, 1024),
		llamaConfig(8, 512, 8, 1376, 8192)
	step := func(name, op string, c llm.Config, batch, length int, rivals []string,
		setup func(c llm.Config, batch, length int, half bool) func()) []Case {
		return inBoth(Case{Name: name, Op: op, Args: llamaArgs(c, batch, length), Rivals: rivals, Unit: "ms",
			Share: byArithmetic, RSS: true}, func(half bool) func() { return setup(c, batch, length, half) })
	}
	return slices.Concat(
		inBoth(Case{Name: "model/vit-l-336/forward", Op: "vit_forward", Args: size{}, Unit: "ms",
			Rivals: slices.Concat(torchModes, openvinoModes), Share: byArithmetic, RSS: true}, vitForward),
		step("model/llama/4×2048×1024", "llama_loss", four, 1, 1024, torchModes, llamaLoss),
		step("model/llama/steady-4×256×128", "llama_step", small, 4, 128, torchModes, llamaStep),
		step("model/llava/8×512×400", "llava_step", llava, 4, 400, torchModes, llavaStep(false)),
		step("model/llava/8×512×400/recomputed", "llava_step", llava, 4, 400, torchModes, llavaStep(true)))
}

// vitForward is the tower's forward pass, with the blocks' weights in bfloat16 if half.
func vitForward(half bool) func() {
	tower := must(vit.NewCLIPVision(seeded(), vit.CLIPLarge336()))
	for _, p := range params(tower.Model.Encoder) {
		if p.SetTrainable(false); half && p.Rank() >= 2 {
			p.SetStorage(p.Cast(tensor.BFloat16).Keep())
		}
	}
	nn.Autocast(tower, half)
	pixels := uniform(1, 3, 336, 336).NoGrad()
	return func() { scope(func(s *tensor.Arena) { tower.HiddenStates(pixels.In(s), 24) }) }
}

// llamaLoss is forward with loss and backward, and llamaStep AdamW besides.
func llamaLoss(c llm.Config, batch, length int, half bool) func() {
	return llama(c, batch, length, half, false)
}

func llamaStep(c llm.Config, batch, length int, half bool) func() {
	return llama(c, batch, length, half, true)
}

func llama(c llm.Config, batch, length int, half, adamw bool) func() {
	m := must(llm.New(seeded(), c))
	nn.Autocast(m, half)
	ids := tokens(batch, length, c.VocabSize)
	step := optimizer(params(m), adamw)
	return func() {
		scope(func(s *tensor.Arena) { llm.Loss(m, llm.Input{Embeds: m.Embed(ids.In(s))}, ids).Backward() })
		step()
	}
}

func tokens(batch, length, vocabulary int) *tensor.Tensor {
	ids := make([]int32, batch*length)
	for i := range ids {
		ids[i] = int32(i * 31 % vocabulary)
	}
	return tensor.WrapInts(ids, batch, length)
}

// The pictures of llavaStep: 256 features of CLIP's width each, and a row's last tokens are supervised.
const pictureTokens, supervised = 256, 100

// llavaStep is a step of stage 2 on features from a cache: projector and language model train. With recompute, blocks
// keep their inputs only, and the rival all that it does.
func llavaStep(recompute bool) func(c llm.Config, batch, length int, half bool) func() {
	return func(c llm.Config, batch, length int, half bool) func() {
		vision := vit.CLIPLarge()
		m := must(llava.Join(seeded(), must(vit.New(nil, vision)), must(llm.New(seeded(), c)),
			llava.Config{Projector: "mlp2x_gelu", Image: -1, Select: vit.Select{Layers: []int{-2}, Class: "patch"}}))
		m.SetRecompute(recompute)
		nn.Autocast(m, half)
		ids, labels := tokens(batch, length, c.VocabSize), make([]int32, batch*length)
		for i := range labels {
			labels[i] = tensor.IgnoreIndex
			if i%length >= length-supervised {
				labels[i] = ids.IntData()[i]
			}
			if i%length < pictureTokens {
				ids.IntData()[i] = -1
			}
		}
		b := connector.Batch{IDs: ids, Labels: tensor.WrapInts(labels, batch, length),
			Features: uniform(batch, pictureTokens, vision.HiddenSize)}
		step := optimizer(append(params(m.Connector), params(m.Language)...), true)
		return func() {
			scope(func(s *tensor.Arena) { m.Loss(b.In(s)).Backward() })
			step()
		}
	}
}
