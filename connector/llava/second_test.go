package llava

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// near requires numbers to be within tolerance of the reference's.
func near(t *testing.T, want *tensor.Tensor, got []float32, tolerance float64, what string) {
	t.Helper()
	require.Len(t, got, want.Len(), what)
	for i, w := range want.Data() {
		require.InDelta(t, w, got[i], tolerance, "%s, number %d", what, i)
	}
}

// Pixels, features and tokens of a DINOv2 beside a CLIP are those of PyTorch: see testdata/make_towers.py.
func TestTwoTowers(t *testing.T) {
	r := openReference(t, "two_towers")
	dir := filepath.Join("testdata", "two_towers")
	m, err := Load(dir, LoadOptions{Base: filepath.Join("testdata", "llava", "language")})
	require.NoError(t, err)
	c := ConfigOf(m)
	require.Equal(t, 36, c.FeaturesPerView())
	image, err := imaging.Open(filepath.Join(dir, "picture.png"), imaging.Options{Limits: data.DefaultLimits()})
	require.NoError(t, err)
	for _, aspect := range []string{"square", "pad"} {
		p, err := imaging.ReadProcessor(filepath.Join(dir, "dino"))
		require.NoError(t, err)
		p.Aspect = aspect
		require.NoError(t, c.pair(dir, p))
		x, err := p.Process(image)
		require.NoError(t, err)
		require.Equal(t, []int{1, 24, 24}, []int{x.N, x.H, x.W})
		near(t, r.get(aspect+".pixels"), x.Data, 1e-6, aspect+" pixels")
		pixels := tensor.Wrap(x.Data, 1, 6, 24, 24)
		near(t, r.get(aspect+".features"), m.Features(pixels, nil).Data(), 1e-4, aspect+" features")
		b := connector.Batch{Pixels: tensor.Concat(0, pixels, tensor.Randn(rng(), 1, 1, 6, 24, 24), pixels)}
		tokens := m.Tokens(b)
		require.Equal(t, []int{3 * 36, 12}, tokens.Shape())
		for _, row := range []int{0, 2} { // among others
			got := tokens.Slice(0, 36*row, 36*(row+1))
			near(t, r.get(aspect+".tokens"), got.Data(), 1e-4, aspect+" tokens")
		}
	}
}

// twoTowers is a CLIP with a DINOv2 beside it, or the other way round, in a model that talks.
func twoTowers(t *testing.T, dinoFirst bool) *connector.Assistant {
	a := scaled(t)
	c := ConfigOf(a.Model)
	c.Scales, c.Projector = nil, FusedMLP
	dino := c.Vision
	require.NoError(t, json.Unmarshal([]byte(`{"model_type": "dinov2_with_registers", "hidden_size": 15, "mlp_ratio": 2,
		"num_hidden_layers": 4, "num_attention_heads": 3, "image_size": 20, "patch_size": 4,
		"num_register_tokens": 2}`), &dino))
	if c.Second = &dino; dinoFirst {
		clip := c.Vision
		c.Vision, c.Second = dino, &clip
	}
	a.Model = newModel(t, c)
	a.Processor = c.processor()
	return a
}

