package imaging_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

func TestSampleFrames(t *testing.T) {
	require.Equal(t, []int{0, 2, 5, 7}, imaging.SampleFrames(10, 4))
	require.Equal(t, []int{0, 1, 2}, imaging.SampleFrames(3, 8))
	require.Empty(t, imaging.SampleFrames(0, 8))
}

var palette = color.Palette{color.RGBA{0, 0, 0, 0}, color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255},
	color.RGBA{0, 0, 255, 255}}

// moving is a GIF of 7×5 pixels: red, then a green dot that moves one to the right in each frame.
func moving(t testing.TB, frames int, disposal byte) []byte {
	g := &gif.GIF{Config: image.Config{ColorModel: palette, Width: 7, Height: 5}}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, 7, 5), palette)
		for j := range m.Pix {
			if i == 0 {
				m.Pix[j] = 1
			}
		}
		m.SetColorIndex(i, 2, 2)
		g.Image, g.Delay, g.Disposal = append(g.Image, m), append(g.Delay, 4), append(g.Disposal, disposal)
	}
	var b bytes.Buffer
	require.NoError(t, gif.EncodeAll(&b, g))
	return b.Bytes()
}

func write(t *testing.T, name string, data []byte) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// row2 writes the third row of each frame as letters.
func row2(frames []*imaging.RGB) (rows []string) {
	for _, m := range frames {
		s := ""
		for x := range m.W {
			p := m.Pix[3*(2*m.W+x):][:3]
			s += map[[3]byte]string{{255, 0, 0}: "r", {0, 255, 0}: "g", {0, 0, 255}: "b", {0, 0, 0}: "."}[[3]byte(p)]
		}
		rows = append(rows, s)
	}
	return rows
}

func TestAnimatedGIF(t *testing.T) {
	read := func(data []byte, n int) ([]*imaging.RGB, error) {
		return imaging.OpenVideo(t.Context(), write(t, "a.gif", data), n, imaging.Options{})
	}
	frames, err := read(moving(t, 4, gif.DisposalNone), 4)
	require.NoError(t, err)
	require.Equal(t, []string{"grrrrrr", "ggrrrrr", "gggrrrr", "ggggrrr"}, row2(frames))
	frames, err = read(moving(t, 4, gif.DisposalPrevious), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"grrrrrr", "..g...."}, row2(frames))
	frames, err = read(moving(t, 5, gif.DisposalNone), 99)
	require.NoError(t, err)
	require.Len(t, frames, 5)

	whole := moving(t, 4, gif.DisposalNone)
	_, err = read(whole[:len(whole)*2/3], 4)
	require.ErrorIs(t, err, imaging.Truncated)
	require.ErrorContains(t, err, "frame 2")
	broken := bytes.Clone(whole)
	at := bytes.LastIndexByte(broken, 0x2c) // of the last frame: its LZW data
	for i := at + 11; i < len(broken)-2; i++ {
		broken[i] = 0xff
	}
	_, err = read(broken, 4)
	require.Error(t, err)
	_, err = read(whole, 0)
	require.ErrorContains(t, err, "0 frames: 1 to 4096 are possible")
	_, err = imaging.OpenVideo(t.Context(), write(t, "a.gif", whole), 4,
		imaging.Options{Limits: imaging.Limits{Pixels: 34}})
	require.ErrorIs(t, err, imaging.TooLarge)
	_, err = imaging.OpenVideo(t.Context(), write(t, "a.gif", moving(t, 5, 0)), 5,
		imaging.Options{Limits: imaging.Limits{Pixels: 35}})
	require.ErrorContains(t, err, "5 frames of 7×5 pixels: 140 pixels are allowed in all")
}

