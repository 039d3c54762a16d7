package imaging_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

// picture is a line of testdata/index.jsonl: a file and the SHA-256 of what Pillow 10.4 and CLIPImageProcessor make of
// it.
type picture struct {
	File string
	Size [2]int
	Ops  []operation
}

type operation struct {
	Op            string
	Size, Crop    int
	Filter        string
	Width, Height int
	Tile          int
	Canvases      [][2]int `json:"grid_pinpoints"`
	Best          [2]int
	SHA256        string
}

func lines[T any](t testing.TB, path string) []T {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []T
	for line := range bytes.Lines(data) {
		var v T
		require.NoError(t, json.Unmarshal(line, &v))
		out = append(out, v)
	}
	return out
}

func sum(pix []byte) string { h := sha256.Sum256(pix); return hex.EncodeToString(h[:]) }

// clipProcessor is CLIP with another crop and without normalisation.
func clipProcessor(size, crop int, aspect string) *imaging.Processor {
	p := imaging.CLIP(size)
	if crop > 0 {
		p.Crop = imaging.Size{W: crop, H: crop}
	}
	p.Aspect = aspect
	return p
}

func compute(t *testing.T, m *imaging.RGB, data []byte, op operation) []byte {
	switch op.Op {
	case "decode":
		return m.Pix
	case "decode_exif":
		turned, err := imaging.Decode(data, imaging.Options{Orient: true})
		require.NoError(t, err)
		return turned.Pix
	case "square":
		return imaging.Resize(m, op.Size, op.Size, imaging.Bicubic).Pix
	case "resize":
		f, err := imaging.ParseFilter(op.Filter)
		require.NoError(t, err)
		return imaging.Resize(m, op.Width, op.Height, f).Pix
	case "clip", "pad":
		p := clipProcessor(op.Size, op.Crop, map[string]string{"clip": "square", "pad": "pad"}[op.Op])
		views, err := p.Views(m)
		require.NoError(t, err)
		return views[0].Pix
	case "normalized":
		out, err := clipProcessor(op.Size, op.Crop, "pad").Process(m)
		require.NoError(t, err)
		var b []byte
		for _, v := range out.Data {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return b
	case "anyres":
		a := imaging.AnyRes{Tile: op.Tile}
		for _, c := range op.Canvases {
			a.Canvases = append(a.Canvases, imaging.Size{W: c[0], H: c[1]})
		}
		views, l := a.Views(m, imaging.Bicubic)
		require.Equal(t, imaging.Size{W: op.Best[0], H: op.Best[1]}, l.Canvas)
		var pix []byte
		for _, v := range views {
			pix = append(pix, v.Pix...)
		}
		return pix
	}
	t.Fatalf("operation %q", op.Op)
	return nil
}

func TestEqualsPillowByteForByte(t *testing.T) {
	for _, pic := range lines[picture](t, "testdata/index.jsonl") {
		data, err := os.ReadFile(filepath.Join("testdata", pic.File))
		require.NoError(t, err)
		m, err := imaging.Decode(data, imaging.Options{})
		require.NoError(t, err, pic.File)
		require.Equal(t, pic.Size, [2]int{m.W, m.H}, pic.File)
		for _, op := range pic.Ops {
			t.Run(fmt.Sprintf("%s/%s%d%s%dx%d", filepath.Base(pic.File), op.Op, op.Size, op.Filter, op.Width, op.Height), func(t *testing.T) {
				require.Equal(t, op.SHA256, sum(compute(t, m, data, op)))
			})
		}
	}
}

type geometry struct {
	Size       [2]int
	Tile, Side int
	Canvases   json.RawMessage `json:"grid_pinpoints"`
	Best       [2]int
	Resized    [2]int
	Paste      [2]int
	Grid       [2]int
	Unpad      [4]int
	Tokens     int
}

func TestAnyResGeometry(t *testing.T) {
	rows := lines[geometry](t, "testdata/geometry.jsonl")
	require.Greater(t, len(rows), 80)
	for _, r := range rows {
		for _, hf := range []bool{false, true} { // on these sizes both roundings agree
			a := imaging.AnyRes{Tile: r.Tile, Side: r.Side, HF: hf}
			var pairs [][2]int
			if json.Unmarshal(r.Canvases, &pairs) != nil {
				a.Canvases = imaging.Canvases16()
			}
			for _, c := range pairs {
				a.Canvases = append(a.Canvases, imaging.Size{W: c[0], H: c[1]})
			}
			l := a.Layout(r.Size[0], r.Size[1])
			got := geometry{
				Size: r.Size, Tile: r.Tile, Side: r.Side, Canvases: r.Canvases,
				Best: [2]int{l.Canvas.W, l.Canvas.H}, Resized: [2]int{l.Scaled.W, l.Scaled.H}, Paste: [2]int{l.At.X, l.At.Y},
				Grid: [2]int{l.Cols, l.Rows}, Unpad: [4]int{l.Kept.Min.Y, l.Kept.Min.X, l.Kept.Max.Y, l.Kept.Max.X}, Tokens: l.Tokens,
			}
			require.Equal(t, r, got)
		}
	}
}
