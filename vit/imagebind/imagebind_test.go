package imagebind

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// The authors' classes computed what testdata/tiny holds: embeddings of four towers, clips averaged, losses of pairs
// and gradients of what only this model has.
func TestParity(t *testing.T) {
	m, err := Load("testdata/tiny", nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, []Modality{Vision, Text, Audio, IMU}, m.Has())
	w, err := nn.OpenWeights("testdata/tiny/expected.safetensors")
	require.NoError(t, err)
	defer w.Close()
	get := func(name string) *tensor.Tensor {
		dt := tensor.Float32
		if w.DType(name) == "I32" {
			dt = tensor.Int32
		}
		x, err := w.Read(name, dt)
		require.NoError(t, err)
		return x
	}
	z := map[Modality]*tensor.Tensor{}
	for _, kind := range m.Has() {
		z[kind] = m.Encode(kind, get("in."+string(kind)))
		tensortest.Close(t, z[kind], get("out."+string(kind)), 1e-4, 0)
	}
	tensortest.Close(t, m.Encode(Vision, get("in.video")), get("out.video"), 1e-4, 0)
	var total *tensor.Tensor
	for _, kind := range []Modality{Text, Audio, IMU} {
		loss := InfoNCE(z[Vision], z[kind])
		tensortest.Close(t, loss, get("out.loss."+string(kind)), 1e-4, 0)
		if total != nil {
			loss = loss.Add(total)
		}
		total = loss
	}
	total.Backward()
	compared := 0
	for name, p := range nn.Params(m) {
		if w.Has("grad." + name) {
			tensortest.Close(t, p.Grad(), get("grad."+name), 1e-4, 1e-3)
			compared++
		}
	}
	require.Equal(t, 19, compared)
}

// small is a model of every modality.
func small() Config {
	c := Huge()
	c.EmbedDim = 6
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 8, 1, 2, [2]int{9, 4}
	c.TextDim, c.TextBlocks, c.TextHeads, c.VocabSize, c.ContextLength = 8, 1, 2, 11, 5
	c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioShape, c.AudioKernel = 8, 2, 2, [2]int{7, 11}, [2]int{3, 2}
	c.DepthDim, c.DepthBlocks, c.DepthHeads, c.DepthPatch = 4, 1, 1, [2]int{8, 4}
	c.ThermalDim, c.ThermalBlocks, c.ThermalHeads, c.ThermalPatch = 4, 1, 2, [2]int{8, 4}
	c.IMUDim, c.IMUBlocks, c.IMUHeads, c.IMUShape = 8, 2, 1, [3]int{3, 17, 4}
	return c
}

func inputs(r *rand.Rand, B int) map[Modality]*tensor.Tensor {
	ids := make([]int, B*5)
	for b := range B {
		ids[b*5], ids[b*5+1], ids[b*5+2] = 9, 1+b%8, 10
	}
	return map[Modality]*tensor.Tensor{Vision: tensor.Randn(r, 1, B, 3, 9, 9), Text: tensor.Ints(ids, B, 5),
		Audio: tensor.Randn(r, 1, B, 2, 1, 7, 11), Depth: tensor.Randn(r, 1, B, 1, 8, 8),
		Thermal: tensor.Randn(r, 1, B, 1, 8, 8), IMU: tensor.Randn(r, 1, B, 3, 17)}
}

// Every tower trains, and a checkpoint brings back the same bits.
func TestModel(t *testing.T) {
	m, err := New(rand.New(rand.NewPCG(1, 2)), small())
	require.NoError(t, err)
	x := inputs(rand.New(rand.NewPCG(3, 4)), 3)
	nntest.Check(t, m, func() *tensor.Tensor {
		z := m.Encode(Vision, x[Vision])
		loss := tensor.Full(0)
		for _, kind := range Modalities[1:] {
			loss = loss.Add(InfoNCE(z, m.Encode(kind, x[kind])))
		}
		return loss
	})
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, nn.SaveOptions{}))
	again, err := Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, m.Config(), withoutList(again.Config()))
	for _, kind := range Modalities {
		require.Equal(t, m.Embed(kind, x[kind]).Data(), again.Embed(kind, x[kind]).Data(), kind)
	}
}