// Bytes in memory are decoded as a file of theirs is; what would need another program is refused, and so is work
// without end.
func TestDecodeVideo(t *testing.T) {
	whole := moving(t, 6, gif.DisposalNone)
	want, err := imaging.OpenVideo(t.Context(), write(t, "a.gif", whole), 3, imaging.Options{})
	require.NoError(t, err)
	got, err := imaging.DecodeVideo(t.Context(), whole, 3, imaging.Options{})
	require.NoError(t, err)
	require.Equal(t, want, got)
	for data, wants := range map[string]string{
		"": "no bytes at all",
		"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00": "animated GIF or WebP, or MJPEG in AVI",
		"GIF89a": "gif",
	} {
		_, err := imaging.DecodeVideo(t.Context(), []byte(data), 3, imaging.Options{})
		require.ErrorContains(t, err, wants)
	}
	_, err = imaging.DecodeVideo(t.Context(), whole, 0, imaging.Options{})
	require.ErrorContains(t, err, "0 frames: 1 to 4096 are possible")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = imaging.DecodeVideo(ctx, whole, 3, imaging.Options{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = imaging.DecodeVideo(t.Context(), whole, 3,
		imaging.Options{Limits: imaging.Limits{Bytes: int64(len(whole)) - 1}})
	require.ErrorIs(t, err, imaging.TooLarge)
	_, err = imaging.DecodeVideo(t.Context(), moving(t, 65, 0), 2, imaging.Options{Limits: imaging.Limits{Pixels: 35}})
	require.NoError(t, err)
	_, err = imaging.DecodeVideo(t.Context(), moving(t, 130, 0), 2, imaging.Options{Limits: imaging.Limits{Pixels: 35}})
	require.ErrorContains(t, err, "66 frames of 7×5 pixels are to be decoded")
}

// The frames are Pillow's, byte for byte: first digits of their SHA-256.
func TestAnimatedWebP(t *testing.T) {
	frames, err := imaging.OpenVideo(t.Context(), "testdata/images/webp-animated.webp", 9, imaging.Options{})
	require.NoError(t, err)
	var got []string
	for _, m := range frames {
		got = append(got, fmt.Sprintf("%.8x", sha256.Sum256(m.Pix)))
	}
	require.Equal(t, []string{"d2d9678d2d5d9f1c", "6c3632679f1db6d5", "ffe60635b74dec9e"}, got)
	whole, err := os.ReadFile("testdata/images/webp-animated.webp")
	require.NoError(t, err)
	_, err = imaging.OpenVideo(t.Context(), write(t, "a.webp", whole[:len(whole)-30]), 9, imaging.Options{})
	require.ErrorIs(t, err, imaging.Truncated)
	require.ErrorContains(t, err, "frame 2")
}

func TestFolderOfFrames(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		m := image.NewRGBA(image.Rect(0, 0, 3, 2))
		m.Set(0, 0, color.RGBA{uint8(10 * i), 0, 0, 255})
		var b bytes.Buffer
		require.NoError(t, gif.Encode(&b, m, nil))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.gif", i)), b.Bytes(), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o600))
	frames, err := imaging.OpenVideo(t.Context(), dir, 5, imaging.Options{})
	require.NoError(t, err)
	require.Len(t, frames, 5)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "001.gif"), []byte("GIF89a"), 0o600))
	_, err = imaging.OpenVideo(t.Context(), dir, 5, imaging.Options{})
	require.ErrorContains(t, err, "001.gif")
	_, err = imaging.OpenVideo(t.Context(), t.TempDir(), 5, imaging.Options{})
	require.ErrorContains(t, err, "the folder holds no picture")
}

