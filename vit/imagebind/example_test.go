package imagebind_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// Sounds and depth maps meet in one space, though only pairs with a picture are ever trained on; at a toy size.
func Example() {
	c := imagebind.Huge()
	c.EmbedDim, c.Modalities = 16, []imagebind.Modality{imagebind.Vision, imagebind.Audio, imagebind.Depth}
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 32, 1, 2, [2]int{16, 8}
	c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioShape, c.AudioKernel = 32, 1, 2, [2]int{16, 24}, [2]int{8, 4}
	c.DepthDim, c.DepthBlocks, c.DepthHeads, c.DepthPatch = 32, 1, 2, [2]int{16, 8}
	m, err := imagebind.New(rand.New(rand.NewPCG(1, 2)), c) // imagebind.Load reads a trained one
	if err != nil {
		panic(err)
	}
	sounds, depths := tensor.New(3, 2, 1, 16, 24), tensor.New(5, 1, 16, 16) // two clips a sound
	fmt.Println(m.Embed(imagebind.Audio, sounds).MatMulT(m.Embed(imagebind.Depth, depths)).Shape())
	// Output: [3 5]
}
