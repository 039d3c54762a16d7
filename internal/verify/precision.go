package verify

import "github.com/gollava/gollava/tensor"

// InBlocks loads weights that are stored in blocks as they are, and all others as float32: what recorded results were computed with.
func InBlocks(_ string, stored tensor.DType) tensor.DType {
	if stored.Quantized() {
		return stored
	}
	return tensor.Float32
}
