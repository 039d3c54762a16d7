package blip2

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Retrieval compares images with texts, without a language model: by the cosine of embeddings (contrast) and by a head
// that reads both (matching). Source: transformers' Blip2ForImageTextRetrieval, names included.
// It is safe for concurrent use while nobody changes its parameters.
type Retrieval struct {
	Vision           vit.Tower      `param:"vision_model"`
	Norm             nn.Layer       `param:"vision_model.post_layernorm"` // of all features, of width D
	Queries          *tensor.Tensor `param:"query_tokens"`                // [1, Q, H]
	Embeddings       *Embeddings    `param:"embeddings"`                  // of text
	QFormer          *QFormer       `param:"qformer"`
	VisionProjection nn.Layer       `param:"vision_projection"` // H → E
	TextProjection   nn.Layer       `param:"text_projection"`   // H → E
	Match            nn.Layer       `param:"itm_head"`          // H → 2: no match, match

	config Config
}

// Pairs is a batch of images and texts, image i belonging to text i.
type Pairs struct {
	Pixels   *tensor.Tensor // [B, 3, S, S]; or
	Features *tensor.Tensor // [B, N, D], what the tower made of them (its last hidden state)
	IDs      *tensor.Tensor // int32 [B, T], [CLS] words [SEP], padded at the right
	Lengths  []int32        // [B], the real tokens of each text; nil: all

	// Negatives of stage 1: the image, and the text, that each pair is to be told from. nil: drawn from the odds that
	// the contrast gives, by a stream of Seed, which is to differ from batch to batch.
	NegativeImages, NegativeTexts []int32
	Seed                          uint64
}

// In is b with its tensors in scope s, as package train wants it: see [tensor.Tensor.In].
func (b Pairs) In(s *tensor.Arena) Pairs {
	for _, t := range []**tensor.Tensor{&b.Pixels, &b.Features, &b.IDs} {
		if *t != nil {
			*t = (*t).In(s)
		}
	}
	return b
}

// NewRetrieval builds the model that c describes, on the vision encoder v, which loses its last norm to it as in
// [Join]; c's language model counts for nothing. With a nil r the weights are to be loaded.
func NewRetrieval(r *rand.Rand, v vit.Tower, c Config) (*Retrieval, error) {
	c.Vision, c.QFormer.EncoderHiddenSize, c.QFormer.Text = v.Config(), v.Config().HiddenSize, true
	if err := c.validateImage(); err != nil {
		return nil, err
	}
	if c.Instructed() {
		return nil, fmt.Errorf("qformer model_type %q has neither contrast nor matching (blip_2_qformer has)",
			c.QFormer.ModelType)
	}
	if c.ProjectionDim == 0 {
		return nil, fmt.Errorf("image_text_hidden_size is 0: contrast needs embeddings")
	}
	q, err := NewQFormer(r, c.QFormer)
	if err != nil {
		return nil, err
	}
	H, E := c.QFormer.HiddenSize, c.ProjectionDim
	return &Retrieval{Vision: v, Norm: takeNorm(r, v), QFormer: q, Embeddings: newEmbeddings(r, c.QFormer),
		Queries:          tensor.Randn(r, c.QFormer.InitializerRange, 1, c.NumQueryTokens, H).Param(),
		VisionProjection: nn.NewLinear(r, H, E, true), TextProjection: nn.NewLinear(r, H, E, true),
		Match: nn.NewLinear(r, H, 2, true), config: c}, nil
}

// Config describes the model.
func (m *Retrieval) Config() Config { return m.config }

// Image is what the queries attend to: features [B, N, D] of the pairs' images after the norm.
func (m *Retrieval) Image(b Pairs) *tensor.Tensor {
	x := b.Features
	if x == nil {
		x = vit.Features(m.Vision, b.Pixels, vit.Select{Layers: []int{-1}, Class: "cls_patch"})
	}
	return m.Norm.Forward(x)
}

// normEps is the smallest norm that torch.nn.functional.normalize divides by.
const normEps = 1e-12

// EmbedImage maps an image's features [B, N, D] ([Retrieval.Image]) to unit vectors, one for each query: [B, Q, E].
func (m *Retrieval) EmbedImage(image *tensor.Tensor) *tensor.Tensor {
	y, _ := m.QFormer.Forward(Input{Queries: m.queries(image), Image: image})
	return m.VisionProjection.Forward(y).L2Normalize(normEps)
}

// EmbedText maps texts to unit vectors, read off at their first token: [B, E].
func (m *Retrieval) EmbedText(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	_, y := m.QFormer.Forward(Input{Text: m.Embeddings.Lookup(ids), Lengths: lengths}) // [B, T, H]
	B, _, H := y.Dims3()
	return m.TextProjection.Forward(y.Slice(1, 0, 1).Reshape(B, H)).L2Normalize(normEps)
}

// Similarity of images [I, Q, E] and texts [J, E] is the largest cosine among an image's queries: [I, J].
func Similarity(images, texts *tensor.Tensor) *tensor.Tensor {
	I, Q, E := images.Dims3()
	return images.Reshape(I*Q, E).MatMulT(texts).Reshape(I, Q, texts.Dim(0)).Max(1)
}

// MatchLogits say whether image i [B, N, D] and text i belong together: logits [B, 2] of no and yes. Queries and text
// attend to each other, and each query votes. Source: Li et al. 2023, section 3.2.
func (m *Retrieval) MatchLogits(image, ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	y, _ := m.QFormer.Forward(Input{Queries: m.queries(image), Text: m.Embeddings.Lookup(ids), Lengths: lengths,
		Image: image}) // [B, Q, H]
	return m.Match.Forward(y).Mean(1)
}

// queries are the model's, for each image [B, N, D]: [B, Q, H].
func (m *Retrieval) queries(image *tensor.Tensor) *tensor.Tensor {
	return repeat(m.Queries, image.Dim(0), image.Arena())
}
