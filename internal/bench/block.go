package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// blockCases are forward and backward of transformer blocks, gradients of weights and input alike, in float32 and under
// autocast.
func blockCases() []Case {
	var list []Case
	for _, n := range []int{1, 4} {
		list = append(list, inBoth(Case{Name: fmt.Sprintf("block/vit-l/%d×577", n), Op: "vit_blocks",
			Args: size{"layers": n}, Rivals: torchModes, Unit: "ms", Share: byArithmetic, RSS: true},
			func(half bool) func() { return vitBlocks(n, half) })...)
	}
	c := llamaConfig(1, 2048, 16, 5632, 32)
	return append(list, inBoth(Case{Name: "block/llama/2048×5632×1024", Op: "llama_blocks", Args: llamaArgs(c, 1, 1024),
		Rivals: torchModes, Unit: "ms", Share: byArithmetic, RSS: true},
		func(half bool) func() { return llamaBlock(c, 1024, half) })...)
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func vitBlocks(layers int, half bool) func() {
	c := vit.CLIPLarge336()
	c.NumHiddenLayers = layers
	encoder := must(vit.NewCLIPVision(seeded(), c)).Model.Encoder
	nn.Autocast(encoder, half)
	x := uniform(1, 577, c.HiddenSize).Param()
	step := optimizer(append(params(encoder), x), false)
	dy := uniform(1, 577, c.HiddenSize)
	return func() {
		scope(func(s *tensor.Arena) {
			states := encoder.Forward(x.In(s), layers, tensor.AttentionConfig{})
			states[layers].BackwardFrom(dy)
		})
		step()
	}
}

func params(m any) []*tensor.Tensor {
	var list []*tensor.Tensor
	for _, p := range nn.Params(m) {
		list = append(list, p)
	}
	return list
}

// llamaConfig is a Llama with as many key heads as query heads.
func llamaConfig(layers, width, heads, mlp, vocabulary int) llm.Config {
	return llm.Config{ModelType: "llama", VocabSize: vocabulary, HiddenSize: width, IntermediateSize: mlp,
		NumHiddenLayers: layers, NumAttentionHeads: heads, NumKeyValueHeads: heads, HeadDim: width / heads,
		MaxPositionEmbeddings: 4096, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 10000}, BOS: 1, PAD: -1,
		EOS: []int{2}}
}

func llamaArgs(c llm.Config, batch, length int) size {
	return size{"layers": c.NumHiddenLayers, "width": c.HiddenSize, "heads": c.NumAttentionHeads,
		"mlp": c.IntermediateSize, "vocabulary": c.VocabSize, "b": batch, "t": length}
}

// llamaBlock is a block and the final norm.
func llamaBlock(c llm.Config, length int, half bool) func() {
	m := must(llm.New(seeded(), c)).(*llm.Llama)
	nn.Autocast(m, half)
	x := uniform(1, length, c.HiddenSize).Param()
	trained := append(params(m.Decoder.Layers), params(m.Decoder.Norm)...)
	step := optimizer(append(trained, x), false)
	dy := uniform(1, length, c.HiddenSize)
	return func() {
		scope(func(s *tensor.Arena) { m.Hidden(llm.Input{Embeds: x.In(s)}).BackwardFrom(dy) })
		step()
	}
}
