package llm_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

func near(t *testing.T, want, got []float32, tol float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		require.InDelta(t, want[i], got[i], tol, "%s: element %d", what, i)
	}
}

// Decoding piece by piece with a cache gives the hidden states of one pass over everything.
func TestCachedIsFull(t *testing.T) {
	ids := []int32{3, 9, 4, 17, 5, 6, 20, 8, 11, 2, 7, 19, 4, 4}
	for _, family := range families {
		m := load(t, family)
		full := m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(ids, 1, len(ids))).NoGrad()})
		cache := llm.NewCache()
		var got []float32
		for at := 0; at < len(ids); {
			n := min([]int{5, 1, 1, 3, 1, 1, 1, 1}[min(at, 7)], len(ids)-at)
			h := m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(ids[at:at+n], 1, n)).NoGrad(), Cache: cache})
			got = append(got, h.Data()...)
			at += n
			require.Equal(t, at, cache.Len(0))
		}
		near(t, full.Data(), got, 2e-5, family)
	}
}

// A row's continuation does not depend on its neighbours or on how far it is padded.
func TestBatchIsSingle(t *testing.T) {
	rows := [][]int32{{3, 9, 4, 17, 5, 6}, {20, 8}, {11, 2, 7, 19}}
	for _, family := range families {
		m := load(t, family)
		for _, o := range []llm.Options{{MaxNewTokens: 6, EOS: []int{}}, {MaxNewTokens: 6, EOS: []int{}, NoCache: true}, {MaxNewTokens: 4, EOS: []int{}, Beams: 2}} {
			all, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: rows}, o)
			require.NoError(t, err)
			for i, row := range rows {
				one, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{row}}, o)
				require.NoError(t, err)
				require.Equal(t, one.IDs[0], all.IDs[i], "%s: row %d", family, i)
				if o.Beams > 1 {
					require.InDelta(t, one.Scores[0], all.Scores[i], 1e-5)
				}
			}
		}
	}
}

func TestEmbeddedPromptsAreIDs(t *testing.T) {
	m := load(t, "llama")
	rows := [][]int32{{3, 9, 4, 17}, {20, 8}}
	want, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: rows}, llm.Options{MaxNewTokens: 5, EOS: []int{}})
	require.NoError(t, err)
	p := llm.Prompts{Embeds: m.Embed(tensor.Ints([]int{3, 9, 4, 17, 0, 0, 20, 8}, 2, 4)), Mask: []int32{1, 1, 1, 1, 0, 0, 1, 1}}
	got, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 5, EOS: []int{}})
	require.NoError(t, err)
	require.Equal(t, want.IDs, got.IDs)
	p.Mask = []int32{1, 1, 1, 1, 1, 1, 0, 0}
	_, err = llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 5})
	require.ErrorContains(t, err, "row 1: prompts are padded at the left")
}

func TestEnds(t *testing.T) {
	m := load(t, "llama")
	p := llm.Prompts{IDs: [][]int32{{3, 9, 4, 17}, {20, 8}}}
	free, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 8, EOS: []int{}})
	require.NoError(t, err)
	until := func(ids []int32, stop func([]int32) bool) []int32 {
		for n := range ids {
			if stop(ids[:n+1]) {
				return ids[:n+1]
			}
		}
		return ids
	}

	eos := free.IDs[0][3]
	got, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 8, EOS: []int{int(eos), 999}})
	require.NoError(t, err)
	for i := range got.IDs {
		require.Equal(t, until(free.IDs[i], func(ids []int32) bool { return ids[len(ids)-1] == eos }), got.IDs[i])
	}

	text := func(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") }
	stop := text(free.IDs[1][2:4])
	got, err = llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 8, EOS: []int{}, StopStrings: []string{"none", stop}, Decode: text})
	require.NoError(t, err)
	for i := range got.IDs {
		require.Equal(t, until(free.IDs[i], func(ids []int32) bool { return strings.Contains(text(ids), stop) }), got.IDs[i])
	}
}

func TestStreaming(t *testing.T) {
	m := load(t, "mistral")
	p := llm.Prompts{IDs: [][]int32{{3, 9, 4, 17}, {20, 8}}}
	seen := make([][]int32, 2)
	o := llm.Options{MaxNewTokens: 6, EOS: []int{}, OnToken: func(row int, id int32) error {
		seen[row] = append(seen[row], id)
		return nil
	}}
	out, err := llm.Generate(t.Context(), m, p, o)
	require.NoError(t, err)
	require.Equal(t, out.IDs, seen)

	enough := errors.New("enough")
	n := 0
	o.OnToken = func(int, int32) error {
		if n++; n == 5 {
			return enough
		}
		return nil
	}
	out, err = llm.Generate(t.Context(), m, p, o)
	require.ErrorIs(t, err, enough)
	require.Equal(t, seen[0][:3], out.IDs[0])

	ctx, cancel := context.WithCancel(t.Context())
	o.OnToken = func(row int, _ int32) error {
		if row == 1 {
			cancel()
		}
		return nil
	}
	out, err = llm.Generate(ctx, m, p, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, out.IDs[0], 1)
	_, err = llm.Generate(ctx, m, p, llm.Options{MaxNewTokens: 3, Beams: 2})
	require.ErrorIs(t, err, context.Canceled)
}

