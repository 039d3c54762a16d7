package diffusion_test

import (
	"fmt"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
)

// A model that predicts the noise of an image that is 0.5 everywhere leads back to it.
func Example() {
	s, err := diffusion.New(diffusion.StableDiffusion())
	if err != nil {
		panic(err)
	}
	sampler, err := s.Sampler(10)
	if err != nil {
		panic(err)
	}
	x, image := tensor.From([]float32{1.5, -0.3}, 1, 2), tensor.Full(0.5, 1, 2)
	bars := s.AlphasCumprod()
	for _, t := range sampler.Timesteps() {
		bar := tensor.Full(float32(bars[t]))
		noise := x.Sub(image.Mul(bar.Sqrt())).Div(bar.Affine(-1, 1).Sqrt())
		x = sampler.Step(x, noise)
	}
	fmt.Printf("%.1f\n", x.Data())
	// Output: [0.5 0.5]
}
