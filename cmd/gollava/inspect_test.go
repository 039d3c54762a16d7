package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

func tinyLM(t *testing.T, tie bool) llm.Model {
	m, err := llm.New(rand.New(rand.NewPCG(1, 2)), llm.Config{ModelType: "llama", VocabSize: 40, HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 3,
		NumAttentionHeads: 2, MaxPositionEmbeddings: 32, NormEps: 1e-5, HiddenAct: "silu", TieWordEmbeddings: tie, RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 1, PAD: 0, EOS: []int{2}})
	require.NoError(t, err)
	return m
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	m := tinyLM(t, true)
	require.NoError(t, llm.Save(m, filepath.Join(dir, "lm"), nn.SaveOptions{DType: nn.As(tensor.BFloat16)}))
	status, out, err := gollava("inspect", filepath.Join(dir, "lm"))
	require.Zero(t, status, err)
	require.Contains(t, out, "0…2 (3 alike)")
	require.Regexp(t, `q_proj.weight +\[16 16\] +256 BF16`, out)
	require.Contains(t, out, "is model.embed_tokens.weight")
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimPrefix(line, dir)), 101+40, line)
	}

	a, e := lora.Wrap(m, lora.Default(2, 4, "q_proj"), rand.New(rand.NewPCG(1, 2)), nil)
	require.NoError(t, e)
	require.NoError(t, a.Save(filepath.Join(dir, "adapter"), lora.SaveOptions{}))
	status, out, err = gollava("inspect", filepath.Join(dir, "adapter"))
	require.Zero(t, status, err)
	require.Contains(t, out, "LoRA adapter, rank 2, α 4")
	require.NotRegexp(t, `(?m)(, of|in full:) ?$`, out, "what the config does not say is left out")
	require.Contains(t, out, "lora_A.weight")

	// A config that describes another model than the weights.
	path := filepath.Join(dir, "lm", "config.json")
	raw, e := os.ReadFile(path)
	require.NoError(t, e)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), `"num_hidden_layers": 3`, `"num_hidden_layers": 4`, 1)), 0o644))
	status, _, err = gollava("inspect", filepath.Join(dir, "lm"))
	require.Equal(t, 1, status)
	require.Contains(t, err, "missing     model.layers.3.input_layernorm.weight [16]")
	require.NoError(t, os.Remove(filepath.Join(dir, "lm", "model.safetensors")))
	status, out, _ = gollava("inspect", filepath.Join(dir, "lm"))
	require.Zero(t, status)
	require.Contains(t, out, "Not all weights are here")

	status, _, err = gollava("inspect", filepath.Join(dir, "nowhere"))
	require.Equal(t, 1, status)
	require.Contains(t, err, "nowhere")
}

// Towers that are in folders of their own are shown with the dtypes that they have there, both of them.
func TestInspectTwoTowers(t *testing.T) {
	c, err := llava.ReadConfig("../../connector/llava/testdata/two_towers")
	require.NoError(t, err)
	m, err := llava.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, llava.Save(dir, m, llava.SaveOptions{Layout: llava.Original, DType: nn.As(tensor.BFloat16)}))
	status, out, says := gollava("inspect", dir)
	require.Zero(t, status, says)
	require.NotContains(t, out, "Not all weights are here")
	for _, tower := range []string{`(?m)^vision_tower\.`, `(?m)^second_vision_tower\.`, `linear_3`} {
		require.Regexp(t, tower, out)
	}
	require.NotContains(t, out, "F32")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "second_vision_tower", "model.safetensors")))
	status, out, says = gollava("inspect", dir)
	require.Zero(t, status, says)
	require.Contains(t, out, "Not all weights are here (second_vision_tower: ")
}

