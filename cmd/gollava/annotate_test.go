package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/generate"
)

// TestAnnotate goes from images alone to instruction data: captions by a tiny model, boxes by a tiny SEEM.
func TestAnnotate(t *testing.T) {
	dir := tiny(t)
	require.NoError(t, os.Mkdir(dir+"/seem", 0o777))
	tinySEEM(t, dir+"/seem")
	require.NoError(t, os.MkdirAll(dir+"/photos/more", 0o777))
	for i, name := range []string{"a.png", "b.png", "more/c.png"} {
		m := image.NewRGBA(image.Rect(0, 0, 40, 30))
		for k := range 1200 {
			m.Set(k%40, k/40, color.RGBA{uint8(k * k), uint8(k * (i + 3)), uint8(k >> 2), 255})
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, m))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "photos", name), b.Bytes(), 0o666))
	}
	require.NoError(t, os.WriteFile(dir+"/photos/notes.txt", []byte("no image"), 0o666))
	const annotate = "data annotate DIR/model --dtype float32 --template plain --max-tokens 4 --images DIR/photos " +
		"--out DIR/r.jsonl --seem DIR/seem --classes circle,square --score 0"
	code, said := command(t, dir, annotate)
	require.Zero(t, code, said)
	require.Contains(t, said, "3 of 3: more/c.png")
	require.Contains(t, said, "generate --records")
	whole, err := os.ReadFile(dir + "/r.jsonl")
	require.NoError(t, err)
	set, err := generate.OpenRecords(dir+"/r.jsonl", dir+"/photos")
	require.NoError(t, err)
	require.Len(t, set.Scenes, 3)
	require.Equal(t, "more/c.png", set.Scenes[2].Image)
	boxes := 0
	for _, s := range set.Scenes {
		require.Len(t, s.Captions, 3)
		require.Equal(t, [2]float64{40, 30}, [2]float64{s.Width, s.Height})
		boxes += len(s.Boxes)
		for _, b := range s.Boxes {
			require.Contains(t, []string{"circle", "square"}, b.Name)
			require.LessOrEqual(t, b.BBox[0]+b.BBox[2], 40.0)
			require.LessOrEqual(t, b.BBox[1]+b.BBox[3], 30.0)
		}
	}
	require.NotZero(t, boxes)
	require.Empty(t, set.Faults.Counts[generate.BoxOutside])

	require.NoError(t, os.WriteFile(dir+"/r.jsonl", whole[:len(whole)-9], 0o666)) // a killed run
	code, said = command(t, dir, annotate)
	require.Zero(t, code, said)
	require.Contains(t, said, "1 of 1: more/c.png")
	again, err := os.ReadFile(dir + "/r.jsonl")
	require.NoError(t, err)
	require.Equal(t, string(whole), string(again))
	code, said = command(t, dir, "generate --records DIR/r.jsonl --images DIR/photos --out DIR/made")
	require.Zero(t, code, said)

	for args, says := range map[string]string{
		strings.Replace(annotate, "--classes circle,square", "", 1):               "--seem and --classes belong together",
		strings.Replace(annotate, "DIR/photos", "DIR/seem", 1):                    "holds no images",
		strings.Replace(annotate, "max-tokens 4", "max-tokens 0", 1):              "a caption takes at least one",
		strings.Replace(annotate, "DIR/r.jsonl", cases+"pope/questions.jsonl", 1): "choose another file for --out",
	} {
		code, said := command(t, dir, args)
		require.Equal(t, 1, code, args)
		require.Contains(t, said, says, args)
	}
}

func TestAround(t *testing.T) {
	m := seem.NewMask(5, 7)
	_, ok := around(m)
	require.False(t, ok)
	m.On[1*7+2], m.On[3*7+6] = true, true
	box, ok := around(m)
	require.True(t, ok)
	require.Equal(t, [4]int{2, 1, 5, 3}, box)
}
