package unet

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func normal(seed uint64, shape ...int) *tensor.Tensor { return tensor.Randn(random(seed), 1, shape...) }

// small is a configuration of two levels.
func small() Config {
	c := defaults()
	c.BlockOutChannels, c.DownBlockTypes, c.UpBlockTypes = []int{4, 6}, []string{Down, CrossDown}, []string{CrossUp, Up}
	c.LayersPerBlock, c.Heads, c.NormNumGroups, c.CrossAttentionDim, c.AttentionType = Levels{1}, Levels{2}, 2, 5, Gated
	return c
}

// With closed gates, and with a factor of 0, the model is the one without gated layers, bit for bit; then only the new
// layers have gradients that are not 0 where the rest is frozen.
func TestGates(t *testing.T) {
	u, err := New(random(1), small())
	require.NoError(t, err)
	x, text, ts := normal(2, 3, 4, 5, 3), normal(3, 3, 4, 5), []int32{0, 17, 999}
	tokens := u.Position.Forward(tensor.Uniform(random(4), 0, 1, 3, 2, 4), tensor.Full(1, 3, 2),
		normal(5, 3, 2, 5)).Detach()
	base := u.Forward(x.NoGrad(), ts, text, nil).Data()
	require.Equal(t, base, u.Forward(x.NoGrad(), ts, text, &Grounding{tokens, 1}).Data(), "closed gates")
	for name, p := range nn.Params(u) {
		if strings.Contains(name, "alpha") {
			p.Fill(0.5)
		}
	}
	open := u.Forward(x.NoGrad(), ts, text, &Grounding{tokens, 1}).Data()
	require.NotEqual(t, base, open)
	require.Equal(t, base, u.Forward(x.NoGrad(), ts, text, &Grounding{tokens, 0}).Data(), "factor 0")
	require.NotEqual(t, open, u.Forward(x.NoGrad(), ts, text, &Grounding{tokens, 0.5}).Data(), "factor ½")
	u.Forward(x, ts, text, &Grounding{tokens, 1}).Sum().Backward()
	n := 0
	for name, p := range nn.Params(u) {
		if strings.Contains(name, ".fuser.") {
			require.NotNil(t, p.Grad(), name)
			n++
		}
	}
	require.Equal(t, 4*17, n) // transformers: one down, one in the middle, two up
}

func TestMisusePanics(t *testing.T) {
	c := small()
	c.AttentionType = Plain
	u, err := New(random(1), c)
	require.NoError(t, err)
	text := normal(3, 1, 4, 5)
	for _, f := range []func(){
		func() { u.Forward(normal(1, 1, 3, 4, 4), []int32{0}, text, nil) },
		func() { u.Forward(normal(1, 1, 4, 4, 4), []int32{0, 1}, text, nil) },
		func() { u.Forward(normal(1, 1, 4, 4, 4), []int32{0}, text, &Grounding{text, 1}) },
		func() { Fourier(normal(1, 1, 2, 3)) },
	} {
		err := tensor.Catch(f)
		require.Error(t, err)
	}
}

// The names of Stable Diffusion 1's own checkpoints, of which the GLIGEN authors' have the fuser beside.
func TestOriginalNames(t *testing.T) {
	rename := StableDiffusion().fromOriginal()
	for from, to := range map[string]string{
		"time_embed.2.weight":                                         "time_embedding.linear_2.weight",
		"input_blocks.0.0.weight":                                     "conv_in.weight",
		"input_blocks.1.0.in_layers.2.bias":                           "down_blocks.0.resnets.0.conv1.bias",
		"input_blocks.2.1.transformer_blocks.0.attn2.to_out.0.weight": "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0.weight",
		"input_blocks.3.0.op.weight":                                  "down_blocks.0.downsamplers.0.conv.weight",
		"input_blocks.4.0.skip_connection.weight":                     "down_blocks.1.resnets.0.conv_shortcut.weight",
		"input_blocks.11.0.emb_layers.1.weight":                       "down_blocks.3.resnets.1.time_emb_proj.weight",
		"middle_block.1.proj_in.weight":                               "mid_block.attentions.0.proj_in.weight",
		"middle_block.2.out_layers.3.weight":                          "mid_block.resnets.1.conv2.weight",
		"output_blocks.2.1.conv.weight":                               "up_blocks.0.upsamplers.0.conv.weight",
		"output_blocks.5.2.conv.bias":                                 "up_blocks.1.upsamplers.0.conv.bias",
		"output_blocks.3.1.transformer_blocks.0.fuser.alpha_attn":     "up_blocks.1.attentions.0.transformer_blocks.0.fuser.alpha_attn",
		"output_blocks.11.0.out_layers.0.weight":                      "up_blocks.3.resnets.2.norm2.weight",
		"out.0.weight":                                                "conv_norm_out.weight",
		"out.2.weight":                                                "conv_out.weight",
		"position_net.linears.0.weight":                               "position_net.linears.0.weight",
	} {
		require.Equal(t, to, rename(from))
	}
	u, err := New(nil, StableDiffusion())
	require.NoError(t, err)
	n := 0
	for _, p := range nn.Params(u) {
		n += p.Len()
	}
	require.Equal(t, 859520964, n) // Stable Diffusion 1's
	m, err := NewVAE(nil, StableDiffusionVAE())
	require.NoError(t, err)
	n = 0
	for _, p := range nn.Params(m) {
		n += p.Len()
	}
	require.Equal(t, 83653863, n)
}

