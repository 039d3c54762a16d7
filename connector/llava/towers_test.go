package llava

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// scaled is a model that looks at images of 48 pixels at three scales.
func scaled(t *testing.T) *connector.Assistant {
	tok, err := tokenizer.Train(func(yield func(string) bool) { yield("What is this?") },
		tokenizer.TrainConfig{Size: 300, Specials: []string{"<unk>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	c := small()
	c.Image = int(chat.ImageIndex)
	c.Scales, c.Text.VocabSize, c.Text.MaxPositionEmbeddings = []int{16, 32, 48}, tok.Size(), 512
	a := &connector.Assistant{Model: newModel(t, c), Tokenizer: tok, Processor: imaging.CLIP(16),
		Template: chat.VicunaV1(), Options: llm.Options{PAD: -1, MaxNewTokens: 12}}
	ConfigOf(a.Model).Arrange(a.Processor)
	return a
}

// The projector gets the features of all scales of the large image, in order.
func TestScales(t *testing.T) {
	a := scaled(t)
	for name, p := range nn.Params(a.Model) {
		if name == "multi_modal_projector.linear_1.weight" {
			require.Equal(t, []int{20, 36}, p.Shape())
		}
	}
	require.Equal(t, imaging.Size{W: 48, H: 48}, a.Processor.Crop)
	pixels := tensor.Randn(rng(), 1, 2, 3, 48, 48)
	b := connector.Batch{Pixels: pixels}
	got := a.Model.Tokens(b)
	require.Equal(t, []int{2 * 16, 20}, got.Shape())
	s := vit.Select{Layers: []int{-2}, Class: "patch"}
	f := vit.S2Features(a.Model.Vision, pixels, s, []int{16, 32, 48})
	x := a.Model.Connector.(*Connector)
	require.Equal(t, x.Projector.Forward(f).Data(), got.Data())
	// the first third of the width is what the tower sees alone
	alone := vit.Features(a.Model.Vision, vit.S2Scaled(pixels, 16), s)
	require.Equal(t, alone.Data(), f.Slice(2, 0, 12).Data())
}

// What is saved in the original layout answers as before; other layouts refuse.
func TestScalesAreSaved(t *testing.T) {
	a := scaled(t)
	m := imaging.New(60, 40)
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
	want, err := a.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
	require.NoError(t, err)
	dir := t.TempDir()
	require.ErrorContains(t, Save(dir, a.Model, SaveOptions{}), "save in the original layout")
	require.NoError(t, Save(dir, a.Model, SaveOptions{Layout: Original, Processor: a.Processor, Tokenizer: a.Tokenizer}))
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	var f map[string]any
	require.NoError(t, json.Unmarshal(raw, &f))
	require.Equal(t, "16,32,48", f["s2_scales"])
	require.Equal(t, true, f["s2"])
	require.EqualValues(t, 36, f["mm_hidden_size"])
	processors, err := filepath.Glob(filepath.Join(dir, "*", "preprocessor_config.json"))
	require.NoError(t, err)
	require.Len(t, processors, 1)
	plain, err := imaging.ReadProcessor(filepath.Dir(processors[0]))
	require.NoError(t, err)
	require.Equal(t, imaging.Size{W: 16, H: 16}, plain.Crop, "of the tower alone")
	for _, there := range []bool{true, false} {
		if !there {
			require.NoError(t, os.Remove(processors[0]))
		}
		again, err := Open(dir, LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, []int{16, 32, 48}, ConfigOf(again.Model).Scales)
		again.Options.MaxNewTokens, again.Template = 12, a.Template
		answer, err := again.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
		require.NoError(t, err)
		require.Equal(t, want, answer)
	}
	_, err = SaveGGUF(filepath.Join(dir, "m.gguf"), a, llm.GGUFOptions{Type: "f32"})
	require.ErrorContains(t, err, "s2_scales [16 32 48] cannot be expressed in GGUF")

	for _, c := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Scales = []int{16, 24} }, "multiples of the tower's 16 pixels"},
		{func(c *Config) { c.Scales = []int{32, 16} }, "ascending"},
		{func(c *Config) { c.Scales = []int{} }, "ascending"},
		{func(c *Config) { c.Select.Class = "cls_patch" }, "without the class token"},
		{func(c *Config) { c.Canvases = []imaging.Size{{W: 16, H: 32}} }, "without tiles"},
	} {
		x := small()
		x.Scales = []int{16, 32}
		c.edit(&x)
		_, err := New(rng(), x)
		require.ErrorContains(t, err, c.want)
	}
}

// A LLaVA may look with DINOv2, with registers or without: its features are the patches', and the layouts keep it; transformers
// would take registers for patches.
func TestDINOv2Tower(t *testing.T) {
	for _, registers := range []int{0, 4} {
		a := scaled(t)
		c := ConfigOf(a.Model)
		c.Scales = nil
		kind := "dinov2"
		if registers > 0 {
			kind = "dinov2_with_registers"
		}
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{"model_type": %q, "hidden_size": 12, "mlp_ratio": 2,
			"num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 16, "patch_size": 4,
			"num_register_tokens": %d}`, kind, registers), &c.Vision))
		a.Model = newModel(t, c)
		a.Processor = c.processor()
		require.Equal(t, 0.485, a.Processor.Mean[0])
		require.Equal(t, 18, a.Processor.Edge)
		pixels := tensor.Randn(rng(), 1, 2, 3, 16, 16)
		require.Equal(t, []int{2 * 16, 20}, a.Model.Tokens(connector.Batch{Pixels: pixels}).Shape())
		m := imaging.New(60, 40)
		for i := range m.Pix {
			m.Pix[i] = byte(i * 7)
		}
		turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
		want, err := a.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
		require.NoError(t, err)
		for _, layout := range []Layout{Hub, Original} {
			dir := t.TempDir()
			err := Save(dir, a.Model, SaveOptions{Layout: layout, Tokenizer: a.Tokenizer})
			if layout == Hub && registers > 0 {
				require.ErrorContains(t, err, "4 registers")
				continue
			}
			require.NoError(t, err)
			again, err := Open(dir, LoadOptions{})
			require.NoError(t, err)
			again.Options.MaxNewTokens, again.Template = 12, a.Template
			answer, err := again.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
			require.NoError(t, err)
			require.Equal(t, want, answer, layout)
		}
	}
}
