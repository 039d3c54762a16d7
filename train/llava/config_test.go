package llava

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gollava/gollava/nn"
	"github.com/stretchr/testify/require"
)

// files makes the folders that a config names, and returns the config's beginning.
func files(t *testing.T) string {
	t.Chdir(t.TempDir())
	for _, d := range []string{"tower", "words", "whole"} {
		require.NoError(t, os.Mkdir(d, 0o777))
	}
	require.NoError(t, os.WriteFile("chat.json", []byte("[]"), 0o666))
	return "data: chat.json\nout: run\n"
}

func read(t *testing.T, text string) (Config, error) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return ReadConfig(path)
}

// TestPublished: what a file does not say is as LLaVA's scripts have it.
func TestPublished(t *testing.T) {
	begin := files(t)
	parts := begin + "vision: tower\nllm: words\n"
	c, err := read(t, parts+"stage: align\n")
	require.NoError(t, err)
	require.Equal(t, "mlp2x_gelu", c.ProjectorType)
	require.Equal(t, []any{256, 1.0, 1e-3, 1e-3, 2048, "square", "plain", "cosine", 0.03, 1.0, 0.0, false, -2, "patch"},
		[]any{c.Batch, c.Epochs, c.LR, c.ProjectorLR, c.MaxLength, c.Aspect, c.Template, c.Schedule, *c.Warmup, *c.Clip, *c.WeightDecay, *c.GroupByLength, c.SelectLayer, c.SelectFeature})
	require.Len(t, c.groups(), 1)

	c, err = read(t, parts+"stage: lora\n")
	require.NoError(t, err)
	require.Equal(t, []any{128, 2e-4, 2e-5, 128, 256.0, 0.05, "pad", "v1", true}, []any{c.Batch, c.LR, c.ProjectorLR, c.LoRA.Rank, c.LoRA.Alpha, *c.LoRA.Dropout, c.Aspect, c.Template, *c.GroupByLength})
	require.Equal(t, "**.lora_*.**", c.groups()[1].Params)

	c, err = read(t, parts+"stage: tune\nrecipe: v1\nlr: 1e-5\nweight_decay: 0.1\nsteps: 7\n")
	require.NoError(t, err)
	require.Equal(t, []any{"linear", 32, 0.0, 7, 1e-5, 1e-5, 0.1}, []any{c.ProjectorType, c.Batch, c.Epochs, c.Steps, c.LR, c.ProjectorLR, *c.WeightDecay})

	require.NoError(t, c.Write("run"))
	again, err := ReadConfig(filepath.Join("run", "run.yaml"))
	require.NoError(t, err)
	require.Equal(t, c, again, "a resolved config is a config")
}

// TestPublishedSteps: with LLaVA's data sets a run takes as many steps as LLaVA-1.5's log shows.
func TestPublishedSteps(t *testing.T) {
	for stage, want := range map[string][2]int{"align": {558128, 2181}, "tune": {665298, 5198}} {
		c, err := Published("v1.5", stage)
		require.NoError(t, err)
		require.Equal(t, want[1], int(math.Ceil(float64(want[0])/float64(c.Batch))), stage)
	}
}

func TestPublishedGroups(t *testing.T) {
	begin := files(t)
	projector, adapter := "multi_modal_projector.linear_1.weight", "language_model.model.layers.3.self_attn.q_proj.lora_A.weight"
	weight := "language_model.model.layers.3.self_attn.q_proj.weight"
	for stage, trains := range map[string][]string{"align": {projector}, "tune": {projector, weight}, "task": {projector, weight},
		"lora": {projector, adapter}, "task_lora": {projector, adapter}} {
		for _, recipe := range []string{"v1", "v1.5"} {
			c, err := read(t, begin+"model: whole\nstage: "+stage+"\nrecipe: "+recipe+"\n")
			if recipe == "v1" && stage == "task_lora" {
				require.ErrorContains(t, err, `stage "task_lora" is not one of recipe v1`)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, []any{"cosine", 0.03, 1.0}, []any{c.Schedule, *c.Warmup, *c.Clip})
			groups := c.groups()
			require.Len(t, groups, len(trains), "%s %s", recipe, stage)
			for i, name := range trains {
				require.True(t, nn.Match(groups[i].Params, name), "%s %s", recipe, stage)
				require.Equal(t, len(trains) == 1 || i == 0 || name == adapter, groups[i].Params != "language_model.**")
			}
		}
	}
}

func TestReadConfigFaults(t *testing.T) {
	begin := files(t)
	parts := begin + "vision: tower\nllm: words\nstage: align\n"
	for _, c := range []struct{ text, want string }{
		{parts + "bacth: 3\n", `did you mean "batch"?`},
		{parts + "lora:\n  rnak: 3\n", `did you mean "r"?`},
		{parts + "batch: many\n", "run.yaml: [6:8]"},
		{parts + "recipe: v2\n", `recipe "v2" is not known: v1 and v1.5 are`},
		{parts + "model: whole\n", "model is given, and vision or llm too"},
		{begin + "stage: align\nvision: tower\n", "vision and llm are needed, or model"},
		{parts + "steps: 3\nepochs: 2\n", "both steps 3 and epochs 2"},
		{parts + "validation: 1.5\n", "validation 1.5"},
		{parts + "dtype: float16\n", `dtype "float16" is neither`},
		{parts + "layout: mine\n", `layout "mine"`},
		{parts + "micro: 5\n", "micro 5 does not divide batch 256"},
		{"", "stage"},
		{"- a\n", "run.yaml"},
	} {
		_, err := read(t, c.text)
		require.ErrorContains(t, err, c.want, c.text)
		t.Log(err)
	}
	_, err := ReadConfig("none.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}
