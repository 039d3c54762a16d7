package seem

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
)

// segmenter writes a tiny model and a tokenizer, and opens both.
func segmenter(t *testing.T) *Segmenter {
	dir := t.TempDir()
	c := small()
	c.Text.VocabSize, c.Text.ContextLength, c.Input.Size = 300, 9, 32
	m, err := New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, Save(dir, m, nn.SaveOptions{}))
	tok, err := tokenizer.Train(slices.Values([]string{"the red circle"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	s, err := Open(dir, nn.LoadOptions{})
	require.NoError(t, err)
	return s
}

func picture(w, h int) *imaging.RGB {
	m := imaging.New(w, h)
	for i := range m.Pix {
		m.Pix[i] = byte(i * i / 7)
	}
	return m
}

// Every kind of prompt is answered with a mask of the picture's size, and rounds with the one before in memory.
func TestSegment(t *testing.T) {
	s := segmenter(t)
	p, err := s.Look(picture(50, 37))
	require.NoError(t, err)
	other, err := s.Look(picture(20, 40))
	require.NoError(t, err)
	whole := rectangle(37, 50, 3, 4, 20, 30)
	masks := map[string][]bool{}
	for name, q := range map[string]Prompt{
		"text":     {Text: "the red circle, and many more words than the model reads"},
		"click":    {Clicks: []Pixel{{36, 49}}},
		"not":      {Clicks: []Pixel{{1, 1}}, Not: []Pixel{{0, 49}}},
		"box":      {Boxes: []Box{{0, 0, 1, 1}, {10, 5, 50, 37}}},
		"scribble": {Scribbles: [][]Pixel{{{0, 0}, {36, 49}}}},
		"mask":     {Mask: &whole},
		"referred": {Clicks: []Pixel{{39, 19}}, On: other},
	} {
		a, err := p.Segment(q)
		require.NoError(t, err, name)
		require.Equal(t, []int{37, 50, 37 * 50}, []int{a.Mask.H, a.Mask.W, len(a.Mask.On)}, name)
		again, err := p.Segment(q)
		require.NoError(t, err)
		require.Equal(t, a.Mask, again.Mask, name)
		masks[name] = a.Mask.On
	}
	first, err := p.Segment(Prompt{Clicks: []Pixel{{1, 1}}})
	require.NoError(t, err)
	second, err := p.Segment(Prompt{Clicks: []Pixel{{1, 1}}, Not: []Pixel{{0, 49}}, Previous: first})
	require.NoError(t, err)
	without, err := p.Segment(Prompt{Clicks: []Pixel{{1, 1}}, Not: []Pixel{{0, 49}}})
	require.NoError(t, err)
	require.NotEqual(t, without.logits.Data(), second.logits.Data(), "the memory is read")
	objects, err := p.Objects([]string{"circle", "square"}, []string{"a {}.", "the {}"}, 0, 0)
	require.NoError(t, err)
	taken := make([]bool, 37*50)
	for _, o := range objects {
		for i, on := range o.Mask.On {
			require.False(t, on && taken[i], "segments overlap")
			taken[i] = taken[i] || on
		}
	}
}

func TestBadPrompts(t *testing.T) {
	s := segmenter(t)
	p, err := s.Look(picture(50, 37))
	require.NoError(t, err)
	other, err := s.Look(picture(20, 40))
	require.NoError(t, err)
	elsewhere, err := other.Segment(Prompt{Clicks: []Pixel{{1, 1}}})
	require.NoError(t, err)
	small := NewMask(3, 4)
	for want, q := range map[string]Prompt{
		"the prompt is empty": {Not: []Pixel{{1, 1}}},
		"the click at x 50, y 3 is outside of the picture of 50×37": {Clicks: []Pixel{{3, 50}}},
		"the click on what is not meant at x 0, y -1": {Clicks: []Pixel{{3, 3}}, Not: []Pixel{{-1,
			0}}},
		"the scribble at x 0, y 37":                                       {Scribbles: [][]Pixel{{{0, 0}, {37, 0}}}},
		"the box from x 5, y 5 to x 5, y 9 has no pixels":                 {Boxes: []Box{{5, 5, 5, 9}}},
		"the box from x 0, y 0 to x 51, y 9 has no pixels, or some outsi": {Boxes: []Box{{0, 0, 51, 9}}},
		"the mask has 4×3 pixels, the picture 50×37":                      {Mask: &small},
		"a text or strokes, not both":                                     {Text: "a", Clicks: []Pixel{{1, 1}}},
		"the previous answer is about another picture": {Clicks: []Pixel{{1, 1}},
			Previous: elsewhere},
	} {
		_, err := p.Segment(q)
		require.ErrorContains(t, err, want)
	}
	_, err = p.Objects(nil, nil, 0.8, 0.8)
	require.ErrorContains(t, err, "there are no classes")
	_, err = s.Look(nil)
	require.ErrorContains(t, err, "no pixels")
	_, err = s.Look(picture(9000, 1))
	require.ErrorContains(t, err, "at most 4096 pixels a side")
	s.Tokenizer, s.missing = nil, errors.New("it is not there")
	_, err = p.Segment(Prompt{Text: "a"})
	require.ErrorContains(t, err, "tokenizer cannot be read: it is not there")
}
