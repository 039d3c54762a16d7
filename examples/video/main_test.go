package main

import (
	"bytes"
	"image"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

func TestRun(t *testing.T) {
	var said bytes.Buffer
	require.NoError(t, run([]string{"-steps", "3", "-batch", "4", "-test", "3"}, &said))
	for _, row := range []string{"the video", "single frame", "played backwards", "another video", "the mean of all",
		"no video"} {
		require.Contains(t, said.String(), "\n"+row+" ")
	}
	said.Reset()
	require.NoError(t, run([]string{"-steps", "1", "-batch", "2", "-test", "2", "-single"}, &said))
	require.NotContains(t, said.String(), "no video")
	require.ErrorContains(t, run([]string{"-batch", "0"}, &said), "-batch 0, -test 300: at least one video in a step")
}

// middle is where the object of a frame is: the mean place of what is not like the corners, and how many pixels that
// is.
func middle(m *image.RGBA) (x, y float64, n int) {
	ground := m.RGBAAt(0, m.Rect.Dy()-1)
	for i := range m.Rect.Dx() * m.Rect.Dy() {
		px, py := i%m.Rect.Dx(), i/m.Rect.Dx()
		c, far := m.RGBAAt(px, py), 0
		for _, d := range []int{int(c.R) - int(ground.R), int(c.G) - int(ground.G), int(c.B) - int(ground.B)} {
			far += max(d, -d)
		}
		if far > 90 {
			x, y, n = x+float64(px), y+float64(py), n+1
		}
	}
	return x / float64(n), y / float64(n), n
}

// TestClips: the answers are what the pixels show, and the single frame says nothing about the way.
func TestClips(t *testing.T) {
	v, err := newViewer(3)
	require.NoError(t, err)
	seen, places := map[string]int{}, map[string]float64{}
	for i := range 400 {
		c := v.clip(shapes.Train, i)
		require.Len(t, c.scenes, frames)
		seen[c.answer]++
		said := v.Tokenizer.Decode(v.Tokenizer.Encode(" " + c.answer))
		require.Equal(t, c.answer, strings.TrimSpace(said), "what is learnt is what is counted as right")
		if i%2 == 1 {
			_, _, before := middle(c.scenes[0].Image())
			_, _, after := middle(c.scenes[frames-1].Image())
			require.Greater(t, after, before)
			require.Len(t, c.scenes[0].Objects, 1)
			require.Equal(t, c.answer, c.scenes[0].Objects[0].Pair().String())
			require.Equal(t, c.scenes[still].Objects, c.scenes[frames-1].Objects)
			continue
		}
		x0, y0, _ := middle(c.scenes[0].Image())
		x1, y1, _ := middle(c.scenes[frames-1].Image())
		way := map[bool]string{true: "right", false: "left"}[x1 > x0]
		if max(x1-x0, x0-x1) < max(y1-y0, y0-y1) {
			way = map[bool]string{true: "down", false: "up"}[y1 > y0]
		}
		require.Equal(t, way, c.answer, "video %d: %v %v → %v %v", i, x0, y0, x1, y1)
		x, _, _ := middle(c.scenes[still].Image())
		places[c.answer] += x
	}
	for _, w := range ways {
		require.Greater(t, seen[w.word], 30)
		require.InDelta(t, 15.5, places[w.word]/float64(seen[w.word]), 1)
	}
}
