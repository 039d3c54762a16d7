package gligen_test

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/nn"
)

// A folder of diffusers' draws a llama with a hat where they are to be.
func Example() {
	p, err := gligen.Open("gligen-1-4-generation-text-box", nn.LoadOptions{})
	if err != nil {
		fmt.Println("the model is not here")
		return
	}
	images, err := p.Draw(context.Background(), []gligen.Request{{
		Prompt: "a llama with a hat on a beach",
		Objects: []gligen.Object{
			{Phrase: "a llama", Box: [4]float64{0.2, 0.3, 0.8, 1}},
			{Phrase: "a hat", Box: [4]float64{0.4, 0.1, 0.6, 0.3}},
		},
	}}, gligen.Defaults())
	if err != nil {
		panic(err)
	}
	fmt.Println(gligen.Image(images, 0).Bounds())
	// Output: the model is not here
}
