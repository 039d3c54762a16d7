package chat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
)

// TestWithSystem replaces the system text of every template: the new one is written, with the old one's marks, and
// nothing else changes.
func TestWithSystem(t *testing.T) {
	turns := []chat.Turn{{From: chat.Human, Value: "Why?"}, {From: chat.GPT, Open: true}}
	render := func(x chat.Template) string {
		spans, err := x.Spans(turns)
		require.NoError(t, err)
		return chat.Text(spans)
	}
	without := 0
	for _, name := range chat.Names() {
		before, err := chat.Lookup(name)
		require.NoError(t, err)
		old := before.System
		for _, mark := range []string{"<|im_start|>system\n", "<|system|>\n", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"} {
			old = strings.TrimPrefix(old, mark)
		}
		after, ok := before.WithSystem("SYSTEM")
		if !ok {
			without++
			require.Empty(t, before.System, name)
			require.Equal(t, before, after)
			continue
		}
		if old != "" {
			require.Equal(t, strings.Replace(render(before), strings.TrimSpace(old), "SYSTEM", 1), render(after), name)
		}
		require.Contains(t, render(after), "SYSTEM", name)
		require.Contains(t, render(after), "Why?", name)
	}
	require.Less(t, without, 6)

	qwen, err := chat.FromJinja("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"+
		"{% endfor %}", nil)
	require.NoError(t, err)
	require.NotContains(t, render(qwen), "system")
	qwen, ok := qwen.WithSystem("Be brief.")
	require.True(t, ok)
	require.True(t, strings.HasPrefix(render(qwen), "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?"), render(qwen))
}
