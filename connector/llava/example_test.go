package llava_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// A folder such as llava-1.5-7b-hf, opened and asked about an image.
func ExampleOpen() {
	folder, err := tiny()
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	a, err := llava.Open(folder, llava.LoadOptions{})
	if err != nil {
		panic(err)
	}
	a.Options.MaxNewTokens = 4
	answer, err := a.Ask(context.Background(), "What is this?", "../../examples/quickstart/result/loss.png")
	fmt.Println(len(answer) > 0, err) // an untrained model talks nonsense
	fmt.Println(a.Template.Name, a.Model.Connector.Layout(imaging.Size{W: 40, H: 30}))
	// Output:
	// true <nil>
	// vicuna_v1 {1 16}
}

// tiny writes a LLaVA with random weights in the Hub's layout.
func tiny() (string, error) {
	dir, err := os.MkdirTemp("", "llava")
	if err != nil {
		return "", err
	}
	tok, err := tokenizer.Train(slices.Values([]string{"What is this? It is a cat."}), tokenizer.TrainConfig{Size: 300,
		Specials: []string{"<unk>", "<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>"})
	if err != nil {
		return "", err
	}
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 12, 24, 2, 2, 32, 8
	m, err := llava.New(rand.New(rand.NewPCG(1, 2)), llava.Config{
		Vision: v, Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 3,
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2,
			NumAttentionHeads: 2, MaxPositionEmbeddings: 256, NormEps: 1e-5, HiddenAct: "silu",
			RoPE: nn.RoPEConfig{Theta: 10000}, BOS: 1, EOS: []int{2}, PAD: 0}})
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, "tiny")
	return folder, llava.Save(folder, m, llava.SaveOptions{Tokenizer: tok})
}
