package connector_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// directly is the log-probability of each label of one conversation, from the softmax over the logits of the position
// before it.
func directly(t *testing.T, a *connector.Assistant, images []*imaging.RGB, text ...string) (p []float64) {
	x, err := a.Sample(talk(text...), images)
	require.NoError(t, err)
	b, err := a.Model.Splice([]connector.Sample{x}, false)
	require.NoError(t, err)
	logits := llm.Logits(a.Model.Language, a.Model.Hidden(b)).Data() // [1, T, V]
	V := a.Model.Language.Config().VocabSize
	for i, label := range b.Labels.IntData() {
		if label == tensor.IgnoreIndex {
			continue
		}
		row, sum := logits[(i-1)*V:i*V], 0.0
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		p = append(p, float64(row[label])-math.Log(sum))
	}
	return p
}

func TestLogProbs(t *testing.T) {
	a, tower, _ := talker(t, 24)
	images := []*imaging.RGB{photo(1)}
	const question = "<image>\nWhat is this?"
	answers := []string{"A", "A red cat on the mat.", "cat"}
	got, err := a.LogProbs(t.Context(), talk(question), images, answers)
	require.NoError(t, err)
	require.Len(t, got, len(answers))
	require.Equal(t, 1, tower.views)
	for i, answer := range answers {
		want := directly(t, a, images, question, answer)
		require.InDeltaSlice(t, want, got[i], 1e-4, answer)
	}
	require.Greater(t, len(got[1]), len(got[0]))

	other, err := a.LogProbs(t.Context(), talk(question), []*imaging.RGB{photo(2)}, answers)
	require.NoError(t, err)
	require.NotEqual(t, got, other)
	require.InDeltaSlice(t, directly(t, a, []*imaging.RGB{photo(2)}, question, answers[1]), other[1], 1e-4)

	// of earlier answers nothing counts
	long, err := a.LogProbs(t.Context(), talk(question, "A cat.", "What colour is it?"), images, []string{"red"})
	require.NoError(t, err)
	both := directly(t, a, images, question, "A cat.", "What colour is it?", "red")
	require.InDeltaSlice(t, both[len(both)-len(long[0]):], long[0], 1e-4)
	require.Less(t, len(long[0]), len(both))

	text, err := a.LogProbs(t.Context(), talk("What is this?"), nil, answers[:1])
	require.NoError(t, err)
	require.InDeltaSlice(t, directly(t, a, nil, "What is this?", "A"), text[0], 1e-4)

	none, err := a.LogProbs(t.Context(), talk(question), images, nil)
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = a.LogProbs(t.Context(), talk(question, "A cat."), images, answers)
	require.ErrorContains(t, err, "the last turn must be the human's")
	_, err = a.LogProbs(t.Context(), talk(question, "A cat.", "What colour is it?"), images, []string{"red", ""})
	require.ErrorContains(t, err, "answer 2 is empty")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.LogProbs(ctx, talk(question), images, answers)
	require.ErrorIs(t, err, context.Canceled)
}
