package llm_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// tiny is a model with fresh weights; Load reads a trained one.
func tiny() llm.Model {
	m, err := llm.New(rand.New(rand.NewPCG(1, 2)), llm.Config{ModelType: "llama", VocabSize: 40, HiddenSize: 32,
		IntermediateSize: 48,
		NumHiddenLayers:  2, NumAttentionHeads: 2, MaxPositionEmbeddings: 256, NormEps: 1e-5, HiddenAct: "silu",
		RoPE: nn.RoPEConfig{Theta: 10000}, BOS: 1, EOS: []int{2}, PAD: 0, InitStd: 0.1})
	if err != nil {
		panic(err)
	}
	return m
}

// Tokens arrive one by one.
func ExampleGenerate() {
	n := 0
	out, err := llm.Generate(context.Background(), tiny(), llm.Prompts{IDs: [][]int32{{1, 5, 6}}}, llm.Options{
		MaxNewTokens: 8,
		EOS:          []int{}, // go on to the end
		Sampling:     llm.Sampling{Temperature: 0.8, TopP: 0.9, Seed: 7},
		OnToken:      func(row int, id int32) error { n++; return nil }, // an error here ends the generation
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(n, len(out.IDs[0]))
	// Output: 8 8
}

// Many requests share one batch; each stream ends on its own.
func ExampleEngine() {
	e := llm.NewEngine(tiny(), llm.EngineConfig{MaxRows: 16})
	defer e.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // what is cancelled leaves the batch within a token
	n := 0
	for token, err := range e.Stream(ctx, llm.Request{
		Prompt:  llm.Prompts{IDs: [][]int32{{1, 5, 6}}},
		Options: llm.Options{MaxNewTokens: 5, EOS: []int{}, TopLogProbs: 2},
	}) {
		if err != nil {
			panic(err)
		}
		if token.ID == token.Top[0].ID && token.LogProb == token.Top[0].LogProb { // greedy
			n++
		}
	}
	fmt.Println(n)
	// Output: 5
}

// How likely is a text, token by token? The result is recorded, as a preference loss needs it.
func ExampleLogProbs() {
	m := tiny()
	ids := tensor.Ints([]int{1, 5, 6, 7, 1, 8, 9, 2}, 2, 4)
	// the first row's prompt has two tokens, the second's one
	labels := tensor.Ints([]int{-100, -100, 6, 7, -100, 8, 9, 2}, 2, 4)
	p := llm.LogProbs(m, llm.Input{Embeds: m.Embed(ids)}, labels)
	fmt.Println(p.Shape(), p.Data()[:2], p.Data()[2] < 0)
	p.Sum(1).Mean().Scale(-1).Backward() // the mean negative log-likelihood of the rows
	fmt.Println(m.Head().(*nn.Linear).Weight.Grad().Shape())
	// Output:
	// [2 4] [0 0] true
	// [40 32]
}

// The second turn computes the new tokens only.
func ExampleSession() {
	s := llm.NewSession(tiny())
	o := llm.Options{MaxNewTokens: 4, EOS: []int{}}
	for _, question := range [][]int32{{1, 5, 6, 7}, {8, 9}} {
		fmt.Print(s.Cached(), " positions are known, ")
		if _, err := s.Generate(context.Background(), llm.Prompts{IDs: [][]int32{question}}, o); err != nil {
			panic(err)
		}
		fmt.Println("then", s.Len())
	}
	// Output:
	// 0 positions are known, then 8
	// 7 positions are known, then 14
}

// Parallel is a block whose attention and MLP read the same normed input, as in GPT-J and PaLM.
type Parallel struct {
	Norm      nn.Layer       `param:"input_layernorm"`
	Attention *llm.Attention `param:"self_attn"`
	MLP       *llm.MLP       `param:"mlp"`
}

// Forward implements llm.Block.
func (b *Parallel) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	h := b.Norm.Forward(x)
	return x.Add(b.Attention.Forward(h, p)).Add(b.MLP.Forward(h))
}

// A block of one's own takes the place of any other.
func ExampleBlock() {
	m := tiny().(*llm.Llama)
	for i, b := range m.Decoder.Layers {
		old := b.(*llm.LlamaBlock)
		m.Decoder.Layers[i] = &Parallel{Norm: old.InputNorm, Attention: old.Attention, MLP: old.MLP}
	}
	out, err := llm.Generate(context.Background(), m, llm.Prompts{IDs: [][]int32{{1, 5}}},
		llm.Options{MaxNewTokens: 3, EOS: []int{}})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(out.IDs[0]))
	// Output: 3
}
