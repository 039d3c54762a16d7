package llava_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/vit"
)

// LLaVA's two stages, from the folders of an encoder and a language model and from data files. Everything that a
// config leaves out has the published value; Steps and Batch are here for a toy.
func ExampleTrain() {
	tiny("toy") // in place of openai/clip-vit-large-patch14-336, lmsys/vicuna-7b-v1.5 and LLaVA's data
	defer os.RemoveAll("toy")

	ctx := context.Background()
	for _, c := range []llava.Config{
		{Stage: "align", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/pretrain/chat.json", Images: "toy/pretrain/images",
			Out: "toy/align", Steps: 2, Batch: 4},
		{Stage: "tune", Vision: "toy/vision", LLM: "toy/llm", Projector: "toy/align", Data: "toy/instruct/llava_instruct.json",
			Images: "toy/instruct/images", Out: "toy/tuned", Steps: 2, Batch: 4},
	} {
		report, err := llava.Train(ctx, c, train.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(report.Stages[0].Name, report.Stages[0].Steps, "steps")
	}
	// Output:
	// align 2 steps
	// tune 2 steps
}

// Adapters for a finished LLaVA, on data of the user's own.
func ExampleTrain_lora() {
	tiny("toy")
	defer os.RemoveAll("toy")
	c := llava.Config{Stage: "lora", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/instruct/llava_instruct.json",
		Images: "toy/instruct/images", Out: "toy/adapter", Steps: 1, Batch: 4, LoRA: llava.LoRA{Rank: 4, Alpha: 8}}
	if _, err := llava.Train(context.Background(), c, train.Options{}); err != nil {
		fmt.Println(err)
	}
	_, err := os.Stat("toy/adapter/adapter_model.safetensors")
	fmt.Println("saved:", err == nil)
	// Output: saved: true
}

// tiny writes an encoder, a language model with its tokenizer, and data, each as they are published.
func tiny(dir string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	tower, err := vit.New(r, vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2,
		NumAttentionHeads: 2, NumChannels: 3, ImageSize: 32, PatchSize: 8, HiddenAct: "quick_gelu", LayerNormEps: 1e-5})
	must(err)
	must(vit.Save(filepath.Join(dir, "vision"), tower, nn.SaveOptions{}))

	world, err := shapes.New(shapes.Smoke(1))
	must(err)
	must(world.Write(context.Background(), dir, shapes.Files{Captions: 8, Instructions: 8, Questions: 1}))

	text, err := os.ReadFile(filepath.Join(dir, "instruct", "llava_instruct.json"))
	must(err)
	tok, err := tokenizer.Train(slices.Values([]string{string(text)}), tokenizer.TrainConfig{Size: 384,
		Specials: []string{"<unk>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	must(err)
	m, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 24, IntermediateSize: 48, NumHiddenLayers: 2,
		NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu",
		RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, PAD: -1})
	must(err)
	must(llm.Save(m, filepath.Join(dir, "llm"), nn.SaveOptions{}))
	must(tok.Save(filepath.Join(dir, "llm")))
}
