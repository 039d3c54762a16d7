package llava

import (
	"flag"
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
	require.Equal(t, []any{128, 2e-4, 2e-5, 128, 256.0, 0.05, "pad", "", true}, []any{c.Batch, c.LR, c.ProjectorLR, c.LoRA.Rank, c.LoRA.Alpha, *c.LoRA.Dropout, c.Aspect, c.Template, *c.GroupByLength})
	require.Equal(t, "**.lora_*.**", c.groups()[1].Params)

	c, err = read(t, parts+"stage: tune\nrecipe: v1\nlr: 1e-5\nweight_decay: 0.1\nsteps: 7\n")
	require.NoError(t, err)
	require.Equal(t, []any{"linear", 32, 0.0, 7, 1e-5, 1e-5, 0.1}, []any{c.ProjectorType, c.Batch, c.Epochs, c.Steps, c.LR, c.ProjectorLR, *c.WeightDecay})

	require.NoError(t, c.Write("run"))
	again, err := ReadConfig(filepath.Join("run", "run.yaml"))
	require.NoError(t, err)
	require.Equal(t, c.yaml(), again.yaml(), "a resolved config is a config")
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

// What is written counts, a zero too; what is left out, or has no value, is as published.
func TestZeroIsAValue(t *testing.T) {
	begin := files(t) + "vision: tower\nllm: words\nstage: tune\n"
	c, err := read(t, begin+"projector_lr: 0\nselect_layer: 0\nwarmup: 0\nclip: 0\nmax_length: 0\nseed: 18446744073709551615\nsteps: 1e3\nevery:\nlora:\ngroup_by_length: false\n")
	require.NoError(t, err)
	require.Equal(t, []any{0.0, 0, 0.0, 0.0, 0, uint64(math.MaxUint64), 1000, false, 2e-5}, []any{c.ProjectorLR, c.SelectLayer, *c.Warmup, *c.Clip, c.MaxLength, c.Seed, c.Steps, *c.GroupByLength, c.LR})
	require.Len(t, c.groups(), 1, "a rate of 0 freezes the projector")
	again, err := read(t, c.yaml())
	require.NoError(t, err)
	require.Equal(t, c.yaml(), again.yaml())
	require.Equal(t, 0.0, again.ProjectorLR)
	c, err = read(t, begin)
	require.NoError(t, err)
	require.Equal(t, []any{2e-5, -2, 0.03, 1.0, 2048, 2}, []any{c.ProjectorLR, c.SelectLayer, *c.Warmup, *c.Clip, c.MaxLength, c.Keep})

	var flags Config
	fs := flag.NewFlagSet("llava", flag.ContinueOnError)
	flags.Flags(fs)
	require.NoError(t, fs.Parse([]string{"-stage", "lora", "-vision", "tower", "-llm", "words", "-data", "chat.json", "-out", "run", "-projector_lr", "0", "-lora_r", "4", "-skip"}))
	flags, err = flags.Resolve()
	require.NoError(t, err)
	require.Equal(t, []any{0.0, 4, true, 2e-4}, []any{flags.ProjectorLR, flags.LoRA.Rank, flags.Skip, flags.LR})
	require.Error(t, fs.Parse([]string{"-seed", "1.5"}))
}

// A folder with a file that the run would write is refused, unless an earlier run has left it.
func TestOccupied(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666)) }
	require.NoError(t, (&Config{Out: filepath.Join(dir, "new")}).occupied())
	write("notes.txt")
	require.NoError(t, (&Config{Out: dir}).occupied())
	require.Error(t, (&Config{Out: filepath.Join(dir, "notes.txt")}).occupied())
	for _, name := range []string{"tokenizer.json", "mm_projector.bin", "model-00001-of-00002.safetensors", "chat_template.jinja"} {
		write(name)
		require.ErrorContains(t, (&Config{Out: dir}).occupied(), "holds "+name+" of another model")
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	write("tokenizer.json")
	write("run.yaml")
	require.NoError(t, (&Config{Out: dir}).occupied())
}

