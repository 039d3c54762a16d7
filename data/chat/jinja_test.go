package chat_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/jsonfile"
)

// TestFromJinja holds recognised templates against what transformers renders with the program: testdata/jinja/make.py.
func TestFromJinja(t *testing.T) {
	var cases []struct {
		Name, Program, First, Prompt, Conversation string
		Template                                   string // "": not to be recognised
	}
	require.NoError(t, jsonfile.Read(filepath.Join("testdata", "jinja", "cases.json"), &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			x, err := chat.FromJinja(c.Program)
			if c.Template == "" {
				require.ErrorContains(t, err, "vicuna_v1")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.Template, x.Name)
			known, err := chat.Lookup(x.Name)
			require.NoError(t, err)
			known.System = x.System
			require.Equal(t, known, x, "the name and the system text say it all")

			turns := []chat.Turn{{From: chat.Human, Value: c.First}, {From: chat.GPT, Value: "So."},
				{From: chat.Human, Value: "And now?"}, {From: chat.GPT, Open: true}}
			got, err := x.Render([]chat.Turn{turns[0], turns[3]})
			require.NoError(t, err)
			if x.Name == "vicuna_v1" {
				got = strings.TrimPrefix(got, x.System+" ") // the text that the model was trained with
			}
			require.Equal(t, strings.TrimPrefix(c.Prompt, "<s>"), got) // the tokenizer writes the first token
			if c.Conversation == "" {
				return
			}
			got, err = x.Render(turns)
			require.NoError(t, err)
			require.Equal(t, strings.TrimPrefix(c.Conversation, "<s>"), got)
		})
	}
}
