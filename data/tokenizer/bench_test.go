package tokenizer_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/tokenizer"
)

// BenchmarkEncode reads a corpus of short lines with warm caches. Its vocabularies are tiny, so that words take many
// merges; with one of 24,000 pieces and English prose it is faster. In Python: [t.encode(line).ids for line in lines]
// with tokenizers 0.23.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"testdata/cases/llama-sp/tokenizer.model", "testdata/cases/llama", "../chat/testdata/cases/tokenizers/qwen2", "../chat/testdata/cases/tokenizers/llama3"} {
		tok, err := tokenizer.Load(name)
		require.NoError(b, err)
		text, err := os.ReadFile("testdata/train/corpus.txt")
		require.NoError(b, err)
		lines := corpus(b)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for _, l := range lines {
					tok.Encode(l)
				}
			}
		})
	}
}