// withoutList takes off the list of modalities that Load has filled in.
func withoutList(c Config) Config {
	c.Modalities = nil
	return c
}

// While training, stochastic depth and the dropout of the motion head change embeddings, and the same step the same
// way.
func TestTraining(t *testing.T) {
	m, err := New(rand.New(rand.NewPCG(1, 2)), small())
	require.NoError(t, err)
	x := inputs(rand.New(rand.NewPCG(3, 4)), 16)[IMU]
	plain := m.Encode(IMU, x).Data()
	nn.Train(m, 1, 1)
	first := m.Encode(IMU, x).Data()
	require.NotEqual(t, plain, first)
	require.Equal(t, first, m.Encode(IMU, x).Data())
	nn.Eval(m)
	require.Equal(t, plain, m.Encode(IMU, x).Data())
}

func TestBadInput(t *testing.T) {
	c := small()
	c.Modalities = []Modality{Vision, Text}
	m, err := New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	x := inputs(rand.New(rand.NewPCG(3, 4)), 2)
	for want, f := range map[string]func(){
		`no modality "audio": the model has vision, text`: func() { m.Encode(Audio, x[Audio]) },
		"pictures [2 1 8 8]: needs [B 3 9 9]":             func() { m.Encode(Vision, x[Depth]) },
		"ids [1 4]: needs [B 5]": func() {
			m.Encode(Text, tensor.Ints([]int{9, 1, 10, 0}, 1,
				4))
		},
		"needs pairs": func() { InfoNCE(tensor.New(2, 3), tensor.New(1, 3)) },
	} {
		require.ErrorContains(t, tensor.Catch(f), want)
	}
	require.Equal(t, []int{0, 6}, m.Encode(Vision, tensor.New(0, 3, 9, 9)).Shape())
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, v any) {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o644))
	}
	for want, change := range map[string]func(*Config){
		"audio_embed_dim 7, audio_num_blocks 2, audio_num_heads 2": func(c *Config) { c.AudioDim = 7 },
		"vision_num_blocks 1099511627776 at most":                  func(c *Config) { c.VisionBlocks = 1 << 40 },
		"text_context_length is [1099511627776]":                   func(c *Config) { c.ContextLength = 1 << 40 },
		"text_vocab_size is 1099511627776":                         func(c *Config) { c.VocabSize = 1 << 40 },
		"imu_drop_path is 1":                                       func(c *Config) { c.IMUDropPath = 1 },
		"depth_size_patch is [8 0]":                                func(c *Config) { c.DepthPatch[1] = 0 },
		"audio_kernel_stride [9 2]":                                func(c *Config) { c.AudioKernel[0] = 9 },
		"imu_channels_samples_kernel is [3 3 4]":                   func(c *Config) { c.IMUShape[1] = 3 },
		"text_vocab_size 0":                                        func(c *Config) { c.VocabSize = 0 },
		`model_type "clip" is not imagebind`:                       func(c *Config) { c.ModelType = "clip" },
		`gollava_modalities: there is no modality "smell"`:         func(c *Config) { c.Modalities = []Modality{"smell"} },
	} {
		c := small()
		change(&c)
		write("config.json", c)
		_, err := Load(dir, nn.LoadOptions{})
		require.ErrorContains(t, err, "config.json: ")
		require.ErrorContains(t, err, want)
	}
	m, err := New(rand.New(rand.NewPCG(1, 2)), small())
	require.NoError(t, err)
	require.NoError(t, nn.Save(m, dir, nn.SaveOptions{Rename: func(name string) string {
		return strings.Replace(name, "modality_trunks.", "trunks.", 1)
	}}))
	write("config.json", small())
	_, err = Load(dir, nn.LoadOptions{})
	require.ErrorContains(t, err, "holds no tower of an ImageBind")
}
