package data_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// clip is a GIF of 5×3 pixels whose frames have these grey values.
func clip(greys ...uint8) []byte {
	g := &gif.GIF{}
	for _, v := range greys {
		g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, 5, 3), color.Palette{color.Gray{v}}))
		g.Delay = append(g.Delay, 4)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// clips are files of videos: a GIF, and folders of frames.
func clips() map[string][]byte {
	files := map[string][]byte{"a/clip.gif": clip(10, 20, 30, 40, 50), "cut.gif": clip(10, 20, 30)[:60],
		"empty.gif": {}, "clip.mp4": []byte("\x00\x00\x00 ftypisom0000000000"), "none/notes.txt": []byte("x"),
		"bad/0.gif": clip(1), "bad/1.gif": []byte("GIF89a")}
	for i := range 5 {
		files[fmt.Sprintf("frames/%d.gif", i)] = clip(uint8(10 * (i + 1)))
	}
	return files
}

// sources are a folder, a zip and a tar with the same files.
func sources(t *testing.T) map[string]data.Source {
	dir := t.TempDir()
	var z, r bytes.Buffer
	zw, tw := zip.NewWriter(&z), tar.NewWriter(&r)
	for name, b := range clips() {
		path := filepath.Join(dir, "files", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, b, 0o666))
		w, err := zw.Create(name)
		require.NoError(t, err)
		_, err = w.Write(b)
		require.NoError(t, err)
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o666}))
		_, err = tw.Write(b)
		require.NoError(t, err)
	}
	require.NoError(t, zw.Close())
	require.NoError(t, tw.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.zip"), z.Bytes(), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.tar"), r.Bytes(), 0o666))
	out := map[string]data.Source{}
	for _, name := range []string{"files", "a.zip", "a.tar"} {
		s, err := data.OpenSource(filepath.Join(dir, name))
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		out[name] = s
	}
	return out
}

// A video has the same frames from a folder, a zip and a tar, and those that chat shows of its file; what cannot be
// shown is a fault that names the video, and the frame if it is a file.
func TestLoadVideo(t *testing.T) {
	keys := map[string]string{}
	for kind, s := range sources(t) {
		for _, name := range []string{"a/clip.gif", "x/../frames"} {
			for n, want := range map[int][]uint8{1: {10}, 2: {10, 30}, 3: {10, 20, 40}, 17: {10, 20, 30, 40, 50}} {
				frames, err := data.LoadVideo(t.Context(), s, name, n, imaging.Options{})
				require.NoError(t, err, kind)
				var got []uint8
				for _, m := range frames {
					require.Equal(t, [2]int{5, 3}, [2]int{m.W, m.H})
					got = append(got, m.Pix[0])
				}
				require.Equal(t, want, got, "%s %s %d", kind, name, n)
				key, err := data.VideoKey(t.Context(), s, name, n)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(key, fmt.Sprintf("%s/%d frames@", name, n)), key)
				at := fmt.Sprint(name, n)
				require.Contains(t, []string{"", keys[at]}, map[bool]string{true: key, false: ""}[keys[at] != ""])
				keys[at] = key
			}
		}
		for name, want := range map[string]string{
			"none.gif": `"none.gif": file_missing: video: `, "../a.gif": `"../a.gif": path_escape: video: `,
			"/etc/hostname": "path_escape", "": "no name", "empty.gif": `"empty.gif": file_empty: video: no bytes at all`,
			"cut.gif": `"cut.gif": image_truncated: video: frame 0: `, "none": "the folder holds no picture",
			"bad": `"bad": image_truncated: video: 1.gif: frame 1: `,
		} {
			_, err := data.LoadVideo(t.Context(), s, name, 8, imaging.Options{})
			require.ErrorContains(t, err, want, kind)
		}
		t.Setenv("PATH", "")
		_, err := data.LoadVideo(t.Context(), s, "clip.mp4", 8, imaging.Options{})
		require.ErrorContains(t, err, "MJPEG in AVI")
		require.ErrorContains(t, err, map[bool]string{true: "ffmpeg must be on the path", false: "not from an archive"}[kind ==
			"files"])
		ctx, stop := context.WithCancel(t.Context())
		stop()
		for _, name := range []string{"frames", "a/clip.gif"} {
			_, err = data.LoadVideo(ctx, s, name, 8, imaging.Options{})
			require.ErrorIs(t, err, context.Canceled)
		}
		_, err = data.VideoKey(t.Context(), s, "none.gif", 8)
		require.ErrorIs(t, err, data.FileMissing)
	}
	_, err := data.LoadVideo(t.Context(), nil, "a.gif", 8, imaging.Options{})
	require.ErrorContains(t, err, "no folder, zip or tar is given for it (images)")
}

// What is decoded nowhere here goes to the user's ffmpeg, from a folder.
func TestVideoOfOtherFormats(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the ffmpeg of this test is a shell script")
	}
	bin := t.TempDir()
	script := "#!/bin/sh\nprintf 'P6\\n1 1\\n255\\nabcP6\\n1 1\\n255\\ndefP6\\n1 1\\n255\\nghi'\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "ffmpeg"), []byte(script), 0o777))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	for kind, s := range sources(t) {
		frames, err := data.LoadVideo(t.Context(), s, "clip.mp4", 2, imaging.Options{})
		if kind != "files" {
			require.ErrorContains(t, err, "not from an archive")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []byte("abcdef"), append(slices.Clone(frames[0].Pix), frames[1].Pix...))
		_, err = data.VideoKey(t.Context(), s, "clip.mp4", 2)
		require.NoError(t, err)
	}
}

