package study

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// square is a PNG of n×n pixels of a color, one of which is of another.
func square(n int, c color.RGBA, at int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, n, n))
	for i := range n {
		for j := range n {
			m.SetRGBA(i, j, c)
		}
	}
	m.SetRGBA(at, at, color.RGBA{9, 9, 9, 255})
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}

// What is wrong in a CSV of one's own pictures is an error that names file, line or column and what to do.
func TestReadThings(t *testing.T) {
	const side = 64
	dir := t.TempDir()
	put := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	for i, name := range []string{"a1", "a2", "b1", "b2"} {
		put(name+".png", square(side, color.RGBA{uint8(60 * i), 9, 9, 255}, i))
	}
	put("large.png", square(2*side, color.RGBA{1, 2, 3, 255}, 0))
	put("text.png", []byte("no picture"))
	frame := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	var b bytes.Buffer
	require.NoError(t, gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{5, 5}}))
	put("moves.gif", b.Bytes())
	const head, a, two = "picture,name,tags,category\n", "a1.png,apple,\"red, fruit\",food: fruit\na2.png,apple,,food: fruit\n",
		"b1.png,bear,,animals\nb2.png,bear,,animals\n"
	for text, want := range map[string][]string{
		head + a + two:                                             nil,
		"file,name\n":                                              {"mine.csv: its first row", "picture,name,tags,category"},
		"":                                                         {"mine.csv: its first row"},
		head + a + "b1.png,bear,x,y,animals\n":                     {"line 4", "there are 5", "double quotes"},
		head + a + "b1.png,,,animals\n":                            {"line 4, column name", "empty"},
		head + a + "b1.png,bear,,\n":                               {"line 4, column category", "empty"},
		head + a + "a1.png,bear,,animals\n":                        {"line 4, column picture", "line 2 already"},
		head + a + "b1.png,Apple,,food: fruit\n":                   {"line 4, column name", `also written "apple"`},
		head + a + "b1.png,apple,,animals\n":                       {"line 4, column category", "food: fruit"},
		head + a + "none.png,bear,,animals\n":                      {"line 4, column picture", "none.png", "take the row out"},
		head + a + "text.png,bear,,animals\n":                      {"line 4, column picture", "text.png", "no JPEG"},
		head + a + "moves.gif,bear,,animals\n":                     {"line 4, column picture", "animated", "magick"},
		head + a + "large.png,bear,,animals\n":                     {"line 4, column picture", "128×128 pixels", "magick"},
		head + a + "b1.png,bear,,animals\n":                        {"column name", `one picture of "bear"`, "add another"},
		head + a:                                                   {"1 names to learn"},
		head + a + two + "large.png,\"bear,,animals\nb2.png,bear,": {"mine.csv", "line 6"},
	} {
		put("mine.csv", []byte(text))
		all, err := ReadThings(filepath.Join(dir, "mine.csv"), side, nil)
		if want == nil {
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, []string{"apple", "food", "fruit", "red"}, []string{all[0].Name, all[0].Category, all[0].Kind, all[0].Tags[0]})
			require.Len(t, all[1].Shown, 1)
		}
		for _, part := range want {
			require.ErrorContains(t, err, part)
		}
	}
	put("mine.csv", []byte(head+a+two))
	_, err := ReadThings(filepath.Join(dir, "mine.csv"), side, []string{"wolf"})
	require.ErrorContains(t, err, `has no "wolf"`)
}

// A picture is drawn as often between two of a thing's as alone, always within 0 … 1, the same from the same source, and
// what is transparent takes the ground's color.
func TestDraw(t *testing.T) {
	red, clear := image.NewRGBA(image.Rect(0, 0, 8, 8)), image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		red.Pix[4*i], red.Pix[4*i+3] = 255, 255
	}
	th := Thing{Name: "x", Shown: []*image.RGBA{red, clear}}
	a := th.Draw(nil, 9, true, rand.New(rand.NewPCG(1, 2)))
	require.Len(t, a, 243)
	require.Equal(t, a, th.Draw(nil, 9, true, rand.New(rand.NewPCG(1, 2))))
	r, redder, between := rand.New(rand.NewPCG(3, 4)), 0, 0
	for range 400 {
		x := th.Draw(nil, 9, false, r)
		for _, v := range x {
			require.True(t, v >= 0 && v <= 1)
		}
		switch at := 40; { // the middle pixel
		case x[at]-x[81+at] > 0.6:
			redder++
		case x[at]-x[81+at] > 0.15:
			between++
		}
	}
	require.Greater(t, redder, 80)
	require.Greater(t, between, 30)
	require.Equal(t, []byte{127, 0, 0, 127}, blend(red, clear, 128).Pix[:4])
}

// Each pixel of a smaller picture is the mean of the square it stands for.
func TestReduce(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for i := range 16 {
		m.Pix[4*i] = uint8(i)
	}
	small := Reduce(m, 2)
	require.Equal(t, []byte{3, 5, 11, 13}, []byte{small.Pix[0], small.Pix[4], small.Pix[8], small.Pix[12]}) // 2.5 up
}

// A picture on white keeps opaque colors, and what is transparent is white.
func TestOnWhite(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 2, 1))
	copy(m.Pix, []byte{100, 0, 0, 128, 7, 8, 9, 255})
	require.Equal(t, []byte{227, 127, 127, 255, 7, 8, 9, 255}, OnWhite(m).Pix)
}
