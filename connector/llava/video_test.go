package llava

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// kinds are small models that transformers knows besides LLaVA and LLaVA-NeXT.
func kinds() map[string]Config {
	next := tiled(0)
	next.Vision.ImageSize = 12 // 3×3 patches: an odd grid
	next.Canvases = []imaging.Size{{W: 12, H: 24}, {W: 24, H: 12}}
	one := next
	next.Kind, next.Video = NextVideo, &Video{Pool: "max", Stride: 2, Early: true, Newline: "no_token", Token: 27}
	one.Kind, one.MaxTiles, one.Select.Layers, one.Select.Class = OneVision, 9, []int{-1}, "cls_patch"
	one.Vision.ModelType, one.Vision.HiddenAct, one.Vision.UseHead = "siglip_vision_model", "gelu_pytorch_tanh",
		new(bool)
	one.Vision.LayerNormEps = 1e-6
	one.Text.ModelType, one.Text.AttentionBias = "qwen2", true
	one.Video = &Video{Pool: "bilinear", Stride: 2, Newline: "one_token", Token: 27}
	vip := small()
	vip.Kind, vip.NormEps, vip.Select.Layers = ViPLLaVA, 1e-3, []int{-2, -3, 1}
	two := small()
	two.Kind, two.Video = VideoLLaVA, &Video{Newline: "no_token", Token: 27}
	return map[string]Config{NextVideo: next, OneVision: one, ViPLLaVA: vip, VideoLLaVA: two}
}

// clip is a video of noise.
func clip(frames, S int) connector.Image {
	return connector.Image{Frames: frames, Pixels: imaging.Pixels{N: frames, H: S, W: S,
		Data: tensor.Randn(rng(), 1, frames*3*S*S).Data()}}
}

// Each kind survives its layout, with all that its config says.
func TestKindsSurviveTheirLayout(t *testing.T) {
	for kind, c := range kinds() {
		m := newModel(t, c)
		dir := t.TempDir()
		require.NoError(t, Save(dir, m, SaveOptions{}), kind)
		again, err := Load(dir, LoadOptions{})
		require.NoError(t, err, kind)
		same(t, m, again)
		got := ConfigOf(again)
		require.Equal(t, []any{c.Kind, c.Video, c.NormEps, c.Select, c.Canvases, c.MaxTiles, c.Image},
			[]any{got.Kind, got.Video, got.NormEps, got.Select, got.Canvases, got.MaxTiles, got.Image}, kind)
		if kind == ViPLLaVA || kind == VideoLLaVA {
			require.ErrorContains(t, Save(dir, m, SaveOptions{Layout: Original}), "model of type "+kind, kind)
		}
	}
	for _, pool := range []string{"average", "max", "conv"} { // mm_resampler_type spatial_pool
		c := kinds()[NextVideo]
		v := *c.Video
		v.Pool, c.Video = pool, &v
		m := newModel(t, c)
		dir := t.TempDir()
		require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
		again, err := Load(dir, LoadOptions{})
		require.NoError(t, err)
		same(t, m, again)
		got := ConfigOf(again)
		v.Token = -200
		require.Equal(t, []any{NextVideo, &v, c.Canvases}, []any{got.Kind, got.Video, got.Canvases})
		back := t.TempDir()
		require.NoError(t, Save(back, again, SaveOptions{}))
		hub, err := Load(back, LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, pool, ConfigOf(hub).Video.Pool)
	}
	m := newModel(t, kinds()[OneVision])
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
	again, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	same(t, m, again)
	require.NoError(t, Save(t.TempDir(), again, SaveOptions{}), "with ids for images and videos behind the vocabulary")
}

