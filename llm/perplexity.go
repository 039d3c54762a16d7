package llm

import (
	"context"
	"fmt"
	"math"

	"github.com/gollava/gollava/tensor"
)

// Perplexity is exp of the mean negative log-likelihood of each token of ids but the first of every window, which only
// those of the window before it predict. Windows are cut side by side, of at most window tokens and the one that the
// last predicts; 0 is 512. ids need two tokens or more, each in the vocabulary. It returns early with ctx's error.
func Perplexity(ctx context.Context, m Model, ids []int32, window int) (float64, error) {
	if window <= 0 {
		window = 512
	}
	if len(ids) < 2 {
		return 0, fmt.Errorf("perplexity of %d tokens: needs at least two", len(ids))
	}
	V, sum := m.Config().VocabSize, 0.0
	for i, id := range ids {
		if id < 0 || int(id) >= V {
			return 0, fmt.Errorf("perplexity: token %d at position %d is outside the vocabulary of %d", id, i, V)
		}
	}
	for from := 0; from+1 < len(ids); from += window {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		x := ids[from:min(len(ids), from+window+1)]
		err := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				labels := tensor.Ints(x, 1, len(x))
				labels.IntData()[0] = tensor.IgnoreIndex
				in := Input{Embeds: m.Embed(tensor.WrapInts(x, 1, len(x))).NoGrad().In(s)}
				for _, v := range LogProbs(m, in, labels).Host().Data() {
					sum -= float64(v)
				}
			})
		})
		if err != nil {
			return 0, err
		}
	}
	return math.Exp(sum / float64(len(ids)-1)), nil
}
