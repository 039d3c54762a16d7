package connector

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
)

// With mm_use_im_start_end the marks are tokens around a picture, and text where somebody writes them.
func TestMarks(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values([]string{"What is this? "}), tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>", chat.ImageStart, chat.ImageEnd}, BOS: "<s>"})
	require.NoError(t, err)
	a := Assistant{Tokenizer: tok, Processor: imaging.CLIP(16), Template: chat.VicunaV1(), Marks: true}
	x, err := a.Prompt([]chat.Turn{{From: chat.Human, Value: "<image>\nWhat is <im_end>?"}}, []*imaging.RGB{imaging.New(9, 9)})
	require.NoError(t, err)
	at := slices.Index(x.IDs, chat.ImageIndex)
	start, _ := tok.ID(chat.ImageStart)
	end, _ := tok.ID(chat.ImageEnd)
	require.Equal(t, []int32{int32(start), chat.ImageIndex, int32(end)}, x.IDs[at-1:at+2])
	require.NotContains(t, x.IDs[at+2:], int32(end), "what is written is text")
}
