package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train/llava"
)

// TestTrainExample: the printed files can be read, as they are and with every value that they show.
func TestTrainExample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	for _, stage := range stages {
		code, text := command(t, "", "train --example "+stage)
		require.Zero(t, code)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		c, err := llava.ReadPartial(path)
		require.NoError(t, err, stage)
		require.Equal(t, stage, c.Stage)
		require.Equal(t, strings.HasPrefix(stage, "task"), c.Model != "", stage)
		require.Zero(t, c.LR, stage)

		text = regexp.MustCompile(`(?m)^#( *[a-z_1]+:)`).ReplaceAllString(text, "$1")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		c, err = llava.ReadPartial(path)
		require.NoError(t, err, stage)
		p, err := llava.Published("v1.5", stage)
		require.NoError(t, err)
		require.Equal(t, p.LR, c.LR, stage)
		require.Equal(t, p.LoRA, c.LoRA, stage)
		require.Equal(t, *p.Warmup, *c.Warmup, stage)
	}
	code, said := command(t, "", "train --example tea")
	require.Equal(t, 1, code)
	require.Contains(t, said, `stage "tea" is not one of recipe v1.5`)
}

// TestTrainKeys: every key is listed, with its published values; --set has the last word.
func TestTrainKeys(t *testing.T) {
	code, said := command(t, "", "train --keys")
	require.Zero(t, code)
	keys, _ := llava.Keys()
	for _, key := range keys {
		require.Regexp(t, `(?m)^`+regexp.QuoteMeta(key)+` `, said)
	}
	require.Contains(t, said, "as published: align 0.001, tune 2e-05, lora 0.0002, task 2e-05, task_lora 0.0002\n")

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a b.yaml"), []byte("stage: align\nlr: 1\nvision: no\n"), 0o666))
	v := trainCommand{Config: filepath.Join(dir, "a b.yaml"), Set: []string{"lr=2e-3", "vision=" + dir, "llm=" + dir,
		"data=" + dir, "out=" + dir + "/run"}}
	c, err := v.config()
	require.NoError(t, err)
	require.Equal(t, 2e-3, c.LR)
	require.Contains(t, v.command(), " && gollava train -config '"+dir+"/a b.yaml' -set lr=2e-3 -set vision="+dir)
	for set, says := range map[string]string{
		"lr": "want KEY=VALUE", "batsh=1": `did you mean "batch"`, "lr=fast": "lr: ",
		"lora.r=8": "stage align has no adapters",
	} {
		v.Set = []string{set}
		_, err := v.config()
		require.ErrorContains(t, err, says)
	}
	code, said = command(t, "", "train")
	require.Equal(t, 2, code)
	require.Contains(t, said, "--config=FILE")
	code, said = command(t, "", "--version")
	require.Zero(t, code)
	require.Contains(t, said, "gollava ")
	require.Contains(t, said, "(go1.")
}