// Whatever loads is shown, and what does not fit is listed: towers of all layouts, and the systems beside LLaVA.
func TestInspectSystems(t *testing.T) {
	for folder, want := range map[string]string{
		"vit/testdata/timm_dinov2_reg4":         "vision tower dinov2_with_registers, pictures of 20×20",
		"vit/testdata/timm_clip":                "vision tower clip_vision_model",
		"vit/testdata/timm_siglip":              "vision tower siglip_vision_model",
		"vit/testdata/dinov2_vision":            "vision tower dinov2, pictures of 16×16 in patches of 4, 2 layers",
		"vit/testdata/blip2_vision":             "vision tower blip_2_vision_model",
		"vit/testdata/clip/openai":              "CLIP, a vision and a text tower",
		"connector/blip2/testdata/blip2-t5":     "a Q-Former of 4 queries, then language model t5",
		"connector/blip2/testdata/instructblip": "a Q-Former of 4 queries, then language model llama",
		"connector/blip2/testdata/blip2_stage1": "BLIP-2 for retrieval",
		"connector/git/testdata/git-video":      "30 image tokens before the text, then language model git",
		"connector/flamingo/testdata/flamingo":  "what OpenFlamingo trains: a resampler to 3 tokens",
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("../..", folder))))
		status, out, says := gollava("inspect", dir)
		require.Zero(t, status, "%s: %s", folder, says)
		require.Contains(t, out, want)
		require.NotContains(t, out, "Not all weights are here")
		require.NotRegexp(t, `(?m)\] +\d+ +\d+ B$`, out, "a parameter without a dtype")
		if strings.HasPrefix(want, "what OpenFlamingo") {
			continue
		}
		require.NoError(t, nn.Save(&struct {
			One *tensor.Tensor `param:"nobody.knows"`
		}{tensor.New(2)}, dir, nn.SaveOptions{}))
		status, _, says = gollava("inspect", dir)
		require.Equal(t, 1, status, folder)
		require.Contains(t, says, "nobody.knows")
	}
}

// A run of Prismatic's is called so, whatever is asked of it.
func TestPrismatic(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"),
		[]byte(`{"model": {"vision_backbone_id": "dinosiglip-vit-so-384px"}, "seed": 7}`), 0o644))
	for _, args := range [][]string{{"inspect", dir}, {"chat", dir, "--ask", "what?"}} {
		status, _, says := gollava(args...)
		require.Equal(t, 1, status)
		require.Contains(t, says, `config.json: model.vision_backbone_id "dinosiglip-vit-so-384px": `+
			"this is a run of Prismatic's")
	}
}

// Both towers of a model may be in other folders than it says.
func TestTowersElsewhere(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values([]string{"What is this?"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	c, err := llava.ReadConfig("../../connector/llava/testdata/two_towers")
	require.NoError(t, err)
	c.Text.VocabSize, c.Text.MaxPositionEmbeddings, c.MaxLength = tok.Size(), 512, 512
	m, err := llava.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	dir, away := t.TempDir(), t.TempDir()
	require.NoError(t, llava.Save(dir, m, llava.SaveOptions{Layout: llava.Original, Tokenizer: tok}))
	asked := []string{"chat", dir, "--image", filepath.Join(pictures, "rgb-2x3.png"), "--ask", "What is this?",
		"--max-tokens", "3"}
	status, want, says := gollava(asked...)
	require.Zero(t, status, says)
	for _, tower := range []string{"vision_tower", "second_vision_tower"} {
		require.NoError(t, os.Rename(filepath.Join(dir, tower), filepath.Join(away, tower)))
	}
	asked = append(asked, "--tower", filepath.Join(away, "vision_tower"))
	status, _, says = gollava(asked...)
	require.Equal(t, 1, status)
	require.Contains(t, says, "mm_vision_tower_aux_list")
	status, out, says := gollava(append(asked, "--second-tower", filepath.Join(away, "second_vision_tower"))...)
	require.Zero(t, status, says)
	require.Equal(t, want, out)
	status, _, says = gollava(append(asked, "--second-tower", "nowhere")...)
	require.Equal(t, 1, status)
	require.Contains(t, says, "--second-tower ")
	status, _, says = gollava("chat", "../../connector/git/testdata/git-video", "--second-tower", away, "--ask", "what?")
	require.Equal(t, 1, status)
	require.Contains(t, says, "has no second tower")
}
