package blip2_test

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
)

// A model is loaded from transformers' layout and continues a prompt behind an image.
func Example() {
	m, err := blip2.Load("testdata/instructblip", blip2.LoadOptions{})
	if err != nil {
		panic(err)
	}
	pixels, err := blip2.Processor(m.Vision.Config().ImageSize).Process(imaging.New(40, 20))
	if err != nil {
		panic(err)
	}
	b, err := m.Splice([]connector.Sample{{
		IDs:         []int32{chat.ImageIndex, 1, 9, 12}, // the image stands before the text
		Images:      []connector.Image{{Pixels: pixels}},
		Instruction: []int32{1, 8, 2}, // InstructBLIP: the question, in the Q-Former's vocabulary
	}}, true)
	if err != nil {
		panic(err)
	}
	g, err := m.Generate(context.Background(), b, llm.Options{MaxNewTokens: 3, EOS: []int{}})
	fmt.Println(b.IDs.Shape(), len(g.IDs[0]), err)
	// Output: [1 7] 3 <nil>
}
