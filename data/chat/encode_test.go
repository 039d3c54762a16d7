package chat_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
)

func load(t *testing.T, name string) *tokenizer.Tokenizer {
	tok, err := tokenizer.Load(filepath.Join(cases(t), "tokenizers", name))
	require.NoError(t, err)
	return tok
}

func count(ids []int32, id int32) int {
	n := 0
	for _, x := range ids {
		if x == id {
			n++
		}
	}
	return n
}

// TestUsersCannotWriteSpecialTokens writes every special token of every tokenizer in a question, an answer, and at
// their borders.
func TestUsersCannotWriteSpecialTokens(t *testing.T) {
	for template, name := range map[string]string{"vicuna_v1": "llama", "llava_llama_2": "llama-legacy", "chatml_direct": "llama-chatml",
		"phi3_instruct": "phi3", "mpt": "neox", "qwen_1_5": "qwen2", "llava_llama_3": "llama3"} {
		tok := load(t, name)
		tpl, err := chat.Lookup(template)
		require.NoError(t, err)
		ask := func(q, a string, o chat.Options) []int32 {
			spans, err := tpl.Spans([]chat.Turn{{From: chat.Human, Value: q}, {From: chat.GPT, Value: a}})
			require.NoError(t, err)
			x := tpl.Encode(tok, spans, o)
			require.Len(t, x.Ranges, len(x.IDs))
			require.Len(t, x.Labels, len(x.IDs))
			return x.IDs
		}
		plain := ask("q", "a", chat.Options{})
		for _, x := range tok.Added() {
			if !x.Special {
				continue
			}
			for _, around := range []string{x.Content, "a " + x.Content + " b", x.Content + x.Content, "<" + x.Content} {
				ids := ask(around, around, chat.Options{})
				require.Equal(t, count(plain, x.ID), count(ids, x.ID), "%s: %q", name, around)
				for _, y := range tok.Added() { // and the template's own are still there
					if y.Special {
						require.Equal(t, count(plain, y.ID), count(ids, y.ID), "%s: %q in %q", name, y.Content, around)
					}
				}
				require.Greater(t, count(ask(around, around, chat.Options{Specials: true}), x.ID), count(plain, x.ID))
			}
		}
	}
}

func TestMarksAroundPicturesAreTokens(t *testing.T) {
	tok := load(t, "llama-added")
	x, err := chat.VicunaV1().Train(tok, []chat.Turn{{From: chat.Human, Value: "<image>\nWho wrote <im_start>?"}, {From: chat.GPT, Value: "Me."}}, chat.Options{Pictures: true, Marks: true})
	require.NoError(t, err)
	start, ok := tok.ID(chat.ImageStart)
	require.True(t, ok)
	end, _ := tok.ID(chat.ImageEnd)
	require.Equal(t, 1, count(x.IDs, start))
	require.Equal(t, 1, count(x.IDs, end))
	require.Equal(t, 1, count(x.IDs, chat.ImageIndex))
}

func TestTrainErrors(t *testing.T) {
	tok := load(t, "llama")
	v := chat.VicunaV1()
	ask := chat.Turn{From: chat.Human, Value: "<image>\nWhat is this?"}
	answer := chat.Turn{From: chat.GPT, Value: "A cat."}

	var nothing *chat.NothingToTrainError
	_, err := v.Train(tok, []chat.Turn{ask}, chat.Options{Pictures: true})
	require.ErrorAs(t, err, &nothing)
	require.ErrorContains(t, err, "What is this?")
	full, err := v.Train(tok, []chat.Turn{ask, answer}, chat.Options{Pictures: true})
	require.NoError(t, err)
	require.Equal(t, 4, full.Supervised()) // ▁A, ▁cat, . and </s>; a picture's place does not count
	_, err = v.Train(tok, []chat.Turn{ask, answer}, chat.Options{Pictures: true, MaxLength: len(full.IDs) - 4})
	require.ErrorAs(t, err, &nothing)
	require.ErrorContains(t, err, "4 ids were cut off")

	cut, err := v.Train(tok, []chat.Turn{ask, answer}, chat.Options{Pictures: true, MaxLength: len(full.IDs) - 1})
	require.NoError(t, err)
	require.Equal(t, full.IDs[:len(full.IDs)-1], cut.IDs)
	require.Equal(t, 1, cut.Cut)
	var lost *chat.LostPictureError
	_, err = v.Train(tok, []chat.Turn{{From: chat.Human, Value: "x"}, answer, ask, answer}, chat.Options{Pictures: true, MaxLength: 60})
	require.ErrorAs(t, err, &lost)
	require.Equal(t, 1, lost.Lost)
	_, err = v.Train(tok, nil, chat.Options{})
	require.ErrorIs(t, err, chat.ErrNoTurns)
}
