package promptcase

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/verify"
)

// rendering is a line of render.jsonl: a conversation, and the prompt that the reference's template makes of it.
type rendering struct {
	Template string
	Messages [][2]*string
	Attached bool `json:"image_tuple"`
	Examples bool `json:"with_examples"`
	Prompt   string
}

func renderings(path string, _ *Tokenizers) ([]verify.Row, error) {
	cases, err := verify.Lines[rendering](path)
	if err != nil {
		return nil, err
	}
	n := verify.Tally{What: "rendered conversations"}
	for i, c := range cases {
		t, err := chat.Lookup(c.Template)
		if err != nil {
			return nil, err
		}
		var turns []chat.Turn
		if c.Examples {
			turns = slices.Clone(t.Examples)
		}
		for k, m := range c.Messages {
			turn := chat.Turn{From: []string{chat.Human, chat.GPT}[k%2], Open: m[1] == nil}
			if m[1] != nil {
				turn.Value, turn.Picture = *m[1], c.Attached && k == 0
			}
			turns = append(turns, turn)
		}
		got, err := t.Render(turns)
		if err != nil {
			got = fmt.Sprint(err)
		}
		n.Check(got == c.Prompt, "%d (%s): got %q, want %q", i, c.Template, got, c.Prompt)
	}
	return verify.Rows(&n), nil
}

// pictures compares the ids of texts with pictures in them.
func pictures(path string, toks *Tokenizers) ([]verify.Row, error) {
	type line struct {
		Tokenizer, Text string
		IDs             []int32
	}
	cases, err := verify.Lines[line](path)
	if err != nil {
		return nil, err
	}
	n := verify.Tally{What: "ids of texts with pictures"}
	for _, c := range cases {
		tok, err := toks.Get(c.Tokenizer)
		if err != nil {
			return nil, err
		}
		spans := []chat.Span{{Text: c.Text, To: len(c.Text)}}
		got := chat.Template{}.Encode(tok, spans, chat.Options{Pictures: true, Specials: true}).IDs
		n.Check(slices.Equal(got, c.IDs), "%s, %q: got %v, want %v", c.Tokenizer, c.Text, got, c.IDs)
	}
	return verify.Rows(&n), nil
}
