package unet_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

// A small model predicts the noise in two latents, one of them with a thing in a box.
func Example() {
	c := unet.StableDiffusion()
	c.BlockOutChannels, c.NormNumGroups, c.CrossAttentionDim, c.AttentionType = []int{8, 8, 8, 8}, 4, 16, unet.Gated
	u, err := unet.New(rand.New(rand.NewPCG(1, 2)), c) // unet.Load reads a trained one
	if err != nil {
		panic(err)
	}
	x, text := tensor.New(2, 4, 8, 8).NoGrad(), tensor.New(2, 77, 16)
	boxes := tensor.From([]float32{0.1, 0.2, 0.5, 0.9, 0, 0, 0, 0}, 2, 1, 4) // x0, y0, x1, y1
	mask := tensor.From([]float32{1, 0}, 2, 1)
	phrases := tensor.New(2, 1, 16)
	g := &unet.Grounding{Tokens: u.Position.Forward(boxes, mask, phrases), Gate: 1}
	fmt.Println(u.Forward(x, []int32{981, 981}, text, g).Shape())
	// Output: [2 4 8 8]
}
