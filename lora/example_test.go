package lora_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
)

// Adapters around two projections of every layer; Merge folds them into the weights again.
func ExampleWrap() {
	r := rand.New(rand.NewPCG(1, 2))
	m, err := llm.New(
		r,
		llm.Config{ModelType: "llama", VocabSize: 40, HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 3,
			NumAttentionHeads: 2, MaxPositionEmbeddings: 32, NormEps: 1e-5, HiddenAct: "silu",
			RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 1,
			PAD: 0, EOS: []int{2}},
	)
	if err != nil {
		panic(err)
	}
	count := func() (n int) {
		for range nn.Params(m) {
			n++
		}
		return n
	}
	before := count()
	a, err := lora.Wrap(m, lora.Default(4, 8, "q_proj", "v_proj"), r, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(a.Trainable(), "values train in", count()-before, "new parameters")
	fmt.Println(lora.Merge(m), count() == before)
	// Output:
	// 768 values train in 12 new parameters
	// <nil> true
}