func TestSamplingIsSeeded(t *testing.T) {
	m := load(t, "qwen2")
	p := llm.Prompts{IDs: [][]int32{{3, 9, 4, 17}, {3, 9, 4, 17}}}
	draw := func(seed uint64) [][]int32 {
		out, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 12, EOS: []int{}, Sampling: llm.Sampling{Temperature: 1.5, Seed: seed}})
		require.NoError(t, err)
		return out.IDs
	}
	one := draw(1)
	require.Equal(t, one, draw(1))
	require.NotEqual(t, one, draw(2))
	require.NotEqual(t, one[0], one[1], "rows draw independently")
}

// Drawn tokens are as frequent as Probabilities says.
func TestSamplingFrequencies(t *testing.T) {
	m := load(t, "qwen2")
	prompt := []int32{3, 9, 4, 17}
	h := m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(prompt, 1, 4))})
	z := llm.Logits(m, h.Slice(1, 3, 4)).Data()
	s := llm.Sampling{Temperature: 1.2, TopK: 6, TopP: 0.9, RepetitionPenalty: 1.2}
	want := s.Probabilities(z, prompt, nil)
	const n = 400
	var p llm.Prompts
	for range n {
		p.IDs = append(p.IDs, prompt)
	}
	out, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 1, EOS: []int{}, Sampling: s})
	require.NoError(t, err)
	count := make([]float64, len(want))
	for _, row := range out.IDs {
		count[row[0]]++
	}
	kept := 0
	for i, w := range want {
		if w == 0 {
			require.Zero(t, count[i])
			continue
		}
		kept++
		require.InDelta(t, w, count[i]/n, 5*math.Sqrt(w*(1-w)/n)+1e-9)
	}
	require.Greater(t, kept, 1)
	require.LessOrEqual(t, kept, 6)
}

// More beams never find a worse sequence than greedy search here, and one beam is greedy search.
func TestBeamsBeatGreedy(t *testing.T) {
	m := load(t, "llama")
	p := llm.Prompts{IDs: [][]int32{{3, 9, 4, 17}}}
	score := func(ids []int32) float64 {
		all := append(append([]int32{}, p.IDs[0]...), ids...)
		z := llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(all, 1, len(all)))})).LogSoftmax()
		sum, V := 0.0, z.Dim(2)
		for i, id := range ids {
			sum += float64(z.Data()[(len(p.IDs[0])+i-1)*V+int(id)])
		}
		return sum / float64(len(ids))
	}
	greedy, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 6, EOS: []int{}})
	require.NoError(t, err)
	beams, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 6, EOS: []int{}, Beams: 4})
	require.NoError(t, err)
	require.InDelta(t, score(beams.IDs[0]), beams.Scores[0], 1e-5)
	require.GreaterOrEqual(t, beams.Scores[0], score(greedy.IDs[0])-1e-6)
}

func TestGenerateFaults(t *testing.T) {
	m := load(t, "llama")
	good := llm.Prompts{IDs: [][]int32{{3}}}
	for says, c := range map[string]struct {
		p llm.Prompts
		o llm.Options
	}{
		"MaxNewTokens must be positive":   {good, llm.Options{}},
		"stop strings need":               {good, llm.Options{MaxNewTokens: 1, StopStrings: []string{"x"}}},
		"beam search does not sample":     {good, llm.Options{MaxNewTokens: 1, Beams: 2, Sampling: llm.Sampling{Temperature: 1}}},
		"no OnToken":                      {good, llm.Options{MaxNewTokens: 1, Beams: 2, OnToken: func(int, int32) error { return nil }}},
		"TopP 2 lies outside":             {good, llm.Options{MaxNewTokens: 1, Sampling: llm.Sampling{TopP: 2}}},
		"there is no prompt":              {llm.Prompts{}, llm.Options{MaxNewTokens: 1}},
		"prompt 1 is empty":               {llm.Prompts{IDs: [][]int32{{3}, {}}}, llm.Options{MaxNewTokens: 1}},
		"id 23 is outside the vocabulary": {llm.Prompts{IDs: [][]int32{{23}}}, llm.Options{MaxNewTokens: 1}},
	} {
		_, err := llm.Generate(t.Context(), m, c.p, c.o)
		require.ErrorContains(t, err, says)
	}
}
