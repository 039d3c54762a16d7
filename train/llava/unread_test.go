package llava

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
)

// What answers have and the tokenizer cannot write is said, shortened and not more than five parts of it; questions do
// not count.
func TestUnread(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"pre_tokenizer":{"type":"Whitespace"},
		"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":99,
		"vocab":{"[UNK]":0,"red":1,"above":2}}}`), 0o600))
	tok, err := tokenizer.Load(dir)
	require.NoError(t, err)
	sample := func(answer string) data.Sample {
		return data.Sample{Turns: []chat.Turn{{From: chat.Human, Value: "what ?"}, {From: chat.GPT, Value: answer}}}
	}
	r := &Run{assistant: &connector.Assistant{Tokenizer: tok}}
	r.train = data.Memory{sample("red above red")}
	require.Empty(t, r.unread())
	r.train = data.Memory{sample("red above white"), sample("white abcdefghijklmnopqrstuvwxyz")}
	require.Equal(t, []string{"white", "abcdefghijklmnopqrst…"}, r.unread())
	r.train = data.Memory{sample("a b c d e f g"), sample("h")}
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, r.unread())
}
