package verify

import (
	"fmt"

	"github.com/gollava/gollava/llm"
)

// Generation is an entry of case.json's generation: greedy or beam search.
type Generation struct {
	MaxNew        int           `json:"max_new_tokens"`
	Beams         int           `json:"num_beams"`
	EOS           llm.EndTokens `json:"eos_token_id"` // null: none
	PAD           int           `json:"pad_token_id"`
	UseCache      *bool         `json:"use_cache"`
	LengthPenalty *float64      `json:"length_penalty"`
	EarlyStopping any           `json:"early_stopping"`
}

// Options are those that generate so. What is not supported is an error.
func (g Generation) Options() (llm.Options, error) {
	o := llm.Options{MaxNewTokens: g.MaxNew, Beams: g.Beams, EOS: []int{}, PAD: g.PAD}
	o.EOS = append(o.EOS, g.EOS...)
	if early, ok := g.EarlyStopping.(bool); g.EarlyStopping != nil && (!ok || early) {
		return o, fmt.Errorf("early_stopping %v is not supported: false is", g.EarlyStopping)
	}
	if g.LengthPenalty != nil {
		o.LengthPenalty = *g.LengthPenalty
	}
	o.NoCache = g.UseCache != nil && !*g.UseCache
	return o, nil
}

// Padded fills rows to the length of the longest.
func Padded(rows [][]int32, pad int32) [][]int32 {
	n := 0
	for _, r := range rows {
		n = max(n, len(r))
	}
	out := make([][]int32, len(rows))
	for i, r := range rows {
		out[i] = append(out[i], r...)
		for len(out[i]) < n {
			out[i] = append(out[i], pad)
		}
	}
	return out
}
