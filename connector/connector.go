package connector

import (
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
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

// Instructed is a [Connector] that reads the instruction as well: which tokens an image becomes depends on what is
// asked about it (InstructBLIP).
type Instructed interface {
	Connector

	// Instruct returns the connector for views of which each comes with the token ids of its instruction, in the
	// connector's own vocabulary. nil: without instructions. It panics if the connector cannot do without them.
	Instruct(instructions [][]int32) Connector

	// NeedsInstruction reports whether it cannot do without.
	NeedsInstruction() bool
}

// Layout is what an image becomes on its way to the language model.
type Layout struct {
	Views  int // that the encoder gets: the image itself, or more of it in tiles
	Tokens int // positions that it takes in the language model
}

// Attended is a [Connector] whose tokens take no places in the text: layers of the language model attend to them, as in
// Flamingo. Of an image only its mark, [Config].Image, stays in the text, so that Layout's Tokens are 1; the tokens
// that Forward returns are rows of any width and of one number for each image.
type Attended interface {
	Connector

	// Context says which tokens [N, D], those of all images, each position of the text attends to. ids are int32
	// [B, T], with Config.Image at the mark of an image; images [B] counts those of each row, and may count more than
	// there are marks.
	Context(ids, tokens *tensor.Tensor, images []int) *llm.Context
}
