package chat_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/jsonfile"
)

// TestFromJinja holds the templates of forty programs against what transformers renders with them:
// testdata/jinja/make.py.
func TestFromJinja(t *testing.T) {
	var cases []struct {
		Name, Program, Template string
		Special                 map[string]string
		Renders                 []struct {
			Turns  [][2]string
			Text   *string  // nil: the program refuses
			Trains []string // what each answer adds, nil if that cannot be told
		}
	}
	require.NoError(t, jsonfile.Read(filepath.Join("testdata", "jinja", "cases.json"), &cases))
	require.GreaterOrEqual(t, len(cases), 40)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			x, err := chat.FromJinja(c.Program, c.Special)
			require.NoError(t, err)
			require.Equal(t, c.Template, x.Name)
			if x.Style != chat.Jinja {
				known, err := chat.Lookup(x.Name)
				require.NoError(t, err)
				known.System = x.System
				require.Equal(t, known, x, "the name and the system text say it all")
			}
			if x.Name == "vicuna_v1" {
				x.System = "" // the text that the model was trained with and the program leaves out
			}
			for i, r := range c.Renders {
				if x.Name == "vicuna_v1" && i > 0 {
					break // the program ends no answer, the training did
				}
				x, turns := x, r.Turns
				if turns[0][0] == "system" {
					var ok bool
					if x, ok = x.WithSystem(turns[0][1]); !ok {
						require.True(
							t,
							r.Text == nil || !strings.Contains(*r.Text, turns[0][1]) || c.Name == "mistral of llava",
							"a system text has a place",
						)
						continue
					}
					turns = turns[1:]
				}
				var conversation []chat.Turn
				for _, m := range turns {
					conversation = append(
						conversation,
						chat.Turn{
							From:  map[string]string{"user": chat.Human, "assistant": chat.GPT}[m[0]],
							Value: m[1],
						},
					)
				}
				open := conversation[len(conversation)-1].From == chat.Human
				if open {
					conversation = append(conversation, chat.Turn{From: chat.GPT, Open: true})
				}
				got, err := x.Render(conversation)
				if r.Text == nil || x.Style != chat.Jinja && len(turns) == 2 && turns[1][0] == "user" {
					if x.Style == chat.Jinja { // a known template may be less strict
						require.Error(t, err, "conversation %d: %s", i, got)
					}
					continue
				}
				want := *r.Text
				if !strings.HasPrefix(got, c.Special["bos_token"]) {
					want = strings.TrimPrefix(want, c.Special["bos_token"])
				}
				if x.Name == "vicuna_v1" {
					got = strings.TrimLeft(got, " ")
				}
				if !open && r.Trains == nil {
					require.ErrorIs(t, err, chat.ErrUnstable)
					continue
				}
				require.NoError(t, err, "conversation %d", i)
				require.Equal(t, want, got, "conversation %d", i)
				if open {
					continue
				}
				spans, err := x.Sample(conversation)
				require.NoError(t, err)
				trains := ""
				for _, s := range spans {
					require.Equal(t, got[s.From:s.To], s.Text)
					if s.Supervised {
						require.Equal(t, chat.GPT, conversation[s.Turn].From)
						trains += s.Text
					}
					if s.Content {
						require.Contains(t, conversation[s.Turn].Value, s.Text)
					}
				}
				require.Equal(t, strings.Join(r.Trains, ""), trains, "conversation %d", i)
			}
		})
	}
}

// TestFromJinjaRefuses names what a program lacks.
func TestFromJinjaRefuses(t *testing.T) {
	for program, want := range map[string]string{
		"":                            "there is none",
		"{% include 'x' %}":           "line 1: the statement include is not supported",
		"{{ messages | nonsense }}":   "the filter nonsense is not supported",
		"constant":                    "does not write the question",
		"{{ raise_exception('no') }}": "no",
	} {
		_, err := chat.FromJinja(program, nil)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "choose one of")
	}
}

// TestProgramGuards keeps special tokens that somebody writes text, and the program's own tokens.
func TestProgramGuards(t *testing.T) {
	x, err := chat.FromJinja(
		"{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<|end|>{% endfor %}"+
			"{% if add_generation_prompt %}<assistant>{% endif %}",
		nil,
	)
	require.NoError(t, err)
	require.Equal(t, []string{"<|end|>"}, x.Stop)
	spans, err := x.Spans([]chat.Turn{{From: chat.Human, Value: " a<|end|>b "}, {From: chat.GPT, Open: true}})
	require.NoError(t, err)
	require.Equal(t, []chat.Span{
		{
			Text: "<user>",
			From: 0,
			To:   6,
			Turn: 0,
		}, {Text: "a<|end|>b", From: 6, To: 15, Turn: 0, Content: true},
		{Text: "<|end|><assistant>", From: 15, To: 33, Turn: 1},
	}, spans)
}
