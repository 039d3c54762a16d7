// Command finetune-block puts a layer of one's own into a language model, and trains nothing else.
//
//	go run ./examples/finetune-block
//	go test ./examples/finetune-block
//
// The model has learnt to count by one. Bottlenecks behind its blocks then teach it to count by five, while its own
// weights stay as they are. The tests beside this file are the point: they show what to check of a new layer before it
// is worth a minute of training.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Bottleneck is x + up(gelu(down(norm(x)))), a narrow detour. Up starts at zero, so that a fresh one changes nothing.
// Source: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP".
type Bottleneck struct {
	Norm nn.Layer `param:"norm"`
	Down nn.Layer `param:"down"` // C → r
	Up   nn.Layer `param:"up"`   // r → C
}

// NewBottleneck makes one of width r for hidden states of width c.
func NewBottleneck(rng *rand.Rand, c, r int) *Bottleneck {
	up := nn.NewLinear(rng, r, c, true)
	clear(up.Weight.Data())
	clear(up.Bias.Data())
	return &Bottleneck{Norm: nn.NewRMSNorm(rng, c, 1e-5), Down: nn.NewLinear(rng, c, r, true), Up: up}
}

// Forward keeps the shape [B, T, C].
func (b *Bottleneck) Forward(x *tensor.Tensor) *tensor.Tensor {
	h := nn.Activated(b.Down, b.Norm.Forward(x), tensor.GELU) // [B, T, r]
	return x.Add(b.Up.Forward(h))
}

// Adapted is a decoder's block with a bottleneck behind it. The block keeps the names of its parameters.
type Adapted struct {
	llm.Block  `param:",inline"`
	Bottleneck nn.Layer `param:"bottleneck"`
}

// Forward implements llm.Block.
func (a *Adapted) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	return a.Bottleneck.Forward(a.Block.Forward(x, p))
}

// Adapt puts a bottleneck of width r behind every block of m.
func Adapt(rng *rand.Rand, m *llm.Llama, r int) {
	for i, b := range m.Decoder.Layers {
		m.Decoder.Layers[i] = &Adapted{Block: b, Bottleneck: NewBottleneck(rng, m.Config().HiddenSize, r)}
	}
}

// Counter learns sequences of numbers.
type Counter struct {
	*llm.Llama `param:",inline"`
}

// Loss predicts each next number of ids [B, T].
func (c Counter) Loss(ids *tensor.Tensor) *tensor.Tensor {
	return llm.Loss(c, llm.Input{Embeds: c.Embed(ids)}, ids)
}

// numbers is how far the model counts before it begins again.
const numbers = 24

// counting gives batches of rows that go on by step.
func counting(step int) train.Batches[*tensor.Tensor] {
	return func(_ context.Context, n int) (*tensor.Tensor, error) {
		rng := rand.New(rand.NewPCG(7, uint64(n)))
		var ids []int
		for range 8 {
			for i, from := 0, rng.IntN(numbers); i < 10; i++ {
				ids = append(ids, (from+i*step)%numbers)
			}
		}
		return tensor.Ints(ids, 8, 10), nil
	}
}

func newCounter(rng *rand.Rand) (Counter, error) {
	m, err := llm.New(rng, llm.Config{ModelType: "llama", VocabSize: numbers, HiddenSize: 32, IntermediateSize: 64,
		NumHiddenLayers: 2, NumAttentionHeads: 4,
		MaxPositionEmbeddings: 64, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 10000}, BOS: -1,
		PAD: -1, InitStd: 0.08})
	if err != nil {
		return Counter{}, err
	}
	return Counter{m.(*llm.Llama)}, nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	rng := rand.New(rand.NewPCG(1, 2))
	m, err := newCounter(rng)
	if err != nil {
		return err
	}
	learn := func(name, params string, step int, lr float64) error {
		report, err := train.Run(ctx, m, train.Options{}, train.Stage[*tensor.Tensor]{Name: name,
			Batches: counting(step), Steps: 150, Clip: 1,
			Groups: []train.Group{{Params: params, LR: lr}}, Schedule: train.Cosine(0.05)})
		if err != nil {
			return err
		}
		loss := report.Stages[0].Loss
		fmt.Fprintf(out, "%-16s loss %.3f → %.3f\n", name, loss[0], loss[len(loss)-1])
		return nil
	}
	if err := learn("count by one", "**", 1, 5e-3); err != nil {
		return err
	}
	Adapt(rng, m.Llama, 8)
	if err := learn("count by five", "**.bottleneck.**", 5, 2e-2); err != nil {
		return err
	}
	few, all := 0, 0
	for name, p := range nn.Params(m) {
		all += p.Len()
		if nn.Match("**.bottleneck.**", name) {
			few += p.Len()
		}
	}
	fmt.Fprintf(out, "trained %d of %d parameters\n", few, all)

	g, err := llm.Generate(ctx, m, llm.Prompts{IDs: [][]int32{{3, 8}}}, llm.Options{MaxNewTokens: 4})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "3, 8, … goes on %v\n", g.IDs[0])
	return nil
}
