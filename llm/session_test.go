package llm_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Three turns of a session say what one sequence of all of them says, and each computes only what is new.
func TestSession(t *testing.T) {
	for _, family := range append(families, "qwen3") {
		m := &counting{}
		if family == "qwen3" {
			m.Model = served(t, family, nil)
		} else {
			m.Model = load(t, family)
		}
		s := llm.NewSession(m.Model)
		engine := llm.NewEngine(m.Model, llm.EngineConfig{})
		o := llm.Options{MaxNewTokens: 4, EOS: []int{}}
		var all []int32
		for turn, ids := range [][]int32{{3, 9, 4, 17, 5}, {6, 20}, {8, 11, 2}} {
			all = append(all, ids...)
			want, err := llm.Generate(t.Context(), m.Model, llm.Prompts{IDs: [][]int32{all}}, o)
			require.NoError(t, err)
			p := llm.Prompts{IDs: [][]int32{ids}}
			var got llm.Generated
			if turn == 1 {
				got, err = engine.Generate(t.Context(), llm.Request{Prompt: p, Options: o, Session: s})
			} else {
				got, err = s.Generate(t.Context(), p, o)
			}
			require.NoError(t, err)
			require.Equal(t, want.IDs, got.IDs, "%s: turn %d", family, turn)
			all = append(all, got.IDs[0]...)
			require.Equal(t, all, s.IDs())
			require.Equal(t, len(all)-1, s.Cached())
		}
	}
}

// What passes the model is the new prompt, the last token of the answer before, and one token after another.
func TestSessionComputesWhatIsNew(t *testing.T) {
	m := &counting{Model: load(t, "llama")}
	s := llm.NewSession(m)
	o := llm.Options{MaxNewTokens: 3, EOS: []int{}}
	_, err := s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{{3, 9, 4, 17, 5}}}, o)
	require.NoError(t, err)
	require.Equal(t, []int{5, 1, 1}, m.passed)
	m.passed = nil
	_, err = s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{{6, 20}}}, o)
	require.NoError(t, err)
	require.Equal(t, []int{3, 1, 1}, m.passed)
	require.Positive(t, s.Bytes())

	// Another continuation of the first question: the common part stays.
	next := append(slices.Clone(s.IDs()[:6]), (s.IDs()[6]+1)%23, 2)
	require.Equal(t, 6, s.Common(next))
	s.Truncate(6)
	m.passed = nil
	got, err := s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{next[6:]}}, o)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1}, m.passed)
	want, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{next}}, o)
	require.NoError(t, err)
	require.Equal(t, want.IDs, got.IDs)
}

// A turn that is cancelled leaves a session that goes on.
func TestSessionCancelled(t *testing.T) {
	m := load(t, "llama")
	s := llm.NewSession(m)
	ctx, cancel := context.WithCancel(t.Context())
	o := llm.Options{MaxNewTokens: 30, EOS: []int{}}
	o.OnToken = func(int, int32) error { cancel(); return nil }
	out, err := s.Generate(ctx, llm.Prompts{IDs: [][]int32{{3, 9, 4}}}, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, out.IDs[0], 1)
	require.Equal(t, 4, s.Len())
	o.OnToken, o.MaxNewTokens = nil, 3
	got, err := s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{{5}}}, o)
	require.NoError(t, err)
	want, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{{3, 9, 4, out.IDs[0][0], 5}}}, o)
	require.NoError(t, err)
	require.Equal(t, want.IDs, got.IDs)
	_, err = s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{{5}, {6}}}, o)
	require.ErrorContains(t, err, "2 prompts for a session")
	_, err = s.Generate(t.Context(), llm.Prompts{IDs: [][]int32{{5}}}, llm.Options{MaxNewTokens: 1, NoCache: true})
	require.ErrorContains(t, err, "NoCache")
	_, err = s.Generate(t.Context(), llm.Prompts{Embeds: tensor.New(1, 2, 12), Seen: [][]int32{{5}}}, o)
	require.ErrorContains(t, err, "Seen has 1 ids for 2 positions")
}

// A long prompt is computed in chunks and says the same as without a cache.
func TestLongPrompt(t *testing.T) {
	m := &counting{Model: served(t, "qwen3", nil)}
	ids := make([]int32, 1100)
	for i := range ids {
		ids[i] = int32(i * 37 % 517)
	}
	p := llm.Prompts{IDs: [][]int32{ids}}
	got, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 3, EOS: []int{}})
	require.NoError(t, err)
	require.Equal(t, []int{512, 512, 76, 1, 1}, m.passed)
	want, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 3, EOS: []int{}, NoCache: true})
	require.NoError(t, err)
	require.Equal(t, want.IDs, got.IDs)
}
