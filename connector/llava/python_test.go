package llava

import (
	"flag"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

var saveTo = flag.String("save", "", "folder for models that testdata/load_saved.py loads in transformers")

// TestSaveForPython writes models of every family in the Hub's layout, each with an input and what this package
// computes of it.
func TestSaveForPython(t *testing.T) {
	if *saveTo == "" {
		t.Skip("-save is not given: testdata/load_saved.py runs this test to load what it writes in transformers; its last output is testdata/load_saved.txt")
	}
	configs := map[string]func(*Config){
		"llava-llama":    func(*Config) {},
		"llava-original": func(c *Config) { c.Image = -200 }, // gets a token for pictures
		"llava-full":     func(c *Config) { c.Select = vit.Select{Layers: []int{-1}, Class: "cls_patch"} },
		"llava-layers":   func(c *Config) { c.Select.Layers = []int{-1, 0, -2} },
		"llava-mistral":  func(c *Config) { c.Text.ModelType, c.Text.SlidingWindow = "mistral", 9 },
		"llava-qwen2": func(c *Config) {
			c.Text.ModelType, c.Text.AttentionBias, c.Text.TieWordEmbeddings = "qwen2", true, true
		},
		"llava-qwen3": func(c *Config) { c.Text.ModelType, c.Text.HeadDim = "qwen3", 10 },
		"llava-phi3":  func(c *Config) { c.Text.ModelType = "phi3" },
		"llava-llama3": func(c *Config) {
			c.Text.RoPE = nn.RoPEConfig{Type: "llama3", Theta: 10000, Factor: 4, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 32}
		},
		"llava-siglip": func(c *Config) {
			c.Vision.ModelType, c.Vision.HiddenAct, c.Vision.LayerNormEps, c.Select.Class = "siglip_vision_model", "gelu_pytorch_tanh", 1e-6, "cls_patch"
		},
		"llava-next": func(c *Config) {
			*c = tiled(0)
			c.Canvases = []imaging.Size{{W: 8, H: 16}, {W: 16, H: 8}, {W: 16, H: 16}}
		},
		"llava-shards": func(*Config) {},
	}
	for kind, c := range kinds() {
		configs[kind] = func(to *Config) { *to = c }
	}
	for name, edit := range configs {
		c := small()
		edit(&c)
		c.Text.InitStd, c.Vision.PositionStd = 0.3, 0.5 // large, so that what is ignored shows
		m := newModel(t, c)
		o := SaveOptions{}
		if name == "llava-shards" {
			o.MaxShard = 20000
		}
		dir := filepath.Join(*saveTo, name)
		require.NoError(t, Save(dir, m, o))
		m, err := Load(dir, LoadOptions{})
		require.NoError(t, err)

		s := connector.Sample{IDs: []int32{1, -200, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, Images: []connector.Image{{Pixels: picture(1)}}}
		expected := map[string]*tensor.Tensor{}
		if name == "llava-next" {
			s.Images[0].Size = imaging.Size{W: 30, H: 11}
			s.Images[0].Pixels = imaging.Pixels{N: 3, H: 8, W: 8, Data: tensor.Randn(rng(), 1, 3*3*8*8).Data()}
			expected["image_sizes"] = tensor.Ints([]int{11, 30}, 1, 2)
		}
		pixels := "pixel_values"
		if v := ConfigOf(m).Video; v != nil {
			S := ConfigOf(m).Vision.ImageSize
			s.Images[0] = connector.Image{Frames: 3, Pixels: imaging.Pixels{N: 3, H: S, W: S,
				Data: tensor.Randn(rng(), 1, 3*3*S*S).Data()}}
			pixels = "pixel_values_videos"
		}
		b, err := m.Splice([]connector.Sample{s}, false)
		require.NoError(t, err)
		ids := b.IDs.IntData()
		for i, id := range ids {
			if id < 0 {
				ids[i] = int32(ConfigOf(m).Image)
				if v := ConfigOf(m).Video; v != nil {
					ids[i] = int32(v.Token)
				}
			}
		}
		expected["input_ids"], expected[pixels], expected["logits"] = b.IDs, b.Pixels,
			llm.Logits(m.Language, m.Hidden(b))
		record(t, dir, expected)
	}

	clip := vit.CLIPConfig{ModelType: "clip", Vision: small().Vision, ProjectionDim: 10, LogitScaleInit: 2.6, Text: vit.TextConfig{VocabSize: 23, HiddenSize: 8,
		IntermediateSize: 14, NumHiddenLayers: 2, NumAttentionHeads: 2, MaxPositionEmbeddings: 9, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, BOS: 21, EOS: 22, PAD: 1, ProjectionDim: 10}}
	whole, err := vit.NewCLIP(rng(), clip)
	require.NoError(t, err)
	dir := filepath.Join(*saveTo, "clip")
	require.NoError(t, vit.SaveCLIP(dir, whole, nn.SaveOptions{}))
	ids := tensor.Ints([]int{21, 4, 5, 22, 21, 6, 22, 22}, 2, 4)
	pixels := tensor.Randn(rng(), 1, 2, 3, 16, 16)
	record(t, dir, map[string]*tensor.Tensor{"input_ids": ids, "pixel_values": pixels, "logits_per_image": whole.Logits(whole.EncodeImage(pixels), whole.EncodeText(ids, nil))})
	for name, kind := range map[string]string{"clip_vision": "clip_vision_model", "siglip_vision": "siglip_vision_model"} {
		c := small().Vision
		if c.ModelType = kind; name == "siglip_vision" {
			c.HiddenAct = "gelu_pytorch_tanh"
		}
		tower, err := vit.New(rng(), c)
		require.NoError(t, err)
		dir := filepath.Join(*saveTo, name)
		require.NoError(t, vit.Save(dir, tower, nn.SaveOptions{}))
		record(t, dir, map[string]*tensor.Tensor{"pixel_values": pixels, "hidden_state": tower.Hidden(pixels, 2)})
	}
}

// record writes tensors to dir/expected.safetensors.
func record(t *testing.T, dir string, tensors map[string]*tensor.Tensor) {
	t.Helper()
	var list []safetensors.Tensor
	for name, x := range tensors {
		list = append(list, safetensors.Tensor{Name: name, DType: map[tensor.DType]string{tensor.Float32: "F32", tensor.Int32: "I32"}[x.DType()], Shape: x.Shape(), Write: write(x)})
	}
	require.NoError(t, safetensors.Write(filepath.Join(dir, "expected.safetensors"), list, nil))
}

func write(x *tensor.Tensor) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(x.Bytes())
		return err
	}
}
