package main

import (
	"context"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// pictureBatches makes batch n of stage 1 or 2 from cached features.
func pictureBatches(l *lesson, stage string, c Length, teach course) train.Batches[connector.Batch] {
	samples := l.samples(stage, c, teach)
	return func(_ context.Context, n int) (connector.Batch, error) {
		chosen := samples(n)
		var b connector.Batch
		b.IDs, b.Labels = l.pad(chosen)
		var pictures []int
		for _, s := range chosen {
			pictures = append(pictures, s.picture)
		}
		b.Features = l.pool.seen(pictures)
		return b, nil
	}
}

// blindfolded is a language model that learns from instructions without their pictures: what can be guessed from the questions alone.
type blindfolded struct {
	Language llm.Model `param:"language_model"`
}

// Loss is the mean cross-entropy of the answers.
func (m blindfolded) Loss(b connector.Batch) *tensor.Tensor {
	B, T := b.IDs.Dims2()
	text, places := apart(b.IDs.IntData())
	x := m.Language.Embed(tensor.WrapInts(text, B, T).In(b.IDs.Arena())) // [B, T, C]
	C := x.Dim(2)
	x = tensor.ScatterRows(x.Reshape(B*T, C), tensor.WrapInts(places, len(places)), tensor.New(len(places), C)).Reshape(B, T, C)
	return llm.Loss(m.Language, llm.Input{Embeds: x}, b.Labels)
}
