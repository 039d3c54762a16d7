// Package llm holds decoders (Llama, Vicuna, Mistral, Mixtral, Qwen2, Qwen3, Qwen2-MoE, Phi, Phi-3,
// MPT, Gemma, Gemma 2, StableLM, OPT), their key-value cache and text generation. It reads and writes the checkpoints
// of transformers.
//
// A model maps token embeddings [B, T, C] to hidden states, so that a caller may put image features among them;
// [Generate] continues prompts, and [LogProbs] scores text. A decoder is a [Family]; a layer of it is a [Block], of
// this package or of another.
package llm

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Model is a causal language model. Those of this package are safe for concurrent use while nobody changes their
// parameters.
type Model interface {
	Config() Config

	// Embed looks up token ids (int32 [B, T]): [B, T, C].
	Embed(ids *tensor.Tensor) *tensor.Tensor

	// Hidden runs the decoder, final norm included: [B, T, C], or [N, C] if in.Rows asks for N positions.
	Hidden(in Input) *tensor.Tensor

	// Head is the layer from hidden states to logits [.., V].
	Head() nn.Layer

	// SetRecompute says whether training keeps only the inputs of each block and computes the rest again in the
	// backward pass.
	SetRecompute(on bool)
}

// New builds the model that c describes, of one of extra or of [Families], with transformers' initial weights. With a
// nil r the weights are to be loaded. Its errors name the field of c.
func New(r *rand.Rand, c Config, extra ...Family) (Model, error) {
	f, err := family(c.ModelType, extra)
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return f.New(r, c)
}