// A video of one frame is pooled as an image would be, and two frames are one after the other; other samples of the
// batch change nothing.
func TestVideosAndImagesShareABatch(t *testing.T) {
	for kind, c := range kinds() {
		if c.Video == nil {
			continue
		}
		m, S := newModel(t, c), c.Vision.ImageSize
		still := connector.Image{Size: imaging.Size{W: S, H: S}, Pixels: clip(1, S).Pixels}
		if c.Next() {
			still = connector.Image{Size: imaging.Size{W: 10, H: 20}, Pixels: clip(3, S).Pixels}
		}
		sample := func(images ...connector.Image) connector.Sample {
			s := connector.Sample{IDs: []int32{1, 5}, Images: images}
			for range images {
				s.IDs = append(s.IDs, -200, 7)
			}
			return s
		}
		logits := func(samples ...connector.Sample) (*tensor.Tensor, connector.Batch) {
			b, err := m.Splice(samples, false)
			require.NoError(t, err, kind)
			return llm.Logits(m.Language, m.Hidden(b)), b
		}
		alone, _ := logits(sample(clip(3, S)))
		both, b := logits(sample(still), sample(clip(3, S)))
		T := alone.Dim(1)
		require.InDeltaSlice(t, alone.Data(), both.Slice(0, 1, 2).Slice(1, 0, T).Data(), 1e-5, kind)
		require.Equal(t, 3, b.Media[1].Frames)
		_, mixed := logits(sample(still, clip(2, S)))
		_, first := logits(sample(still))
		_, second := logits(sample(clip(2, S)))
		parts := append(m.Tokens(first).Data(), m.Tokens(second).Data()...)
		require.InDeltaSlice(t, parts, m.Tokens(mixed).Data(), 1e-5, kind)

		l, err := m.Connector.(connector.MediaConnector).MediaLayout(connector.Media{Size: imaging.Size{W: S, H: S},
			Frames: 3})
		require.NoError(t, err)
		require.Equal(t, T, 3+l.Tokens, kind)
	}
}

// Of several images LLaVA-OneVision shows base views alone, each with a newline; where tiles came along they are left
// out.
func TestSeveralImages(t *testing.T) {
	c := kinds()[OneVision]
	m := newModel(t, c)
	x := connector.Image{Size: imaging.Size{W: 10, H: 20}, Pixels: clip(3, 12).Pixels}
	b, err := m.Splice([]connector.Sample{{IDs: []int32{1, -200, -200}, Images: []connector.Image{x, x}}}, false)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 12, 12}, b.Pixels.Shape())
	require.Equal(t, 1+2*(9+1), b.IDs.Dim(1))
	require.Equal(t, 20, m.Tokens(b).Dim(0))
	one, err := m.Splice([]connector.Sample{{IDs: []int32{1, -200}, Images: []connector.Image{x}}}, false)
	require.NoError(t, err)
	require.Equal(t, 3, one.Pixels.Dim(0))
}

func TestVideoFaults(t *testing.T) {
	m := newModel(t, small())
	_, err := m.Splice([]connector.Sample{{IDs: []int32{1, -200}, Images: []connector.Image{clip(3, 16)}}}, false)
	require.ErrorContains(t, err, "a video: a model of type llava takes images")
	c := kinds()[NextVideo]
	m = newModel(t, c)
	_, err = m.Splice([]connector.Sample{{IDs: []int32{1, -200}, Images: []connector.Image{clip(1<<14+1, 0)}}}, false)
	require.ErrorContains(t, err, "a video of 16385 frames; up to 16384 are possible")
	for says, edit := range map[string]func(v *Video){
		`spatial_pool_mode "conv" is not supported`:         func(v *Video) { v.Pool, v.Early = "conv", false },
		"spatial_pool_stride 0 is out of range":             func(v *Video) { v.Stride = 0 },
		"spatial_pool_stride 4 leaves nothing of 3×3":       func(v *Video) { v.Stride = 4 },
		`mm_newline_position "everywhere" is not supported`: func(v *Video) { v.Newline = "everywhere" },
	} {
		v := *c.Video
		edit(&v)
		bad := c
		bad.Video = &v
		_, err := New(rng(), bad)
		require.ErrorContains(t, err, says)
	}
}