// What is saved in the original layout answers as before, whichever tower is the first, and both can be trained;
// other layouts refuse.
func TestTwoTowersAreSaved(t *testing.T) {
	for _, dinoFirst := range []bool{false, true} {
		a := twoTowers(t, dinoFirst)
		require.Equal(t, imaging.Size{W: 16, H: 16}, a.Processor.Crop)
		require.Equal(t, 16, a.Processor.Edge, "as CLIP, whichever is the first")
		m := imaging.New(60, 40)
		for i := range m.Pix {
			m.Pix[i] = byte(i * 7)
		}
		turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
		want, err := a.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
		require.NoError(t, err)

		x, err := a.Sample([]chat.Turn{turns[0], {From: chat.GPT, Value: "a cat"}}, []*imaging.RGB{m})
		require.NoError(t, err)
		b, err := a.Model.Splice([]connector.Sample{x, x}, false)
		require.NoError(t, err)
		a.Model.SetRecompute(true)
		a.Model.Loss(b).Backward()
		for name, p := range nn.Params(a.Model.Connector.(*Connector).SecondTower) {
			if name == "vision_model.embeddings.patch_embeddings.projection.weight" ||
				name == "vision_model.embeddings.patch_embedding.weight" {
				require.NotZero(t, p.Grad().Data()[0], name)
			}
		}

		dir := t.TempDir()
		require.ErrorContains(t, Save(dir, a.Model, SaveOptions{}), "two vision towers: save in the original layout")
		_, err = SaveGGUF(filepath.Join(dir, "m.gguf"), a, llm.GGUFOptions{Type: "f32"})
		require.ErrorContains(t, err, "two vision towers cannot be expressed in GGUF")
		o := SaveOptions{Layout: Original, Processor: a.Processor, Tokenizer: a.Tokenizer}
		require.NoError(t, Save(dir, a.Model, o))
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		var f map[string]any
		require.NoError(t, json.Unmarshal(raw, &f))
		require.Equal(t, []any{"vision_tower", "second_vision_tower"}, f["mm_vision_tower_aux_list"])
		require.EqualValues(t, 27, f["mm_hidden_size"])
		for _, there := range []bool{true, false} {
			if !there { // the processors are those of the towers' families
				require.NoError(t, os.Remove(filepath.Join(dir, "vision_tower", "preprocessor_config.json")))
				require.NoError(t, os.Remove(filepath.Join(dir, "second_vision_tower", "preprocessor_config.json")))
			}
			again, err := Open(dir, LoadOptions{})
			require.NoError(t, err)
			again.Processor.Aspect = ""
			require.Equal(t, a.Processor, again.Processor)
			again.Options.MaxNewTokens, again.Template = 12, a.Template
			answer, err := again.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
			require.NoError(t, err)
			require.Equal(t, want, answer)
			again.Processor.Second = imaging.Normalization{}
			_, err = again.Reply(t.Context(), turns, []*imaging.RGB{m}, nil)
			require.ErrorContains(t, err, "768 numbers; the encoder needs 16×16 of 6 channels")
		}
		elsewhere := filepath.Join(t.TempDir(), "moved")
		require.NoError(t, os.Rename(filepath.Join(dir, "second_vision_tower"), elsewhere))
		moved, err := Open(dir, LoadOptions{SecondTower: elsewhere})
		require.NoError(t, err)
		same(t, a.Model, moved.Model)
		require.Equal(t, elsewhere, ConfigOf(moved.Model).SecondTower)
		_, err = Load(dir, LoadOptions{SecondTower: filepath.Join(elsewhere, "none")})
		require.ErrorIs(t, err, os.ErrNotExist)
		_, err = Load(dir, LoadOptions{})
		require.ErrorContains(t, err, "config.json: mm_vision_tower_aux_list: ")
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

// Towers in the folders of timm that Prismatic names are those of the same weights in transformers' layout; a name that is
// known says what an absent config would.
func TestTwoTowersOfTimm(t *testing.T) {
	const dino, clip = "vit_large_patch14_reg4_dinov2.lvd142m", "vit_large_patch14_clip_336.openai"
	read := func(name string) vit.Tower {
		tower, err := vit.Load(filepath.Join("..", "..", "vit", "testdata", name), nn.LoadOptions{})
		require.NoError(t, err)
		return tower
	}
	c := small()
	language, err := llm.New(rng(), c.Text)
	require.NoError(t, err)
	m, err := Join(rng(), read("timm_dinov2_reg4"), language, Config{Projector: FusedMLP, Select: c.Select, Image: -200},
		read("timm_clip"))
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "vision_tower")))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "second_vision_tower")))
	for to, from := range map[string]string{dino: "timm_dinov2_reg4", clip: "timm_clip"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join("..", "..", "vit", "testdata", from))))
		require.NoError(t, os.Remove(filepath.Join(dir, to, "expected.safetensors")))
	}
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var f map[string]any
	require.NoError(t, json.Unmarshal(raw, &f))
	f["mm_vision_tower"], f["mm_vision_tower_aux_list"] = dino, []string{dino, clip}
	require.NoError(t, atomicfile.WriteJSON(path, f))
	again, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	same(t, m, again)

	for _, name := range []string{dino, clip} {
		require.NoError(t, os.Remove(filepath.Join(dir, name, "config.json")))
	}
	big, err := ReadConfig(dir)
	require.NoError(t, err)
	require.Equal(t, []int{1024, 4, 336, 24}, []int{big.Vision.HiddenSize, big.Vision.Registers, big.Second.ImageSize, big.grid()})
	_, err = Load(dir, LoadOptions{})
	require.ErrorContains(t, err, "misshapen")
}