// The key of a video changes with what is shown of it, and with nothing else.
func TestVideoKey(t *testing.T) {
	dir := t.TempDir()
	s, err := data.OpenFolder(dir)
	require.NoError(t, err)
	defer s.Close()
	put := func(name string, b []byte) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, b, 0o666))
	}
	key := func(name string, n int) string {
		k, err := data.VideoKey(t.Context(), s, name, n)
		require.NoError(t, err)
		return k
	}
	for i := range 4 {
		put(fmt.Sprintf("v/%d.gif", i), clip(uint8(i)))
	}
	put("a.gif", clip(1, 2))
	folder, file := key("v", 2), key("a.gif", 2)
	require.NotEqual(t, folder, key("v", 3))
	require.NotEqual(t, file, key("a.gif", 1))
	put("v/1.gif", clip(9)) // frames 0 and 2 are shown
	put("v/notes.txt", []byte("x"))
	require.Equal(t, folder, key("v", 2))
	put("v/2.gif", clip(9))
	require.NotEqual(t, folder, key("v", 2))
	folder = key("v", 2)
	put("v/4.gif", clip(9)) // of five, frames 0 and 2
	require.NotEqual(t, folder, key("v", 2))
	put("a.gif", clip(1, 3))
	require.NotEqual(t, file, key("a.gif", 2))
	image, _, err := data.ImageKey(s, "a.gif", imaging.Options{})
	require.NoError(t, err)
	require.NotEqual(t, image, key("a.gif", 1))
}

// A video's place is a <video>, or an <image> where there are no images.
func TestVisuals(t *testing.T) {
	says := func(values ...string) (turns []chat.Turn) {
		for i, v := range values {
			turns = append(turns, chat.Turn{From: []string{chat.Human, chat.GPT}[i%2], Value: v})
		}
		return turns
	}
	i, v := func(n string) data.Visual { return data.Visual{Name: n} },
		func(n string) data.Visual { return data.Visual{Name: n, Video: true} }
	for _, c := range []struct {
		images, videos []string
		turns          []chat.Turn
		want           []data.Visual
		fault          data.Kind
	}{
		{nil, []string{"a"}, says("<image>\nWhat?", "So."), []data.Visual{v("a")}, ""},
		{nil, []string{"a"}, says("<video>\nWhat?", "So."), []data.Visual{v("a")}, ""},
		{nil, []string{"a", "b"}, says("<image> <video>?", "So."), []data.Visual{v("a"), v("b")}, ""},
		{[]string{"p", "q"}, []string{"a"}, says("<image> <video>?", "So.", "<image>", "Yes."),
			[]data.Visual{i("p"), v("a"), i("q")}, ""},
		{[]string{"p"}, nil, says("<image> and <video>?", "<video>."), []data.Visual{i("p")}, ""},
		{[]string{"p"}, []string{"a"}, says("<image><image>", "So."), []data.Visual{i("p"), v("a")}, data.ImageTokenCount},
		{nil, []string{"a"}, says("What?", "So."), []data.Visual{v("a")}, data.ImageTokenMissing},
		{nil, []string{"a"}, says("<image><video>", "So."), []data.Visual{v("a")}, data.ImageTokenCount},
		{nil, []string{""}, says("<video>", "So."), []data.Visual{v("")}, data.ImageMissing},
		{nil, []string{"a"}, says("<video>", "A <video>."), []data.Visual{v("a")}, data.ImageTokenInAnswer},
	} {
		s := data.Sample{Images: c.images, Videos: c.videos, Turns: c.turns}
		require.Equal(t, c.want, s.Visuals(), "%+v", s)
		var kinds []data.Kind
		for _, f := range s.Faults() {
			kinds = append(kinds, f.Kind)
		}
		if c.fault == "" {
			require.Empty(t, kinds, "%+v", s)
		} else {
			require.Equal(t, []data.Kind{c.fault}, kinds, "%+v", s)
		}
		if text := s.Places()[0].Value; len(c.videos) > 0 {
			require.NotContains(t, text, chat.VideoToken)
		}
	}
}

// Check opens videos, and says which record of which file names one that cannot be shown.
func TestCheckLooksAtVideos(t *testing.T) {
	names := []string{"a/clip.gif", "cut.gif", "frames", "none", "nowhere.gif", "bad", "empty.gif"}
	want := []string{"", "image_truncated", "", string(imaging.NotImage), "file_missing", "image_truncated", "file_empty"}
	var text []string
	for i, name := range names {
		text = append(text, strings.NewReplacer(`"id":"a"`, fmt.Sprintf(`"id":%d`, i), "a.png", name, `"image"`,
			`"video"`).Replace(good))
	}
	path := write(t, "a.json", "["+strings.Join(text, ",\n")+"]")
	for kind, images := range sources(t) {
		faults, err := data.Check(context.Background(), path, images, data.CheckOptions{})
		require.NoError(t, err)
		got := make([]string, len(want))
		for _, f := range faults {
			got[f.Record] = string(f.Kind)
			require.Equal(t, names[f.Record], f.Image)
			require.Equal(t, []any{f.Record + 1, strings.Index(text[f.Record], `"`+f.Image) + 1}, []any{f.Line, f.Column})
			require.Contains(t, f.Error(), fmt.Sprintf("record %d (%d): %q: %s: video: ", f.Record, f.Record, f.Image, f.Kind))
		}
		require.Equal(t, want, got, kind)
		faults, err = data.Check(context.Background(), path, images, data.CheckOptions{Headers: true})
		require.NoError(t, err)
		require.False(t, slices.ContainsFunc(faults, func(f data.Fault) bool { return f.Image == "bad" }), "frame 1")
	}
}
