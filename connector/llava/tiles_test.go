package llava

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/vit"
)

// The numbers of tokens of LLaVA-1.6, for pictures of many sizes.
func TestTokensOfTiles(t *testing.T) {
	c := Config{Vision: vit.CLIPLarge336(), Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Canvases: imaging.Canvases16(), original: true}
	for _, k := range [][3]int{{336, 336, 1176}, {640, 480, 2340}, {480, 640, 2352}, {1000, 1000, 2928}, {1920, 1080, 1948}, {1080, 1920, 1968}, {300, 900, 2376},
		{900, 300, 2328}, {224, 224, 1176}, {672, 336, 1752}, {1344, 336, 1890}, {427, 640, 2160}, {640, 427, 2144}} {
		p := layout(c, k[0], k[1])
		require.Equal(t, k[2], p.Tokens, "%v", k)
		order, err := c.pack([]connector.Media{{Size: imaging.Size{W: k[0], H: k[1]}}}, 576, p.Views)
		require.NoError(t, err)
		require.Len(t, order.rows[0], k[2])
		require.False(t, order.mixed)
	}
	require.Equal(t, connector.Layout{Views: 1, Tokens: 576}, layout(Config{Vision: vit.CLIPLarge336(), Select: vit.Select{Class: "patch"}}, 5, 9))
}

func layout(c Config, w, h int) connector.Layout {
	return (&Connector{config: c}).Layout(imaging.Size{W: w, H: h})
}

// tiled shows pictures as views of 2×2 features.
func tiled(maxTiles int) Config {
	c := small()
	c.Vision.ImageSize, c.Vision.PatchSize = 8, 4
	c.Canvases = []imaging.Size{{W: 8, H: 16}, {W: 16, H: 8}, {W: 16, H: 16}, {W: 24, H: 24}}
	c.MaxTiles = maxTiles
	return c
}

// Tiles are laid together row by row, as in LLaVA's code: view(rows, cols, side, side).permute(rows, side, cols,
// side), unpadded, newlines.
func TestPacking(t *testing.T) {
	c := tiled(0)
	for _, s := range []imaging.Size{{W: 30, H: 11}, {W: 9, H: 40}, {W: 16, H: 15}, {W: 100, H: 70}} {
		l := c.AnyRes().Layout(s.W, s.H)
		views := 1 + l.Cols*l.Rows
		got, err := c.pack([]connector.Media{{Size: s}}, 4, views)
		require.NoError(t, err)
		grid := make([][]int32, 2*l.Rows) // the tiles' features where they are in the image
		for y := range grid {
			grid[y] = make([]int32, 2*l.Cols)
		}
		for v := 1; v < views; v++ {
			for i := range 4 {
				grid[(v-1)/l.Cols*2+i/2][(v-1)%l.Cols*2+i%2] = int32(v*4 + i)
			}
		}
		want := []int32{0, 1, 2, 3}
		for y := l.Kept.Min.Y; y < l.Kept.Max.Y; y++ {
			want = append(append(want, grid[y][l.Kept.Min.X:l.Kept.Max.X]...), int32(views*4))
		}
		require.Equal(t, want, got.rows[0])
	}
}

