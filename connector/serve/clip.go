package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// CLIP serves embeddings of texts and images, which can be compared with one another. It gives no answers. p makes
// images of the size that the model's vision tower takes.
func CLIP(m *vit.CLIP, t *tokenizer.Tokenizer, p *imaging.Processor) Model {
	return &clip{silent{errEmbedsOnly}, m, t, p}
}

type clip struct {
	silent
	model     *vit.CLIP
	tokenizer *tokenizer.Tokenizer
	processor *imaging.Processor
}

func (m *clip) Context() int { return m.model.Config().Text.MaxPositionEmbeddings }

// Embed implements [Model]: the projections of both towers. An image counts as the positions of its patches and class.
func (m *clip) Embed(ctx context.Context, inputs []Input) (vectors [][]float32, tokens int, err error) {
	for i, in := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		embed, n, err := m.input(in)
		if err != nil {
			return nil, 0, fmt.Errorf("input %d: %w", i, err)
		}
		var v []float32
		if err := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) { v = append(v, embed(s).Host().Data()...) })
		}); err != nil {
			return nil, 0, err
		}
		vectors, tokens = append(vectors, v), tokens+n
	}
	return vectors, tokens, nil
}

// input is how an input is embedded, to [1, E], and the positions that it has.
func (m *clip) input(in Input) (embed func(*tensor.Arena) *tensor.Tensor, positions int, err error) {
	c := m.model.Config()
	if in.Sound != nil {
		return nil, 0, errors.New("this model embeds texts and images, no sounds")
	}
	if in.Image != nil {
		x, err := m.processor.Process(in.Image)
		if err != nil {
			return nil, 0, err
		}
		if S := c.Vision.ImageSize; x.N != 1 || x.H != S || x.W != S {
			return nil, 0, fmt.Errorf("preprocessor_config.json makes images of %d×%d pixels, the model takes %d×%d",
				x.W, x.H, S, S)
		}
		side := c.Vision.ImageSize / c.Vision.PatchSize
		return func(s *tensor.Arena) *tensor.Tensor {
			return m.model.EncodeImage(tensor.Wrap(x.Data, 1, 3, x.H, x.W).NoGrad().In(s))
		}, side*side + 1, nil
	}
	ids := in.IDs
	if ids == nil {
		ids = m.tokenizer.Wrap(m.tokenizer.Encode(in.Text))
		if end := m.tokenizer.EOS(); end >= 0 && (len(ids) == 0 || ids[len(ids)-1] != end) {
			ids = append(ids, end)
		}
	}
	for _, id := range ids {
		if id < 0 || int(id) >= c.Text.VocabSize {
			return nil, 0, fmt.Errorf("token id %d is outside the vocabulary of %d", id, c.Text.VocabSize)
		}
	}
	if len(ids) > m.Context() {
		return nil, 0, fmt.Errorf("%w: it has %d tokens", ErrTooLong, len(ids))
	}
	return func(s *tensor.Arena) *tensor.Tensor {
		return m.model.EncodeText(tensor.WrapInts(ids, 1, len(ids)).In(s), nil)
	}, len(ids), nil
}
