package verify

import (
	"context"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func loadGIT(r *Report) *connector.VLM {
	return must(git.Load(r.Checkpoint, git.LoadOptions{DType: inBlocks}))
}

// gitBatch reads the one under a prefix ("in."): the places of an image before the text of each row.
func gitBatch(r *Report, in string, m *connector.VLM) (b connector.Batch) {
	c := git.ConfigOf(m)
	if c.ImageTokens() != r.Tokens {
		failf("image_tokens %d; the config has %d", r.Tokens, c.ImageTokens())
	}
	text, pixels := r.batch(in), r.tensor(in+"pixel_values")
	B, T := text.ids.Dims2()
	if B == 0 || T == 0 || pixels.Rank() < 4 || text.labels != nil && text.labels.Len() != B*T {
		failf("%sinput_ids, labels and pixel_values %v: no rows of words and images", in, pixels.Shape())
	}
	var flat, learnt []int32
	for i, row := range rowsOf(text.ids) {
		flat = append(append(flat, slices.Repeat([]int32{chat.ImageIndex}, r.Tokens)...), row...)
		b.Mask = append(append(b.Mask, slices.Repeat([]int32{1}, r.Tokens)...), text.mask[i*T:(i+1)*T]...)
		b.Sizes = append(b.Sizes, imaging.Size{W: c.Vision.ImageSize, H: c.Vision.ImageSize})
		b.Pictures = append(b.Pictures, 1)
		if text.labels != nil { // nothing predicts the first word
			learnt = append(append(learnt, slices.Repeat([]int32{tensor.IgnoreIndex}, r.Tokens+1)...),
				text.labels.IntData()[i*T+1:(i+1)*T]...)
		}
	}
	b.IDs = tensor.WrapInts(flat, B, r.Tokens+T)
	if text.labels != nil {
		b.Labels = tensor.WrapInts(learnt, b.IDs.Shape()...)
	}
	s := pixels.Shape() // [B, 3, S, S] or [B, frames, 3, S, S]
	b.Pixels = pixels.Reshape(append([]int{-1}, s[len(s)-3:]...)...)
	check(m.Check(b))
	return b
}

func gitModel(r *Report, m *connector.VLM) {
	canonical := named(git.Canonical)
	b := gitBatch(r, "in.", m)
	r.output("vision", vit.Features(m.Vision, b.Pixels, m.Config().Select)) // [B·frames, P, D]
	r.masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	loss := m.Loss(b)
	r.loss("loss", loss)
	r.loss("loss_smooth", git.Smooth{VLM: m}.Loss(b))
	r.backward(loss, m, canonical)
	r.generations(true, func(o llm.Options) (llm.Generated, error) {
		return m.Generate(context.Background(), gitBatch(r, "in.gen.", m), o)
	})
	follow(r, func(string, training) train.Model[connector.Batch] { return loadGIT(r) }, []connector.Batch{b}, canonical)
}
