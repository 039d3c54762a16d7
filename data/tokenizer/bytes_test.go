package tokenizer_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/tokenizer"
)

// TestBytes: the bytes of the tokens of a text that has begun are the text's own, whatever the vocabulary.
func TestBytes(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	require.NoError(t, err)
	learnt := t.TempDir() // of whole bytes
	tok, err := tokenizer.Train(slices.Values([]string{"two dogs and a dog"}), tokenizer.TrainConfig{Size: 300, Specials: []string{"</s>"}, EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(learnt))
	tried := 0
	for _, dir := range append(dirs, learnt) {
		if s, err := os.Stat(dir); err != nil || !s.IsDir() {
			continue
		}
		tok, err := tokenizer.Load(dir)
		require.NoError(t, err)
		for _, text := range []string{"a dog, two dogs", "a {\"k\": [1, 2]}", "a\u00e9\u20ac 😀 b"} {
			ids := tok.Encode(text)
			var got []byte
			for _, id := range ids[1:] {
				got = append(got, tok.Bytes(id)...)
			}
			whole, first := tok.Decode(ids), tok.Decode(ids[:1])
			if len(whole) < len(first) || whole[:len(first)] != first {
				continue // the first token is not a whole character
			}
			require.Equal(t, whole[len(first):], string(got), "%s: %q", dir, text)
			tried++
		}
		require.Nil(t, tok.Bytes(-1))
		require.Nil(t, tok.Bytes(int32(tok.Size())))
		if tok.EOS() >= 0 && tok.Special(tok.EOS()) {
			require.Nil(t, tok.Bytes(tok.EOS()))
		}
	}
	require.Greater(t, tried, 3, "tokenizers in testdata")
}
