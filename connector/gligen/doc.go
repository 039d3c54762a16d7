// Package gligen draws images from a text, and from phrases with boxes that say where each thing is to be:
//
//	p, err := gligen.Open("gligen-1-4-generation-text-box", nn.LoadOptions{})
//	images, err := p.Draw(ctx, []gligen.Request{{
//		Prompt: "a llama and a hat on a beach",
//		Objects: []gligen.Object{
//			{Phrase: "a llama", Box: [4]float64{0.2, 0.3, 0.8, 1}},
//			{Phrase: "a hat", Box: [4]float64{0.4, 0.1, 0.6, 0.3}},
//		},
//	}}, gligen.Defaults())
//	err = png.Encode(f, gligen.Image(images, 0))
//
// A [Pipeline] is a latent diffusion model, such as Stable Diffusion 1, with or without GLIGEN's gated layers; folders
// are diffusers'. To train the new layers of a model, see [Pipeline.Loss]. Source: Li et al. 2023, "GLIGEN: Open-Set
// Grounded Text-to-Image Generation"; diffusers' StableDiffusionGLIGENPipeline.
package gligen