func TestReadConfigFaults(t *testing.T) {
	begin := files(t)
	parts := begin + "vision: tower\nllm: words\nstage: align\n"
	require.NoError(t, os.Symlink("whole", "link"))
	require.NoError(t, os.Mkdir("run", 0o777))
	for _, name := range []string{"config.json", "mm_projector.bin"} {
		require.NoError(t, os.WriteFile(filepath.Join("run", name), []byte("[]"), 0o666))
	}
	scaled, err := read(t, parts+"s2_scales: 336,672\n")
	require.NoError(t, err)
	require.Equal(t, "336,672", scaled.S2Scales)
	for _, c := range []struct{ text, want string }{
		{parts + "bacth: 3\n", `did you mean "batch"?`},
		{parts + "lora:\n  rnak: 3\n", `did you mean "r"?`},
		{parts + "batch: many\n", `run.yaml:6: batch: "many" is not a number`},
		{parts + "recipe: v2\n", `recipe "v2" is not known: v1 and v1.5 are`},
		{parts + "model: whole\n", "model is given, and vision or llm too"},
		{begin + "stage: align\nvision: tower\n", "vision and llm are needed, or model"},
		{parts + "steps: 3\nepochs: 2\n", "both steps 3 and epochs 2"},
		{parts + "validation: 1.5\n", "validation 1.5"},
		{parts + "dtype: float16\n", `dtype "float16" is neither`},
		{parts + "layout: mine\n", `layout "mine"`},
		{parts + "micro: 5\n", "micro 5 does not divide batch 256"},
		{"", "stage"},
		{parts + "seed: 1.5\n", "run.yaml:6: seed: 1.5 is not a whole number"},
		{parts + "steps: 2.5\n", "steps: 2.5 is not a whole number"},
		{parts + "seed: -1\n", "seed: -1 is negative"},
		{parts + "steps: 1e300\n", "steps: 1e300 is too large"},
		{parts + "epochs: 1e20\n", "epochs 1e+20 is not between"},
		{parts + "epochs: -1\n", "epochs -1 is not between"},
		{parts + "lr: fast\n", `lr: "fast" is not a number`},
		{parts + "lr: .nan\n", `lr: ".nan" is not a number`},
		{parts + "lr: nan\n", `lr: nan is not a finite number`},
		{parts + "lr: 0\n", "lr 0: nothing would learn"},
		{parts + "lr: -1e-3\n", "lr -0.001 is not between"},
		{parts + "epochs: 0\n", "steps 0 and epochs 0"},
		{parts + "batch: 0\n", "batch 0 is not between"},
		{parts + "batch: -4\n", "batch -4 is not between"},
		{parts + "batch: 1000000000\n", "batch 1000000000 is not between"},
		{parts + "micro: 0\n", "micro 0 is not between"},
		{parts + "keep: 0\n", "keep 0 is not between"},
		{parts + "workers: 0\n", "workers 0 is not between"},
		{parts + "warmup: 2\n", "warmup 2 is not between"},
		{parts + "clip: -1\n", "clip -1 is not between"},
		{parts + "weight_decay: -1\n", "weight_decay -1 is not between"},
		{parts + "skip: maybe\n", `skip: "maybe" is neither true nor false`},
		{parts + "schedule: step\n", `schedule "step": cosine`},
		{parts + "template: vicuna\n", `template "vicuna": did you mean "vicuna_v1"?`},
		{parts + "template: ''\n", `template "": did you mean`},
		{parts + "schedule: ''\n", `schedule "" is no value: leave the key out`},
		{parts + "memory: ''\n", `memory "" is no value`},
		{parts + "recipe: ''\n", `recipe "" is no value`},
		{parts + "projector_type: ''\n", `projector_type "" is no value`},
		{parts + "select_feature: ''\n", `select_feature "" is no value`},
		{parts + "epoch:\n", `run.yaml:6: there is no key "epoch": did you mean "epochs"?`},
		{parts + "epoch: null\n", `there is no key "epoch"`},
		{parts + "lora: {rnak: null}\n", `there is no key "rnak"`},
		{parts + "memory: 0.1B\n", `memory "0.1B" is not a size`},
		{parts + "memory: 0.0000001MB\n", "is not a size"},
		{parts + "memory: 1e30GiB\n", "is not a size"},
		{parts + "lora: {r: 4}\n", "stage align has no adapters"},
		{parts + "lora_r: 4\n", "stage align has no adapters"},
		{parts + "batch: [1, 2]\n", "run.yaml:6: batch: a list"},
		{parts + "batch: {a: 1}\n", "run.yaml:6: batch: there is no key"},
		{parts + "rate: 1\n", `run.yaml:6: there is no key "rate": did you mean "lr"?`},
		{parts + "epoch: 1\n", `run.yaml:6: there is no key "epoch": did you mean "epochs"?`},
		{parts + "batch: 4\nbatch: 8\n", "is given twice"},
		{begin + "vision: tower\nllm: words\nstage: lora\nlora: {r: -1}\n", "lora.r -1 is not a rank"},
		{begin + "vision: tower\nllm: words\nstage: lora\nlora: {r: 0}\n", "lora.r 0 is not a rank"},
		{begin + "vision: tower\nllm: words\nstage: lora\nlora: {alpha: 0}\n", "lora.alpha 0 makes no adapter"},
		{begin + "vision: tower\nllm: words\nstage: lora\nlora: {dropout: 1}\n", "lora.dropout 1 is outside"},
		{begin + "vision: tower\nllm: words\nstage: tune\nlr: 0\nprojector_lr: 0\n", "lr 0: nothing would learn"},
		{"data: chat.json\nout: words\nvision: tower\nllm: words\nstage: align\n", "out words: llm is read from there"},
		{"data: chat.json\nout: tower/../words\nvision: tower\nllm: words\nstage: align\n", "out tower/../words: llm is read from there"},
		{"data: chat.json\nout: tower\nvision: tower\nllm: words\nstage: align\n", "vision is read from there"},
		{"data: chat.json\nout: link\nmodel: whole\nstage: tune\n", "out link: model is read from there"},
		{"data: run/config.json\nout: run\nmodel: whole\nstage: tune\n", "data is read from there"},
		{"data: chat.json\nout: run\nmodel: whole\nprojector: run/mm_projector.bin\nstage: tune\n", "projector is read from there"},
		{"- a\n", "run.yaml"},
	} {
		_, err := read(t, c.text)
		require.ErrorContains(t, err, c.want, c.text)
		t.Log(err)
	}
	_, err = ReadConfig("none.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}
