package connector

import (
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// Connector turns the features of images into tokens for the language model: LLaVA's projectors (package llava), a
// resampler, a Q-Former. Its parameters keep the names that their own tags give them, without a prefix.
//
// It is safe for concurrent use, as a model is.
type Connector interface {
	// Layout returns what an image of the given size becomes. It panics if a side is not positive.
	Layout(size imaging.Size) Layout

	// Forward maps features [V, P, D] of the views of images, one image after another, to tokens [N, C], where V and N
	// are the sums over the images' layouts. Sizes are those of the images.
	Forward(features *tensor.Tensor, sizes []imaging.Size) *tensor.Tensor
}

// Layout is what an image becomes on its way to the language model.
type Layout struct {
	Views  int // that the encoder gets: the image itself, or more of it in tiles
	Tokens int // positions that it takes in the language model
}