// Layers above the selected one are required nowhere, and a tower that was cut is looked at where the whole one was.
func TestCutTower(t *testing.T) {
	c := kinds()[OneVision]
	c.Kind, c.original, c.Image = "", true, -200
	c.Select.Layers, c.Select.Class, c.Video.Token = []int{-2}, "patch", -200 // of 3 layers
	m := newModel(t, c)
	s := []connector.Sample{{IDs: []int32{1, -200}, Images: []connector.Image{clip(2, 12)}}}
	b, err := m.Splice(s, false)
	require.NoError(t, err)
	want := m.Tokens(b)

	write := func(inside bool, described, stored int) string {
		dir := t.TempDir()
		config := ConfigOf(m)
		config.Tower = "vision_tower"
		f, err := config.originalConfig()
		require.NoError(t, err)
		vision, err := fields(config.Vision)
		require.NoError(t, err)
		vision["num_hidden_layers"] = described
		kept := func(name string) bool {
			_, tail, ok := strings.Cut(name, "encoder.layers.")
			index, _, _ := strings.Cut(tail, ".")
			i, _ := strconv.Atoi(index)
			return !ok || i < stored
		}
		tower := func(name string) string {
			switch {
			case !strings.HasPrefix(name, "vision_tower."):
				return original(name, c.Projector)
			case !inside || !kept(name):
				return ""
			}
			return original(name, c.Projector)
		}
		require.NoError(t, nn.Save(m, dir, nn.SaveOptions{Rename: tower}))
		if inside {
			f["vision_config"] = vision
		} else {
			at := filepath.Join(dir, "vision_tower")
			require.NoError(t, nn.Save(m.Vision, at, nn.SaveOptions{Rename: func(name string) string {
				if kept(name) {
					return name
				}
				return ""
			}}))
			require.NoError(t, atomicfile.WriteJSON(filepath.Join(at, "config.json"), vision))
		}
		require.NoError(t, atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f))
		return dir
	}
	for _, k := range []struct {
		inside            bool
		described, stored int
	}{{true, 3, 2}, {true, 2, 2}, {false, 3, 3}, {false, 3, 2}} {
		got, err := Load(write(k.inside, k.described, k.stored), LoadOptions{})
		require.NoError(t, err, k)
		b, err := got.Splice(s, false)
		require.NoError(t, err)
		require.Equal(t, want.Data(), got.Tokens(b).Data(), k)
		require.Equal(t, k.stored, got.Vision.Config().NumHiddenLayers, k)
		require.NoError(t, Save(t.TempDir(), got, SaveOptions{}))
	}
	_, err = Load(write(false, 3, 1), LoadOptions{})
	require.ErrorContains(t, err, "missing")
}

// A convolution pools frames as transformers' does, and is loaded and saved: see testdata/make_conv_pool.py.
func TestConvPool(t *testing.T) {
	r := openReference(t, "conv_pool")
	dir := filepath.Join("testdata", "conv_pool")
	for range 2 {
		m, err := Load(dir, LoadOptions{})
		require.NoError(t, err)
		b := connector.Batch{Pixels: r.get("video"),
			Media: []connector.Media{{Size: imaging.Size{W: 20, H: 20}, Frames: 3}}}
		near(t, r.get("tokens"), m.Tokens(b).Data(), 1e-5, "tokens")
		f := m.Features(b.Pixels, b.Media) // [3, 25, 8]: the fifth row and column of patches fill no window
		near(t, r.get("pooled"), m.Connector.(*Connector).Resampler.Forward(f).Data(), 1e-5, "pooled")
		dir = t.TempDir()
		require.NoError(t, Save(dir, m, SaveOptions{}))
		w, err := nn.OpenWeights(dir)
		require.NoError(t, err)
		require.True(t, w.Has("model.vision_resampler.pool.weight"), "as transformers 5 calls it")
		require.NoError(t, w.Close())
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	edit := func(key string, value any) error {
		var f map[string]any
		require.NoError(t, json.Unmarshal(raw, &f))
		f[key] = value
		edited, err := json.Marshal(f)
		require.NoError(t, err)
		var c Config
		if err := json.Unmarshal(edited, &c); err != nil {
			return err
		}
		return c.Validate()
	}
	require.NoError(t, edit("spatial_pool_out_channels", 8))
	require.ErrorContains(t, edit("spatial_pool_out_channels", 9), "spatial_pool_out_channels 9 is not supported")
	require.ErrorContains(t, edit("vision_feature_layer", []int{-1, -2}), "conv needs one vision_feature_layer")
}
