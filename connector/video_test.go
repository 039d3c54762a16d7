package connector_test

import (
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// A question about a video is one about its sampled frames in their order; a model that takes images alone says so.
func TestAskVideo(t *testing.T) {
	a, _, _ := talker(t, 24)
	dir := t.TempDir()
	var frames []*imaging.RGB
	for i := range 4 {
		m := photo(i + 1)
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.png", i)))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, m))
		require.NoError(t, f.Close())
		frames = append(frames, m)
	}
	_, err := a.AskVideo(t.Context(), "What is this?", dir, 2)
	require.ErrorContains(t, err, "a video: a model of type llava takes images")

	c := llava.ConfigOf(a.Model)
	c.Video = &llava.Video{Pool: "average", Stride: 2, Newline: "no_token"}
	a.Model, err = llava.New(rand.New(rand.NewPCG(7, 8)), c)
	require.NoError(t, err)
	reply := func(question string, frames ...*imaging.RGB) string {
		x, err := a.Video(frames)
		require.NoError(t, err)
		ids, err := a.PromptIDs([]chat.Turn{{From: chat.Human, Value: question}}, true)
		require.NoError(t, err)
		b, err := a.Model.Splice([]connector.Sample{{IDs: ids, Images: []connector.Image{x}}}, true)
		require.NoError(t, err)
		g, err := a.Model.Generate(t.Context(), b, a.Options)
		require.NoError(t, err)
		return a.Tokenizer.Decode(g.IDs[0])
	}
	ask := func(question string, frames int) string {
		answer, err := a.AskVideo(t.Context(), question, dir, frames)
		require.NoError(t, err)
		return answer
	}
	require.Contains(t, reply("<image>\nWhat is this?", frames[0], frames[2]), ask("What is this?", 2))
	require.Contains(t, reply("What is <image>?", frames...), ask("What is <video>?", 9))
	// a session keeps a video as it keeps an image, and the same frames as images are something else
	s := a.NewSession()
	turns := talk("<image>\nWhat is this?")
	first, err := s.Watch(t.Context(), turns, []connector.Visual{{Video: frames}}, nil)
	require.NoError(t, err)
	require.Equal(t, ask("What is this?", 9), first)
	kept := s.Cached()
	turns = talk("<image>\nWhat is this?", first, "And that: <image>?")
	second := []connector.Visual{{Video: frames}, {Image: frames[1]}}
	again, err := s.Watch(t.Context(), turns, second, nil)
	require.NoError(t, err)
	require.Greater(t, s.Cached(), kept)
	fresh, err := a.NewSession().Watch(t.Context(), turns, second, nil)
	require.NoError(t, err)
	require.Equal(t, fresh, again)
	cache := a.NewImageCache(0)
	for _, v := range []connector.Visual{{Video: frames[:1]}, {Image: frames[0]}, {Video: frames[:1]}} {
		ids, err := a.PromptIDs(talk("<image>"), true)
		require.NoError(t, err)
		p, err := cache.Prompts(t.Context(), ids, []connector.Visual{v}, nil)
		require.NoError(t, err)
		l, err := a.Model.Layout(v.Media())
		require.NoError(t, err)
		require.Equal(t, len(ids)-1+l.Tokens, p.Embeds.Dim(1))
	}
	require.Equal(t, 2, cache.Len())
	_, err = s.Watch(t.Context(), talk("<image>"), []connector.Visual{{}}, nil)
	require.ErrorContains(t, err, "image 1: it is missing")

	_, err = a.Video(nil)
	require.ErrorContains(t, err, "a video without frames")
	_, err = a.AskVideo(t.Context(), "What is this?", filepath.Join(dir, "none.gif"), 2)
	require.ErrorContains(t, err, "none.gif")
}