// The names that diffusers gave the autoencoder's attention before version 0.18 are read.
func TestOldVAE(t *testing.T) {
	c := vaeDefaults()
	c.BlockOutChannels, c.NormNumGroups = []int{4}, 2
	m, err := NewVAE(random(1), c)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, SaveVAE(dir, m, nn.SaveOptions{}))
	old := strings.NewReplacer("attentions.0.to_q", "attentions.0.query", "attentions.0.to_k", "attentions.0.key",
		"attentions.0.to_v", "attentions.0.value", "attentions.0.to_out.0", "attentions.0.proj_attn")
	require.NoError(t, nn.Save(m, filepath.Join(dir, weightsFile), nn.SaveOptions{Rename: old.Replace}))
	again, err := LoadVAE(dir, nn.LoadOptions{})
	require.NoError(t, err)
	x := normal(2, 1, 3, 3, 5)
	want, _ := m.Encode(x.NoGrad())
	got, _ := again.Encode(x.NoGrad())
	require.Equal(t, want.Data(), got.Data())
}

func TestBadConfigs(t *testing.T) {
	for text, want := range map[string]string{
		`{"block_out_channels": [10]}`:                        "must have 1 names",
		`{"attention_head_dim": 7}`:                           "block_out_channels 320 is no multiple of 7 heads",
		`{"norm_num_groups": 33}`:                             "block_out_channels 320 is no multiple of norm_num_groups 33",
		`{"attention_type": "gated-keypoint"}`:                `attention_type "gated-keypoint" is not supported`,
		`{"class_embed_type": "timestep"}`:                    `class_embed_type "timestep" is not supported`,
		`{"act_fn": "gelu"}`:                                  `act_fn "gelu" is not supported`,
		`{"layers_per_block": 60000}`:                         "layers_per_block 60000 is outside [1, 256]",
		`{"layers_per_block": [1, 2]}`:                        "layers_per_block has 2 numbers for 4 levels",
		`{"layers_per_block": []}`:                            "layers_per_block has 0 numbers",
		`{"in_channels": 0}`:                                  "in_channels 0 is outside [1, 65536]",
		`{"norm_eps": 0}`:                                     "norm_eps 0",
		`{"down_block_types": ["A","A","A","A"]}`:             `down_block_types: "A" is not supported`,
		`{"resnet_time_scale_shift": "scale_shift"}`:          "resnet_time_scale_shift",
		`{"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}`: "mid_block_type",
		`{"cross_attention_dim": [5, 5]}`:                     "cross_attention_dim",
		`{"_class_name": "UNet2DModel"}`:                      `_class_name "UNet2DModel" is not supported`,
	} {
		var c Config
		require.ErrorContains(t, json.Unmarshal([]byte(text), &c), want, text)
	}
	for text, want := range map[string]string{
		`{"block_out_channels": [4, 8]}`:                   "must have 2 names",
		`{"norm_num_groups": 5}`:                           "block_out_channels 64 is no multiple of norm_num_groups 5",
		`{"scaling_factor": 0}`:                            "scaling_factor 0",
		`{"down_block_types": ["AttnDownEncoderBlock2D"]}`: "AttnDownEncoderBlock2D",
		`{"latents_mean": [1]}`:                            "latents_mean",
	} {
		var c VAEConfig
		require.ErrorContains(t, json.Unmarshal([]byte(text), &c), want, text)
	}
	c := StableDiffusionVAE() // the factor of 65 levels would be no number of pixels
	c.BlockOutChannels = slices.Repeat([]int{32}, 65)
	c.DownBlockTypes, c.UpBlockTypes = slices.Repeat([]string{vaeDown}, 65), slices.Repeat([]string{vaeUp}, 65)
	require.ErrorContains(t, c.Validate(), "number of levels 65 is outside [1, 16]")
	_, err := Load(t.TempDir(), nn.LoadOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
}
