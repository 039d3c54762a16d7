package seem_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/tensor"
)

// A click, and the mask that answers it, at a toy size.
func Example() {
	c := seem.FocalLarge()
	c.Focal.EmbedDim, c.Focal.Depths = 8, [4]int{1, 1, 1, 1}
	c.Encoder.ConvDim, c.Encoder.MaskDim, c.Encoder.Layers, c.DimProj = 32, 32, 1, 32
	c.Decoder.HiddenDim, c.Decoder.FeedForward, c.Decoder.Layers, c.Decoder.Queries = 32, 64, 4, 8
	c.Text.Width, c.Text.Layers, c.Text.VocabSize = 32, 1, 100
	m, err := seem.New(rand.New(rand.NewPCG(1, 2)), c) // seem.Load reads a trained one
	if err != nil {
		panic(err)
	}
	v := m.View(m.Normalize(tensor.New(1, 3, 64, 64)))
	click := seem.Strokes{Positive: seem.Click(seem.Pixel{Y: 20, X: 30}, 64, 64)}
	prompt := m.Decoder.Encode(v, seem.Spatial{H: 64, W: 64, Prompts: [][]seem.Strokes{{click}}})
	layers := m.Decoder.Prompt(v, prompt)
	last := layers[len(layers)-1]
	fmt.Println(seem.Chosen(last, m.Decoder.Answer(last, prompt)).Shape(), "mask logits")
	// Output: [1 1 16 16] mask logits
}
