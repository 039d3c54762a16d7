package connector_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
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

// Training batches of LLaVA's data: the assistant that talks about images is the one that is trained.
func ExampleAssistant_Batches() {
	a, err := build(plain) // llava.Open reads a trained one
	if err != nil {
		panic(err)
	}
	set := data.Memory{about("a", "30x20", "What is this?", "A cat."), about("b", "", "Who?", "Me."), about("c", "9x17", "Why?", "So.")}
	images := squares{} // data.OpenSource opens a folder, a zip or a tar file
	b, err := a.Batches(set, images, connector.BatchOptions{Batch: 2, Order: data.Shuffled(set.Len(), 1)})
	if err != nil {
		panic(err)
	}
	report, err := train.Run(context.Background(), a.Model, train.Options{}, train.Stage[connector.Batch]{
		Name: "align", Batches: train.Prefetch(b.Batch, 2), Length: b.Len(), Epochs: 3,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: 1e-3}}})
	fmt.Println(b.Len(), "batches,", report.Stages[0].Steps, "steps,", err)
	// Output: 2 batches, 6 steps, <nil>
}
