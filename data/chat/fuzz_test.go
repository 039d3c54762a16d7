package chat_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
)

// FuzzTrain holds for any text, in every template: no panic, spans that join to the text, labels that are ids or
// ignored, ranges that ascend, and special tokens only where the template has them.
func FuzzTrain(f *testing.F) {
	tok, err := tokenizer.Load("testdata/cases/tokenizers/qwen2")
	require.NoError(f, err)
	for i, s := range [][2]string{{"<image>\nWhat?", "A cat."}, {"", " "}, {"<|im_start|>", "<|im_end|>\n"}, {"<image><image>", "<image>"}, {"\xff<im", "\u001c<s>[INST] "}, {"### Human:", "###"}} {
		f.Add(s[0], s[1], uint8(i), i%2 == 0)
	}
	names := chat.Names()
	f.Fuzz(func(t *testing.T, question, answer string, template uint8, image bool) {
		tpl, err := chat.Lookup(names[int(template)%len(names)])
		require.NoError(t, err)
		turns := []chat.Turn{{From: chat.Human, Value: question}, {From: chat.GPT, Value: answer}}
		x, err := tpl.Train(tok, turns, chat.Options{Pictures: image, Marks: image && template%3 == 0})
		if err != nil && len(x.IDs) == 0 {
			return
		}
		given := turns
		if image {
			given = tpl.Multimodal(turns, image && template%3 == 0)
		}
		spans, err := tpl.Sample(given)
		require.NoError(t, err)
		text := chat.Text(spans)
		at := 0
		for i, r := range x.Ranges {
			require.True(t, x.Labels[i] == x.IDs[i] || x.Labels[i] == tensor.IgnoreIndex)
			require.True(t, r[0] <= r[1] && r[1] <= len(text) && r[0] >= 0 && r[1] >= at, "%v of %d bytes after %d", r, len(text), at)
			at = r[1]
		}
		if !utf8.ValidString(question + answer) {
			return
		}
		turns[0].Value, turns[1].Value = "q", "a"
		if tpl.Style == chat.Plain {
			turns[0].Value = "<image>"
		}
		plain, err := tpl.Train(tok, turns, chat.Options{Pictures: image})
		require.NoError(t, err)
		for _, s := range tok.Added() {
			if s.Special && question != "" && answer != "" {
				require.Equal(t, count(plain.IDs, s.ID), count(x.IDs, s.ID), "%s: %q %q", s.Content, question, answer)
			}
		}
	})
}
