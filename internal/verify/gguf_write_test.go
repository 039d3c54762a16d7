package verify

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// A file that was read and written again holds the same tensors, in blocks too, and a tokenizer that does the same.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct{ file, kind string }{{"llama_linear_rope/model-f32.gguf", "f32"},
		{"llama/model-q4_0.gguf", "q4_0"}, {"qwen2/model-f16.gguf", "f16"}} {
		path := filepath.Join("testdata", "gguf", filepath.FromSlash(c.file))
		m, err := llm.Load(path, nn.LoadOptions{})
		require.NoError(t, err)
		var meta map[string]any
		var tok *tokenizer.Tokenizer
		if c.kind != "f32" { // that file has none
			tok, err = tokenizer.Load(path)
			require.NoError(t, err)
			meta, err = tok.GGUF(m.Config().VocabSize)
			require.NoError(t, err)
		}
		out := filepath.Join(t.TempDir(), "again.gguf")
		require.NoError(t, llm.SaveGGUF(out, m, llm.GGUFOptions{Type: c.kind, Metadata: meta}))
		want, err := describe(path)
		require.NoError(t, err)
		got, err := describe(out)
		require.NoError(t, err)
		sums := map[string]string{}
		for _, x := range got.Tensors {
			sums[x.Name] = x.Type + x.SHA256
		}
		require.Len(t, got.Tensors, len(want.Tensors))
		for _, x := range want.Tensors {
			require.Equal(t, x.Type+x.SHA256, sums[x.Name], "%s: %s", c.file, x.Name)
		}
		b, err := llm.Load(out, nn.LoadOptions{})
		require.NoError(t, err)
		ids := []int32{5, 9, 3, 17, 8, 30, 2, 11, 4}
		ppl, err := llm.Perplexity(t.Context(), m, ids, 4)
		require.NoError(t, err)
		other, err := llm.Perplexity(t.Context(), b, ids, 4)
		require.NoError(t, err)
		require.InDelta(t, ppl, other, 1e-9*ppl)
		if tok == nil {
			continue
		}
		back, err := tokenizer.Load(out)
		require.NoError(t, err)
		const text = "A red circle, naïve 42 + 7\n\tand <s> a tab"
		require.Equal(t, tok.Wrap(tok.EncodeSpecial(text)), back.Wrap(back.EncodeSpecial(text)))
		require.Equal(t, tok.ChatTemplate(), back.ChatTemplate())
	}
	m, err := llm.Load("testdata/gguf/llama/model-q4_0.gguf", nn.LoadOptions{})
	require.NoError(t, err)
	require.ErrorContains(t, llm.SaveGGUF(filepath.Join(t.TempDir(), "x.gguf"), m, llm.GGUFOptions{Type: "q9"}), "q4_k_m")
}