func chunk(kind string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func TestMotionJPEG(t *testing.T) {
	var movi []byte
	var first []byte
	for i := range 6 {
		m := image.NewGray(image.Rect(0, 0, 16, 8))
		for j := range m.Pix {
			m.Pix[j] = uint8(40 * i)
		}
		var b bytes.Buffer
		require.NoError(t, jpeg.Encode(&b, m, nil))
		frame := b.Bytes()
		at := bytes.Index(frame, []byte{0xff, 0xc4}) // the standard's tables, which MJPEG leaves out
		size := 2 + int(binary.BigEndian.Uint16(frame[at+2:]))
		if i == 0 {
			first = frame
		}
		frame = append(bytes.Clone(frame[:at]), frame[at+size:]...)
		movi = append(movi, chunk("00dc", frame)...)
		movi = append(movi, chunk("01wb", []byte{1, 2, 3})...)
	}
	header := chunk("LIST", append([]byte("strl"), chunk("strh", append([]byte("vidsMJPG"), make([]byte, 48)...))...))
	header = chunk("LIST", append([]byte("hdrl"), header...))
	body := append(append([]byte("AVI "), header...), chunk("LIST", append([]byte("movi"), movi...))...)
	data := chunk("RIFF", body)
	frames, err := imaging.OpenVideo(t.Context(), write(t, "a.avi", data), 3, imaging.Options{})
	require.NoError(t, err)
	require.Len(t, frames, 3)
	for i, m := range frames {
		require.InDelta(t, 80*i, m.Pix[0], 1)
	}
	whole, err := imaging.Decode(first, imaging.Options{})
	require.NoError(t, err)
	require.Equal(t, whole.Pix, frames[0].Pix)
	_, err = imaging.OpenVideo(t.Context(), write(t, "a.avi", data[:len(data)-40]), 3, imaging.Options{})
	require.ErrorIs(t, err, imaging.Truncated)
}

// Lists within lists end in an error, not at the end of the stack.
func TestNestedLists(t *testing.T) {
	const n = 100_000
	body := []byte("AVI ")
	for i := range n {
		body = append(binary.LittleEndian.AppendUint32(append(body, "LIST"...), uint32(12*(n-i)-8)), "movi"...)
	}
	_, err := imaging.OpenVideo(t.Context(), write(t, "a.avi", chunk("RIFF", body)), 3, imaging.Options{})
	require.ErrorIs(t, err, imaging.Corrupt)
	require.ErrorContains(t, err, "8 deep")
}

// What is none of these goes to ffmpeg, or to an error that says what can be done without it.
func TestOtherContainers(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := imaging.OpenVideo(t.Context(), write(t, "a.mp4", []byte("\x00\x00\x00\x18ftypmp42....")), 3,
		imaging.Options{})
	require.ErrorIs(t, err, imaging.Unsupported)
	require.ErrorContains(t, err, "ffmpeg must be on the path")
	_, err = imaging.OpenVideo(t.Context(), write(t, "a.mp4", nil), 3, imaging.Options{})
	require.ErrorIs(t, err, imaging.Empty)
}

// The frames of another container are those that ffmpeg writes, sampled; what it says is in the error.
func TestFFmpeg(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the ffmpeg of this test is a shell script")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	open := func(n int, script string) ([]*imaging.RGB, error) {
		require.NoError(t, os.WriteFile(filepath.Join(bin, "ffmpeg"), []byte("#!/bin/sh\n"+script), 0o777))
		return imaging.OpenVideo(t.Context(), write(t, "a.mp4", []byte("\x00\x00\x00\x18ftypmp42....")), n,
			imaging.Options{Limits: imaging.Limits{Pixels: 12}})
	}
	writes := func(frames ...string) string { // of 2×1 pixels, 6 letters each
		return "printf 'P6\\n2 1\\n255\\n" + strings.Join(frames, "P6\\n2 1\\n255\\n") + "'\n"
	}
	for n, want := range map[int][]string{1: {"abcdef"}, 2: {"abcdef", " \t\nxyz"}, 3: {"abcdef", "ghijkl", "mnopqr"},
		9: {"abcdef", "ghijkl", " \t\nxyz", "mnopqr"}} {
		script := writes("abcdef", "ghijkl", " \\t\\nxyz", "mnopqr")
		if n == 3 {
			script = writes("abcdef", "ghijkl", "mnopqr")
		}
		frames, err := open(n, script)
		require.NoError(t, err)
		var got []string
		for _, m := range frames {
			require.Equal(t, [2]int{2, 1}, [2]int{m.W, m.H})
			got = append(got, string(m.Pix))
		}
		require.Equal(t, want, got)
	}
	for script, want := range map[string]string{
		"":              "ffmpeg finds no frame in it",
		"exit 3\n":      "ffmpeg: exit status 3",
		"echo no >&2\n": "ffmpeg: no",
		writes("abcdef") + "echo moov atom not found >&2\nexit 1\n": "ffmpeg: moov atom not found",
		writes("abc"):                "unexpected EOF",
		"printf 'P6'":                "unexpected EOF",
		"printf 'Q6'":                "input does not match format",
		"printf 'P6\\n7 2\\n255\\n'": "7×2 pixels: 12 are allowed",
	} {
		_, err := open(2, script)
		require.ErrorContains(t, err, want, script)
		var e *imaging.Error
		require.ErrorAs(t, err, &e)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := imaging.OpenVideo(ctx, write(t, "a.mp4", []byte("\x00\x00\x00\x18ftypmp42....")), 2, imaging.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzDecodeVideo: whatever a client sends as a video becomes frames of one size, or an error of a kind.
func FuzzDecodeVideo(f *testing.F) {
	for _, disposal := range []byte{gif.DisposalNone, gif.DisposalBackground, gif.DisposalPrevious} {
		f.Add(moving(f, 3, disposal), uint8(2))
	}
	animated, err := os.ReadFile("testdata/images/webp-animated.webp")
	require.NoError(f, err)
	f.Add(animated, uint8(3))
	var b bytes.Buffer
	require.NoError(f, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 9, 5)), nil))
	frame := chunk("00dc", b.Bytes())
	avi := slices.Concat([]byte("AVI "), chunk("LIST", slices.Concat([]byte("hdrl"), chunk("LIST",
		slices.Concat([]byte("strl"), chunk("strh", []byte("vidsMJPG")))))),
		chunk("LIST", slices.Concat([]byte("movi"), frame, frame)))
	f.Add(chunk("RIFF", avi), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		frames, err := imaging.DecodeVideo(t.Context(), data, 1+int(n%8),
			imaging.Options{Limits: imaging.Limits{Pixels: 1 << 12}})
		var e *imaging.Error
		if err != nil {
			require.True(t, errors.As(err, &e), "%v", err)
			return
		}
		require.NotEmpty(t, frames)
		require.LessOrEqual(t, len(frames), 1+int(n%8))
		for _, m := range frames {
			require.Len(t, m.Pix, 3*m.W*m.H)
		}
	})
}
