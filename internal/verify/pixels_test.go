package verify_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/casetest"
)

func TestPixels(t *testing.T) {
	var kinds []string
	for _, dir := range []string{"pixels", "anyres"} {
		for _, r := range verify.Run("testdata/" + dir).Rows {
			require.True(t, r.Pass, "%+v", r)
			require.Zero(t, r.MaxAbs, "%+v", r)
			kinds = append(kinds, r.What)
		}
	}
	require.Subset(t, kinds, []string{"decode PNG", "decode JPEG (lossy)", "decode JPEG (lossy), turned",
		"decode WEBP (lossy)", "decode GIF", "decode BMP", "clip", "pad", "square", "resize", "normalized",
		"anyres", "anyres, padded", "geometry tokens", "geometry unpad (transformers)"})
}

// copied copies a case, with old replaced by new in one of its files.
func copied(t *testing.T, from, name, old, new string) string {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/"+from)))
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o644))
	return dir
}

func row(t *testing.T, dir, what string) verify.Row {
	for _, r := range verify.Run(dir).Rows {
		if r.What == what {
			return r
		}
	}
	require.Fail(t, "no row "+what)
	return verify.Row{}
}

func TestPixelDifferences(t *testing.T) {
	for _, c := range []struct{ from, file, old, new, what, detail string }{
		{"pixels", "index.jsonl", `"shape":[1,1,3],"dtype":"U8","sha256":"f6`,
			`"shape":[1,2,3],"dtype":"U8","sha256":"f6`, "decode PNG", "shape [1 1 3], not [1 2 3]"},
		{"pixels", "index.jsonl", `"size":[17,23]`, `"size":[17,24]`, "decode PNG",
			"images/rgb-17x23.png: 17×23 pixels, not 17×24"},
		{"pixels", "index.jsonl", `"op":"clip","size":56`, `"op":"clip","size":57`, "clip",
			"images/rgb-1x1.png clip: shape [57 57 3], not [56 56 3]"},
		{"pixels", "index.jsonl", `"op":"clip","size":56`, `"op":"clip","size":-1`, "clip", "size: shortest_edge -1"},
		{"pixels", "index.jsonl", `"op":"square"`, `"op":"blur"`, "blur", "the operation is not known"},
		{"pixels", "index.jsonl", `"filter":"bicubic","width"`, `"filter":"cubic","width"`, "resize", `"cubic"`},
		{"pixels", "index.jsonl", `"color":[122,`, `"color":[123,`, "pad", "color [123 116 104]"},
		{"pixels", "index.jsonl", `"square":500`, `"square":501`, "pad", "a square of 500 pixels, not 501"},
		{"pixels", "index.jsonl", `"best":[28,56]`, `"best":[56,28]`, "anyres", "canvas {28 56}, not [56 28]"},
		{"pixels", "index.jsonl", `"boxes":[[0,0,`, `"boxes":[[0,1,`, "anyres", "tiles at"},
		{"pixels", "images/gif.gif", "\x2c\x00\x00", "\x2c\x00\x01", "decode GIF", "pixels, not 40×30"},
		{"pixels", "images/rgb-17x23.png", "IDAT", "IDAX", "decode PNG", "images/rgb-17x23.png: imaging: png: "},
		{"anyres", "geometry.jsonl", `"tokens":1176`, `"tokens":1177`, "geometry tokens", "336×336: off by up to 1,"},
		{"anyres", "geometry.jsonl", `"unpad":[12,0,36,24]`, `"unpad":[12,0,35,24]`,
			"geometry unpad (transformers)", "336×336: off by up to 1,"},
		{"anyres", "geometry.jsonl", `"paste":[0,84]`, `"paste":[1,84]`, "geometry paste", "640×480: off by up to 1,"},
	} {
		casetest.Fails(t, "testdata/"+c.from, c.file, c.old, c.new, c.what+": ")
		casetest.Fails(t, "testdata/"+c.from, c.file, c.old, c.new, c.detail)
	}
}

// Sums that differ are followed by a comparison of the bytes: exact, or within the tolerance of lossy formats.
func TestPixelTolerance(t *testing.T) {
	index, err := os.ReadFile("testdata/pixels/index.jsonl")
	require.NoError(t, err)
	sums := func(file, op string) string { // the sum of the first such operation
		line := string(index)[strings.Index(string(index), file):]
		_, s, _ := strings.Cut(line[strings.Index(line, `"op":"`+op+`"`):], `"sha256":"`)
		return s[:64]
	}
	other := strings.Repeat("0", 64)
	r := row(t, copied(t, "pixels", "index.jsonl", sums("rgb-17x23.png", "decode"), other), "decode PNG")
	require.True(t, r.Pass, "the kept bytes are the same: %+v", r)
	dir := copied(t, "pixels", "index.jsonl", sums("rgb-337x336.png", "clip"), other)
	r = row(t, dir, "clip")
	require.False(t, r.Pass)
	require.Contains(t, r.Detail, "another SHA-256")

	change := func(t *testing.T, file, op string, by byte) string {
		dir := copied(t, "pixels", "index.jsonl", sums(file, op), other)
		data, err := os.ReadFile(dir + "/expected.safetensors")
		require.NoError(t, err)
		kept := map[string]string{"decode": "decode", "normalized": "norm32"}[op]
		_, at, _ := strings.Cut(string(data), `"`+file+"/"+kept+`"`)
		var from, to int
		_, err = fmt.Sscanf(at[strings.Index(at, `"data_offsets":`):], `"data_offsets":[%d,%d]`, &from, &to)
		require.NoError(t, err)
		data[8+int(binary.LittleEndian.Uint64(data))+from+2] += by
		require.NoError(t, os.WriteFile(dir+"/expected.safetensors", data, 0o644))
		return dir
	}
	r = row(t, change(t, "rgb-17x23.png", "decode", 1), "decode PNG")
	require.False(t, r.Pass)
	require.Contains(t, r.Detail, "rgb-17x23.png decode: off by up to 1,")
	r = row(t, change(t, "jpeg-17x9.jpg", "decode", 1), "decode JPEG (lossy)")
	require.True(t, r.Pass)
	require.Equal(t, 1.0, r.MaxAbs)
	require.Contains(t, row(t, change(t, "jpeg-17x9.jpg", "decode", 4), "decode JPEG (lossy)").Detail,
		"images/jpeg-17x9.jpg decode: off by up to 4,")
	r = row(t, change(t, "bmp1.bmp", "normalized", 1), "normalized")
	require.False(t, r.Pass)
	require.Equal(t, 1e-6, r.Tolerance)
}

func TestOptionalFormats(t *testing.T) {
	r := row(t, copied(t, "pixels", "images/bmp1.bmp", "BM", "XX"), "decode BMP")
	require.True(t, r.Pass)
	require.Contains(t, r.Detail, "0 compared; 1 skipped, the first: images/bmp1.bmp is optional: imaging: not_an_image")
	require.False(t, row(t, copied(t, "pixels", "images/grey16.png", "PNG", "XXX"), "decode PNG").Pass)
}
