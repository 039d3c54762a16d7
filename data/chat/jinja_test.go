package chat_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
)

func TestFromJinja(t *testing.T) {
	turns := []chat.Turn{{From: chat.Human, Value: "Hi"}, {From: chat.GPT, Value: "Hello."}, {From: chat.Human, Value: "Bye"}, {From: chat.GPT, Open: true}}
	const smol = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are SmolLM<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}`
	for _, c := range []struct{ program, want string }{
		{smol, "<|im_start|>system\nYou are SmolLM<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n" +
			"<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"},
		{`{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>'}}`, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n" +
			"<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"},
		{`'<|start_header_id|>' + role + '<|end_header_id|>' … '<|eot_id|>'`, "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\n"},
		{`'<|user|>' + '\n' + m['content'] + '<|end|>'`, "<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n"},
	} {
		tmpl, err := chat.FromJinja(c.program)
		require.NoError(t, err)
		got, err := tmpl.Render(turns)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	_, err := chat.FromJinja("{{ messages }}")
	require.ErrorContains(t, err, "vicuna_v1")
}
