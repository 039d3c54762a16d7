package blip2_test

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/train"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A model is loaded from transformers' layout and continues a prompt behind an image.
func Example() {
	m, err := blip2.Load("testdata/instructblip", blip2.LoadOptions{})
	check(err)
	pixels, err := blip2.Processor(m.Vision.Config().ImageSize).Process(imaging.New(40, 20))
	check(err)
	b, err := m.Splice([]connector.Sample{{
		IDs:         []int32{chat.ImageIndex, 1, 9, 12}, // the image stands before the text
		Images:      []connector.Image{{Pixels: pixels}},
		Instruction: []int32{1, 8, 2}, // InstructBLIP: the question, in the Q-Former's vocabulary
	}}, true)
	check(err)
	g, err := m.Generate(context.Background(), b, llm.Options{MaxNewTokens: 3, EOS: []int{}})
	fmt.Println(b.IDs.Shape(), len(g.IDs[0]), err)
	// Output: [1 7] 3 <nil>
}

// A published checkpoint answers a question about an image.
func ExampleOpen() {
	ctx := context.Background()
	a, err := blip2.Open("blip2-opt-2.7b", blip2.LoadOptions{})
	check(err)
	answer, err := a.Ask(ctx, "Question: how many cats are there? Answer:", "cats.jpg")
	check(err)
	fmt.Println(answer)
}

// Stage 1 with the paper's values; batches may come from anywhere.
func ExampleStage1() {
	ctx := context.Background()
	var stage1 *blip2.Stage1 // of NewStage1
	var batches train.Batches[blip2.Pairs]
	stage := train.Stage[blip2.Pairs]{Name: "represent", Batches: batches, Steps: 250_000,
		Schedule: train.Schedule{Kind: "cosine", WarmupSteps: 2000}, Betas: [2]float64{0.9, 0.98},
		Groups: []train.Group{
			{Params: "vision_model.post_layernorm.*", LR: 1e-4}, {Params: "temp", LR: 1e-4},
			{Params: "query_tokens", LR: 1e-4, WeightDecay: 0.05}}}
	for _, part := range []string{"qformer", "embeddings", "vision_projection", "text_projection", "itm_head", "cls"} {
		stage.Groups = append(stage.Groups, train.Group{Params: part + ".**", LR: 1e-4, WeightDecay: 0.05,
			NoDecay: []string{"**.bias", "**.*orm.weight"}})
	}
	_, err := train.Run(ctx, stage1, train.Options{}, stage)
	check(err)
}