// A picture of too many tiles is shrunk as PyTorch's interpolate(mode="bilinear") does; the numbers follow from its
// formula for a map of 6×6 features 0…35 to 3×3 and of 2×6 to 1×4.
func TestShrunkTiles(t *testing.T) {
	c := tiled(2) // √(36/(2·4)) = 2.12 > 1.1: 6×6 features become 2×2
	m := newModel(t, c)
	s := imaging.Size{W: 100, H: 100}
	l := c.AnyRes()
	require.Equal(t, imaging.Size{W: 2, H: 2}, l.Layout(100, 100).Features)
	require.Equal(t, 4+2*3, layout(c, s.W, s.H).Tokens)
	p, err := c.pack([]connector.Media{{Size: s}}, 4, 10)
	require.NoError(t, err)
	require.True(t, p.mixed)

	features := tensor.New(40, 20).Param() // tile k, feature f holds its place in the 6×6 map in its first channel, and 100 times that in the second
	for tile := range 9 {
		for f := range 4 {
			y, x := tile/3*2+f/2, tile%3*2+f%2
			features.Data()[(4+tile*4+f)*20] = float32(y*6 + x)
			features.Data()[(4+tile*4+f)*20+1] = float32(100 * (y*6 + x))
		}
	}
	newline := tensor.Full(-1, 20).Param()
	got := p.apply(features, newline)
	require.Equal(t, []int{10, 20}, got.Shape())
	// centres of the output lie at 1 and 4 of each axis: (i+0.5)·3−0.5
	for i, want := range []float32{1*6 + 1, 1*6 + 4, -1, 4*6 + 1, 4*6 + 4, -1} {
		require.InDelta(t, want, got.Data()[(4+i)*20], 1e-5)
		if want >= 0 {
			require.InDelta(t, 100*want, got.Data()[(4+i)*20+1], 1e-3)
		}
	}
	tensortest.GradCheck(t, func(in []*tensor.Tensor) *tensor.Tensor { return p.apply(in[0].Reshape(40, 2), in[1]) },
		tensor.Randn(rng(), 1, 40, 2).Param(), tensor.Randn(rng(), 1, 2).Param())

	// between, against torch.nn.functional.interpolate: 6 → 4 and 5 → 3
	for _, k := range []struct {
		from, to int
		want     []float32
	}{{6, 4, []float32{0.25, 1.75, 3.25, 4.75}}, {5, 3, []float32{1. / 3, 2, 11. / 3}}, {2, 1, []float32{0.5}}, {3, 5, []float32{0, 0.4, 1, 1.6, 2}}} {
		for i, want := range k.want {
			lo, hi, beyond := between(i, k.to, k.from)
			require.InDelta(t, want, float32(lo)*(1-beyond)+float32(hi)*beyond, 1e-5, "%d of %d → %d", i, k.from, k.to)
		}
	}

	ids := []int32{1, -200, 5, 6}
	views := imaging.Pixels{N: 10, H: 8, W: 8, Data: tensor.Randn(rng(), 1, 10*3*8*8).Data()}
	b, err := m.Splice([]connector.Sample{{IDs: ids, Labels: ids, Images: []connector.Image{{Size: s, Pixels: views}}}}, false)
	require.NoError(t, err)
	require.Equal(t, []int{1, 13}, b.IDs.Shape())
	m.Loss(b).Backward()
	require.NotNil(t, m.Connector.(*Connector).Newline.Grad())
}

// Against testdata/anyres_max.py: canvas, unpadding, interpolation and newlines of pictures of many shapes, most of
// them shrunk.
func TestShrunkTilesAreTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/anyres_max.json")
	require.NoError(t, err)
	var cases []struct {
		W, H   int
		Shrunk bool
		Tokens [][2]float32
	}
	require.NoError(t, json.Unmarshal(b, &cases))
	c := tiled(2)
	c.original = true
	c.Vision.ImageSize = 12
	c.Canvases = nil
	for cols := range 4 {
		for rows := range 4 {
			c.Canvases = append(c.Canvases, imaging.Size{W: 12 * (cols + 1), H: 12 * (rows + 1)})
		}
	}
	for _, k := range cases {
		picture := layout(c, k.W, k.H)
		require.Equal(t, len(k.Tokens), picture.Tokens, "%d×%d", k.W, k.H)
		p, err := c.pack([]connector.Media{{Size: imaging.Size{W: k.W, H: k.H}}}, 9, picture.Views)
		require.NoError(t, err)
		require.Equal(t, k.Shrunk, p.mixed, "%d×%d", k.W, k.H)
		features := tensor.New(picture.Views*9, 2)
		for i := range picture.Views * 9 {
			features.Data()[2*i], features.Data()[2*i+1] = float32(i*37%101), float32(i*i%89)
		}
		got := p.apply(features, tensor.Full(-1, 2)).Data()
		for i, want := range k.Tokens {
			require.InDeltaSlice(t, want[:], got[2*i:2*i+2], 1e-3, "%d×%d, token %d", k.W, k.H, i)
		}
	}
}

func TestTilesRefuse(t *testing.T) {
	m := newModel(t, tiled(0))
	views := imaging.Pixels{N: 3, H: 8, W: 8, Data: make([]float32, 3*3*8*8)}
	s := connector.Sample{Name: "a", IDs: []int32{1, -200}, Images: []connector.Image{{Pixels: views, Size: imaging.Size{W: 16, H: 8}}}}
	_, err := m.Splice([]connector.Sample{s}, false)
	require.NoError(t, err)
	s.Images[0].Size = imaging.Size{}
	_, err = m.Splice([]connector.Sample{s}, false)
	require.EqualError(t, err, "splice: image 0: its size is not given (sample a)")
	s.Images[0].Size = imaging.Size{W: 100, H: 100}
	_, err = m.Splice([]connector.Sample{s}, false)
	require.EqualError(t, err, "splice: image 0: 3 views instead of 10 (sample a)")
	c := tiled(0)
	c.Merge = 2
	require.ErrorContains(t, c.Validate(), "pictures in tiles need every patch")
	c = tiled(0)
	c.Select.Class = "cls_patch"
	require.ErrorContains(t, c.Validate(), "pictures in tiles need every patch")
}
