package connector_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// A picture among text: one place in the ids, as many positions as it has features.
func ExampleVLM_Splice() {
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 16, 32, 2, 2, 8, 4
	m, err := llava.New(rand.New(rand.NewPCG(1, 2)), llava.Config{ // llava.Load reads a trained one
		Vision: v, Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200,
		Text: llm.Config{ModelType: "llama", VocabSize: 40, HiddenSize: 24, IntermediateSize: 32, NumHiddenLayers: 2, NumAttentionHeads: 2,
			MaxPositionEmbeddings: 64, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 10000}, BOS: 1, EOS: []int{2}, PAD: 0}})
	if err != nil {
		panic(err)
	}
	picture := imaging.Pixels{N: 1, H: 8, W: 8, Data: make([]float32, 3*8*8)}
	b, err := m.Splice([]connector.Sample{
		{IDs: []int32{1, chat.ImageIndex, 5, 6}, Images: []connector.Image{{Pixels: picture}}},
		{IDs: []int32{1, 7}}, // text alone needs no picture in its place
	}, true)
	if err != nil {
		panic(err)
	}
	fmt.Println(b.IDs.Shape(), b.Mask[7:])

	answer, err := m.Generate(context.Background(), b, llm.Options{MaxNewTokens: 3, EOS: []int{}})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(answer.IDs), len(answer.IDs[0]))
	// Output:
	// [2 7] [0 0 0 0 0 1 1]
	// 2 3
}
