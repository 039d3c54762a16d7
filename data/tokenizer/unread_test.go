package tokenizer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a vocabulary has no token for is named, each part once; a vocabulary of bytes reads everything.
func TestUnread(t *testing.T) {
	dir := t.TempDir()
	words := `{"pre_tokenizer":{"type":"Whitespace"},"model":{"type":"WordPiece","unk_token":"[UNK]",
		"continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"[UNK]":0,"red":1,"above":2,"##s":3}}}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(words), 0o600))
	tok, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"white", "é"}, tok.Unread("white above reds white é"))
	require.Empty(t, tok.Unread("red above"))
	require.Empty(t, tok.Unread(""))
	bytes, err := Load("../chat/testdata/cases/tokenizers/qwen2")
	require.NoError(t, err)
	require.Empty(t, bytes.Unread("white é 😀 \xff"))
}
