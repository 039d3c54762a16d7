package vit_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// What LLaVA-1.5 looks with, at a toy size: the patches after the last layer but one.
func ExampleFeatures() {
	c := vit.CLIPLarge336()
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads = 32, 64, 3, 4
	c.ImageSize, c.PatchSize = 28, 14
	tower, err := vit.New(rand.New(rand.NewPCG(1, 2)), c) // vit.Load reads a trained one
	if err != nil {
		panic(err)
	}
	pixels := tensor.New(1, 3, 28, 28)
	fmt.Println(vit.Features(tower, pixels, vit.Select{Layers: []int{-2}, Class: "patch"}).Shape())
	fmt.Println(vit.Features(tower, pixels, vit.Select{Layers: []int{-2}, Class: "cls_patch"}).Shape())
	// Output:
	// [1 4 32]
	// [1 5 32]
}
