package chat

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines reads a file of one JSON value a line.
func lines[T any](t *testing.T, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var rows []T
	for dec := json.NewDecoder(bufio.NewReader(f)); dec.More(); {
		var row T
		require.NoError(t, dec.Decode(&row))
		rows = append(rows, row)
	}
	return rows
}

func TestRenderEqualsReference(t *testing.T) {
	type row struct {
		Template     string
		Messages     [][2]*string
		ImageTuple   bool `json:"image_tuple"`
		WithExamples bool `json:"with_examples"`
		Prompt       string
	}
	rows := lines[row](t, "testdata/render.jsonl")
	require.NotEmpty(t, rows)
	for _, r := range rows {
		tpl, err := Lookup(r.Template)
		require.NoError(t, err)
		var turns []Turn
		if r.WithExamples {
			turns = append(turns, tpl.Examples...)
		}
		for i, m := range r.Messages {
			require.Equal(t, tpl.Roles[i%2], *m[0], r.Template)
			turn := Turn{From: []string{Human, GPT}[i%2]}
			if m[1] == nil {
				turn.Open = true
			} else {
				turn.Value = *m[1]
				turn.Picture = r.ImageTuple && i == 0
			}
			turns = append(turns, turn)
		}
		got, err := tpl.Render(turns)
		require.NoError(t, err)
		require.Equal(t, r.Prompt, got, r.Template)
	}
}
