package study

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
)

// Other programs read the same tokens from the files that the vocabulary writes.
func TestVocabulary(t *testing.T) {
	v := NewVocabulary()
	dir := t.TempDir()
	require.NoError(t, v.save(dir))
	tok, err := tokenizer.Load(dir)
	require.NoError(t, err)
	require.Equal(t, []int32{v.BOS, v.EOS, v.Pad}, []int32{tok.BOS(), tok.EOS(), tok.Pad()})

	w, err := shapes.New(shapes.Default(3))
	require.NoError(t, err)
	for i := range 200 {
		s := w.Scene(shapes.Train, i, shapes.Options{})
		for _, text := range []string{s.Caption(), s.Detail(), s.InWords(w.Rand("t", i))} {
			require.Empty(t, v.strange(text))
			require.Equal(t, v.encode(nil, text), tok.Encode(text))
			require.Equal(t, text, v.decode(v.encode(nil, text)))
		}
	}
	qs := []shapes.Question{{Text: "what color is the circle ?", Answer: "red"},
		{Text: "where is it ?", Answer: "top left"}}
	ids, labels := v.conversation(qs, 1, false)
	for i, id := range ids {
		if id == chat.ImageIndex {
			ids[i] = v.Image
		}
	}
	require.Equal(t, tok.Wrap(tok.EncodeSpecial("USER: <image> what color is the circle ? ASSISTANT: red </s> USER: where is it ? ASSISTANT: top left </s>")), ids)
	var learnt []int32
	for i, l := range labels {
		if l != tensor.IgnoreIndex {
			require.Equal(t, ids[i], l)
			learnt = append(learnt, l)
		}
	}
	require.Equal(t, "red </s> top left </s>", strings.Join([]string{v.words[learnt[0]], v.words[learnt[1]], v.words[learnt[2]], v.words[learnt[3]], v.words[learnt[4]]}, " "))
}

// Each cell is told with its place and what is in it, and nothing else.
func TestCells(t *testing.T) {
	w, err := shapes.New(shapes.Default(3))
	require.NoError(t, err)
	for i := range 300 {
		s := w.Scene(shapes.Train, i, shapes.Options{})
		told := cells(w, s)
		require.Len(t, told, 9)
		for _, o := range s.Objects {
			c := told[o.Cell.Row*3+o.Cell.Col]
			require.Equal(t, w.Place(o.Cell)+" "+o.Size.String()+" "+o.Pair().String(), c)
		}
		empty := 9 - len(s.Objects)
		if s.Sign != nil {
			empty -= 3
			row := strings.Join(told[3*s.Sign.Row:3*s.Sign.Row+3], " ")
			for _, letter := range strings.ToUpper(s.Sign.Text) {
				require.Contains(t, strings.Fields(row), string(letter))
			}
		}
		require.Equal(t, empty, strings.Count(strings.Join(told, " "), "nothing"))
	}
}

// In half of the described scenes with more than one object, two are in one row. Of scenes with two drawn at will that
// is so in 2/8, or 2/5 beside a sign, which three of ten have.
func TestRowsAreShared(t *testing.T) {
	w, err := shapes.New(shapes.Default(3))
	require.NoError(t, err)
	const n = 4000
	share := func(scenes []shapes.Scene) float64 {
		pairs, shared := 0, 0
		for _, s := range scenes {
			if len(s.Objects) == 2 {
				pairs++
				if s.Objects[0].Cell.Row == s.Objects[1].Cell.Row {
					shared++
				}
			}
		}
		return float64(shared) / float64(pairs)
	}
	const atWill = .7*2/8 + .3*2/5
	require.InDelta(t, atWill, share(drawScenes(w, shapes.Text, n, nil)), .04)
	require.InDelta(t, .5+.5*atWill, share(tell(w, n).Scenes), .04)
}
