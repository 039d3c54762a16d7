package main

import (
	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/pixeldecoder"
	"github.com/gollava/gollava/vit/unet"
)

// denseCases are training steps of the parts that draw and that segment: GLIGEN's UNet, all of it and its gated layers
// alone, beside diffusers' UNet2DConditionModel of the same configuration, and SEEM's mask decoder on features that do
// not train beside transformers' Mask2FormerTransformerModule, which computes the same: masked cross-attention,
// self-attention and feed-forward in nine layers, with masks and classes behind each.
func denseCases(batch int) []Case {
	var all []Case
	for _, s := range []struct {
		name  string
		args  size
		setup func() func()
	}{
		{"unet", size{"config": unetConfig(unet.Plain), "batch": batch}, func() func() {
			return inFolder(unetConfig(unet.Plain), batch, func(dir string, batch int) func() {
				return unetStep(dir, batch, "**")
			})
		}},
		{"unet-gated", size{"config": unetConfig(unet.Gated), "batch": batch}, func() func() {
			return inFolder(unetConfig(unet.Gated), batch, func(dir string, batch int) func() {
				return unetStep(dir, batch, "**.fuser.**", "position_net.**")
			})
		}},
		{"mask-decoder", size{"batch": batch, "width": maskWidth, "heads": maskHeads, "queries": maskQueries,
			"layers": maskLayers, "side": maskSide}, func() func() { return maskStep(batch) }},
	} {
		all = append(all, Case{Name: "systems/" + s.name, Op: "system_" + s.name, Rivals: []string{"torch"}, Args: s.args,
			Unit: "ms", Share: byArithmetic, RSS: true, Setup: s.setup})
	}
	return all
}

// unetConfig is Stable Diffusion's UNet with three narrower levels, for latents of 32×32.
func unetConfig(attention string) size {
	return size{"sample_size": 32, "in_channels": 4, "out_channels": 4, "block_out_channels": []int{64, 128, 256},
		"down_block_types": []string{unet.CrossDown, unet.CrossDown, unet.Down},
		"up_block_types":   []string{unet.Up, unet.CrossUp, unet.CrossUp}, "layers_per_block": 1,
		"attention_head_dim": 8, "cross_attention_dim": 256, "attention_type": attention}
}

const unetText, unetBoxes = 77, 8

// unetStep learns to predict the noise, with boxes if the model has gated layers.
func unetStep(dir string, batch int, patterns ...string) func() {
	c := must(unet.ReadConfig(dir))
	m := must(unet.New(seeded(), c))
	x, noise := uniform(batch, 4, c.SampleSize, c.SampleSize), uniform(batch, 4, c.SampleSize, c.SampleSize)
	text, boxes := uniform(batch, unetText, c.CrossAttentionDim), tensor.Full(0.5, batch, unetBoxes, 4)
	phrases, mask := uniform(batch, unetBoxes, c.CrossAttentionDim), tensor.Full(1, batch, unetBoxes)
	return learning(m, func(s *tensor.Arena) *tensor.Tensor {
		var g *unet.Grounding
		if m.Position != nil {
			g = &unet.Grounding{Tokens: m.Position.Forward(boxes.In(s), mask.In(s), phrases.In(s)), Gate: 1}
		}
		d := m.Forward(x.In(s), make([]int32, batch), text.In(s), g).Sub(noise.In(s))
		return d.Mul(d).Mean()
	}, patterns...)
}

const maskWidth, maskHeads, maskQueries, maskLayers, maskSide = 256, 8, 101, 9, 64

// maskStep is a step of the mask decoder on features at strides 32, 16, 8 and 4 of an image of 4·maskSide pixels.
func maskStep(batch int) func() {
	c := seem.FocalLarge()
	c.Focal.EmbedDim, c.Focal.Depths = 16, [4]int{1, 1, 1, 1} // is not run
	c.Encoder.ConvDim, c.Encoder.MaskDim, c.Encoder.Layers, c.DimProj = maskWidth, maskWidth, 1, maskWidth
	c.Decoder.HiddenDim, c.Decoder.Heads, c.Decoder.FeedForward = maskWidth, maskHeads, 4*maskWidth
	c.Decoder.Layers, c.Decoder.Queries = maskLayers+1, maskQueries
	d := must(seem.New(seeded(), c)).Decoder
	f := pixeldecoder.Features{Masks: uniform(batch, maskWidth, maskSide, maskSide)}
	for i := range f.Levels {
		side := maskSide >> (3 - i)
		f.Levels[i] = uniform(batch, maskWidth, side, side)
	}
	return learning(d, func(s *tensor.Arena) *tensor.Tensor {
		in := pixeldecoder.Features{Masks: f.Masks.In(s)}
		for i, x := range f.Levels {
			in.Levels[i] = x.In(s)
		}
		var sum *tensor.Tensor
		for _, p := range d.Objects(d.Look(in)) {
			l := p.Masks.Mul(p.Masks).Mean().Add(p.Class.Mul(p.Class).Mean())
			if sum != nil {
				l = sum.Add(l)
			}
			sum = l
		}
		return sum
	}, "transformer_*.**", "decoder_norm.*", "query_*.*", "level_embed.*", "mask_embed.**", "class_embed")
}
