package focalnet_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/focalnet"
)

// The features of the four stages, at a toy size.
func Example() {
	c := focalnet.Large()
	c.EmbedDim, c.Depths = 8, [4]int{1, 1, 1, 1}
	b, err := focalnet.New(rand.New(rand.NewPCG(1, 2)), c)
	if err != nil {
		panic(err)
	}
	for _, x := range b.Forward(tensor.New(1, 3, 64, 96)) {
		fmt.Println(x.Shape())
	}
	// Output:
	// [1 8 16 24]
	// [1 16 8 12]
	// [1 32 4 6]
	// [1 64 2 3]
}
