package blip2_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// writeVocabulary makes a BERT tokenizer of n words.
func writeVocabulary(t *testing.T, dir string, n int) {
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "this", "?"}
	for len(words) < n {
		words = append(words, fmt.Sprintf("w%d", len(words)))
	}
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for name, text := range map[string]string{"vocab.txt": strings.Join(words, "\n") + "\n",
		"tokenizer_config.json": `{"tokenizer_class": "BertTokenizer", "do_lower_case": true}`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// A checkpoint opens with its tokenizers: the image stands before all text, and the instruction is the question alone.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/instructblip")))
	writeVocabulary(t, dir, 55)
	_, err := blip2.Open(dir, blip2.LoadOptions{})
	require.ErrorContains(t, err, "the tokenizer of the instruction")
	writeVocabulary(t, filepath.Join(dir, "qformer_tokenizer"), 40)
	a, err := blip2.Open(dir, blip2.LoadOptions{})
	require.NoError(t, err)

	turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
	x, err := a.Prompt(turns, []*imaging.RGB{imaging.New(20, 9)})
	require.NoError(t, err)
	require.Equal(t, []int32{chat.ImageIndex, 2, 5, 6, 7, 8, 3}, x.IDs)
	require.Equal(t, []int32{2, 5, 6, 7, 8, 3}, x.Instruction)
	require.Equal(t, 12, x.Images[0].Pixels.W)

	a.Options.MaxNewTokens = 5
	said, err := a.Reply(t.Context(), turns, []*imaging.RGB{imaging.New(20, 9)}, nil)
	require.NoError(t, err)
	again, err := a.NewSession().Reply(t.Context(), turns, []*imaging.RGB{imaging.New(20, 9)}, nil)
	require.NoError(t, err)
	require.Equal(t, said, again)
}