func TestTwoTowersRefuse(t *testing.T) {
	for _, c := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Second.PatchSize = 5 }, "patch_size 4 makes 4×4 patches of views of 16 pixels, and 5 " +
			"makes 3×3: the features of each patch are concatenated, so the grids must agree"},
		{func(c *Config) { *c.Second = c.Vision; c.Second.ImageSize = 20 }, "two towers of image_size 16 and 20"},
		{func(c *Config) { c.Second.ModelType = "blip_2_vision_model" }, "a tower of model_type blip_2_vision_model"},
		{func(c *Config) { c.Second.NumChannels = 1 }, "num_channels 1 of two towers"},
		{func(c *Config) { c.Second.HiddenSize = 0 }, "second tower: vision config: out of range: hidden_size 0"},
		{func(c *Config) { c.Vision.NumHiddenLayers, c.Select.Layers = 9, []int{-7} }, "second tower: vision feature layer -7"},
		{func(c *Config) { c.Scales = []int{16, 32} }, "tiles, s2_scales, videos and class tokens"},
		{func(c *Config) { c.Select.Class = "cls_patch" }, "tiles, s2_scales, videos and class tokens"},
		{func(c *Config) { c.Canvases = []imaging.Size{{W: 16, H: 32}} }, "tiles, s2_scales, videos and class tokens"},
	} {
		x := ConfigOf(twoTowers(t, false).Model)
		c.edit(&x)
		_, err := New(rng(), x)
		require.ErrorContains(t, err, c.want)
	}
	dir := filepath.Join("testdata", "two_towers")
	for edit, want := range map[string]string{
		`["dino", "clip", "clip"]`: "mm_vision_tower_aux_list has 3 towers: up to two are supported",
		`["clip", "dino"]`:         `mm_vision_tower "dino" is not the first of mm_vision_tower_aux_list ["clip" "dino"]`,
	} {
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		var f map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &f))
		f["mm_vision_tower_aux_list"] = json.RawMessage(edit)
		raw, err = json.Marshal(f)
		require.NoError(t, err)
		var c Config
		require.ErrorContains(t, json.Unmarshal(raw, &c), want)
	}
	c := ConfigOf(twoTowers(t, false).Model)
	p, q := TowerProcessor(c.Vision), TowerProcessor(*c.Second)
	q.Factor = 1
	require.ErrorContains(t, c.Pair(p, q), "both rescale by one rescale_factor")
	_, err := json.Marshal(twoTowers(t, true).Processor)
	require.ErrorContains(t, err, "write one for each")
	one := t.TempDir()
	m := newModel(t, small())
	require.NoError(t, Save(one, m, SaveOptions{Layout: Original}))
	_, err = Load(one, LoadOptions{SecondTower: "clip"})
	require.ErrorContains(t, err, "second tower clip: the model has one tower")
	p.Second.Mean = [3]float64{1, 1, 1}
	require.ErrorContains(t, p.Validate(), "of a second encoder: both normalise, and not by zero")
	require.IsType(t, &vit.DINOv2{}, twoTowers(t, false).Model.Connector.(*Connector).SecondTower)
}
