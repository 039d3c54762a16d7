package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// The toy preset runs through everything.
func TestToy(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-preset", "toy", "-out", t.TempDir()}, &out))
	for _, stage := range []string{"clip ", "stage 1 ", "language ", "stage 2 "} {
		require.Contains(t, out.String(), stage)
	}
	require.Equal(t, 4, strings.Count(out.String(), "every word right"))
	require.NotContains(t, out.String(), "NaN")
	require.ErrorContains(t, run(t.Context(), []string{"-preset", "huge"}, &out), "neither default nor toy")
}

// The language model learns captions behind words of theirs, and nothing of these.
func TestTexts(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	l := &lesson{World: w, words: append([]string{"[PAD]", "[CLS]", "[SEP]"}, shapes.Vocabulary()...)}
	p := l.pool(shapes.Train, 40)
	b := p.texts(l)(0)
	chosen, T := p.draw(l, "texts", 0), b.IDs.Dim(1)
	for row, i := range chosen {
		ids, labels := b.IDs.IntData()[row*T:][:T], b.Labels.IntData()[row*T:][:T]
		require.Subset(t, p.ids[i][1:], ids[:queries])
		require.Equal(t, p.ids[i], ids[queries:][:len(p.ids[i])])
		for _, label := range labels[:queries+1] {
			require.Equal(t, int32(tensor.IgnoreIndex), label)
		}
	}
}

// A batch learns each word of a caption and its end from what stands before it, and none of the picture's places.
func TestPadded(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	l := &lesson{World: w, words: append([]string{"[PAD]", "[CLS]", "[SEP]"}, shapes.Vocabulary()...)}
	p := l.pool(shapes.Train, 2)
	ids, labels, lengths := p.padded([]int{1}, 2)
	n := len(p.ids[1])
	require.Equal(t, []int32{int32(2 + n)}, lengths)
	require.Equal(t, p.ids[1], ids.IntData()[2:])
	require.Equal(t, []int32{tensor.IgnoreIndex, tensor.IgnoreIndex, tensor.IgnoreIndex}, labels.IntData()[:3])
	require.Equal(t, p.ids[1][1:], labels.IntData()[3:])
	require.NotContains(t, ids.IntData(), int32(-1)) // every word is in the vocabulary
}
