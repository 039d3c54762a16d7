package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

var saved = flag.String("saved", "", "write checkpoints to this folder, for testdata/check_saved.py to load with transformers and PEFT")

// outcome is what a checkpoint computes here, kept beside it.
type outcome struct {
	IDs    *tensor.Tensor `param:"input_ids"` // float32, as weights are
	Logits *tensor.Tensor `param:"logits"`
	Pixels *tensor.Tensor `param:"pixel_values,optional"`
}

func (o *outcome) save(t *testing.T, dir string) {
	require.NoError(t, nn.Save(o, filepath.Join(dir, "computed.safetensors"), nn.SaveOptions{}))
}

var savedIDs = tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 1}, 2, 5)

func logitsOf(m llm.Model) *tensor.Tensor {
	return llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(savedIDs).NoGrad()}))
}

// Everything that this module saves loads again and computes the same; with -saved, transformers and PEFT are asked
// too.
func TestSaved(t *testing.T) {
	root := *saved
	if root == "" {
		root = t.TempDir()
	}
	ids := savedIDs.Cast(tensor.Float32)
	r := func() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }
	for _, family := range []string{"llama", "mistral", "qwen2", "phi3", "mpt"} {
		m, err := llm.Load(filepath.Join("../../llm/testdata", family, "model"), nn.LoadOptions{})
		require.NoError(t, err)
		for name, o := range map[string]nn.SaveOptions{"": {}, "-shards": {MaxShard: 4000}, "-bf16": {DType: nn.As(tensor.BFloat16)}} {
			dir := filepath.Join(root, "lm", family+name)
			require.NoError(t, llm.Save(m, dir, o))
			back, err := llm.Load(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
			require.NoError(t, err)
			(&outcome{IDs: ids, Logits: logitsOf(back)}).save(t, dir)
		}
	}
	for name, dt := range fourBits {
		m, err := llm.Load("../../llm/testdata/llama/model", nn.LoadOptions{DType: inBlocks(dt)})
		require.NoError(t, err)
		dir := filepath.Join(root, "lm", "llama-"+name)
		require.NoError(t, llm.Save(m, dir, nn.SaveOptions{}))
		back, err := llm.Load(dir, nn.LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, logitsOf(m).Data(), logitsOf(back).Data())
		(&outcome{IDs: ids, Logits: logitsOf(back)}).save(t, dir)
	}
	for name, change := range map[string]func(*lora.Config){"lora": func(*lora.Config) {}, "dora": func(c *lora.Config) { c.DoRA = true },
		"rslora-head": func(c *lora.Config) { c.RSLoRA, c.Save = true, lora.List{"lm_head"} }} {
		m, err := llm.Load(filepath.Join(root, "lm", "llama"), nn.LoadOptions{})
		require.NoError(t, err)
		c := lora.Default(3, 5, "q_proj", "up_proj", "down_proj")
		c.BaseModel, c.RankPattern = "../../lm/llama", lora.Pattern{{Key: "up_proj", Value: 2}}
		change(&c)
		a, err := lora.Wrap(m, c, r(), nil)
		require.NoError(t, err)
		scatter(a, r())
		dir := filepath.Join(root, "adapters", name)
		require.NoError(t, a.Save(dir, lora.SaveOptions{}))
		(&outcome{IDs: ids, Logits: logitsOf(m)}).save(t, dir)
	}
	savedVLM(t, root, r())
}

var fourBits = map[string]tensor.DType{"nf4": tensor.NF4, "nf4d": tensor.NF4D, "fp4": tensor.FP4, "fp4d": tensor.FP4D}

// inBlocks keeps the linear layers of a decoder's blocks as dt.
func inBlocks(dt tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(name string, stored tensor.DType) tensor.DType {
		if llm.BlockLinear(name) {
			return dt
		}
		return stored
	}
}

func scatter(a *lora.Adapter, r *rand.Rand) {
	for _, p := range a.Params() {
		for i := range p.Data() {
			p.Data()[i] += 0.2 * float32(r.NormFloat64())
		}
	}
}

// savedVLM writes a vision-language model, its tower and an adapter with the connector.
func savedVLM(t *testing.T, root string, r *rand.Rand) {
	m, err := llava.Load("../../lora/testdata/llava/model", llava.LoadOptions{})
	require.NoError(t, err)
	dir := filepath.Join(root, "vlm", "llava")
	require.NoError(t, llava.Save(dir, m, llava.SaveOptions{}))
	config := llava.ConfigOf(m)
	image, n := int(config.Image), config.FeaturesPerView()
	row := []int{3, 9}
	for range n {
		row = append(row, image)
	}
	row = append(row, 4, 17, 5)
	b := connector.Batch{IDs: tensor.Ints(row, 1, len(row)), Pixels: tensor.Randn(r, 1, 1, 3, config.Vision.ImageSize, config.Vision.ImageSize)}
	compute := func(dir string, m *connector.VLM) {
		x := tensor.Ints(row, 1, len(row)).Cast(tensor.Float32)
		(&outcome{IDs: x, Pixels: b.Pixels, Logits: llm.Logits(m.Language, m.Hidden(b))}).save(t, dir)
	}
	compute(dir, m)
	small, err := llava.Load(dir, llava.LoadOptions{DType: inBlocks(tensor.NF4D)})
	require.NoError(t, err)
	require.NoError(t, llava.Save(dir+"-nf4d", small, llava.SaveOptions{}))
	compute(dir+"-nf4d", small)
	require.NoError(t, vit.Save(filepath.Join(root, "towers", "clip"), m.Vision, nn.SaveOptions{}))

	c := lora.Default(2, 3)
	c.Targets = lora.Targets{Pattern: `.*language_model.*\.(q_proj|v_proj)`}
	c.Save, c.BaseModel = lora.List{"multi_modal_projector"}, "../../vlm/llava"
	a, err := lora.Wrap(m, c, r, llava.Transformers5)
	require.NoError(t, err)
	scatter(a, r)
	dir = filepath.Join(root, "adapters-vlm", "llava")
	require.NoError(t, a.Save(dir, lora.SaveOptions{}))
	compute(dir, m)
	dir = filepath.Join(root, "original", "llava-lora")
	require.NoError(t, a.Save(dir, lora.SaveOptions{Naming: llava.OriginalNames(m), Others: []string{"multi_modal_projector.**"}}))
	require.FileExists(t, filepath.Join(dir, "non_lora_trainables.bin"))
	_, err = os.Stat(filepath.Join(dir, "adapter_model.safetensors"))
	require.NoError(t, err)
}
