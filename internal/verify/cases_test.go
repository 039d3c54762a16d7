package verify_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/casetest"
)

// Cases of this package and of those that they are about, and the number of their rows at least.
func TestCases(t *testing.T) {
	for dir, least := range map[string]int{
		"testdata/tokenizer/bert": 3, "testdata/tokenizer/clip": 3, "testdata/tokenizer/gpt2": 3,
		"testdata/tokenizer/llama-fast": 3, "testdata/tokenizer/llama3": 3, "testdata/tokenizer/neox": 3,
		"testdata/tokenizer/qwen2": 3, "testdata/tokenizer/t5-fast": 3,
		"testdata/data/dataset": 3, "testdata/data/splice": 1,
		"testdata/imagebind/imagebind": 60, "testdata/imagebind/melspec": 8,
		"testdata/vision/video_pooling": 90, "testdata/vision/token_counts": 42,
		"testdata/idefics": 115, "testdata/seem/losses": 20,
		"testdata/train/adamw": 20, "testdata/train/schedule": 24, "testdata/train/llava-stages": 33,
		"testdata/gguf/container": 1, "testdata/gguf/hostile": 4, "testdata/gguf/llama": 3,
		"testdata/gguf/llama_linear_rope": 3, "testdata/gguf/qwen2": 3,
		"testdata/quant/bnb_int8": 3, "testdata/quant/gptq_blocks": 5, "testdata/quant/peft-qlora": 5,
		"testdata/quant/causal_lm-llama_awq": 3, "testdata/quant/causal_lm-llama_gptq": 3,
		"testdata/quant/causal_lm-llama_int8": 3,

		"../torchfile/testdata": 5, "../../llm/testdata/mistral": 29, "../../lora/testdata/patterns": 12,
		"../../vit/testdata/clip": 150, "../../vit/testdata/clip-legacy_eos": 6,
		"../../vit/testdata/clip_vision-gelu": 4, "../../vit/testdata/clip_vision-quickgelu": 40,
		"../../vit/testdata/siglip_vision": 40, "../../vit/testdata/blip2_vision": 33,
		"../../vit/testdata/dinov2_vision": 8, "../../vit/testdata/dinov2_vision-registers": 8,
		"../../vit/testdata/s2_features": 4, "../../vit/diffusion/testdata/diffusion_schedules": 40,
		"../../connector/llava/testdata/llava": 90, "../../connector/llava/testdata/llava_next": 10,
		"../../connector/llava/testdata/gguf_q8_0": 6, "../../connector/llava/testdata/gguf_f16": 6,
		"../../connector/llava/testdata/llava_onevision-video": 10,
		"../../connector/llava/testdata/llava_next_video":      10,
		"../../connector/llava/testdata/vipllava":              10, "../../connector/llava/testdata/video_llava": 10,
		"../../connector/blip2/testdata/blip2_stage1": 140, "../../connector/blip2/testdata/instructblip": 85,
		"../../connector/blip2/testdata/blip2-t5": 65, "../../connector/flamingo/testdata/flamingo": 90,
		"../../connector/git/testdata/git-video": 100,
	} {
		casetest.Passes(t, dir, least)
	}
	dirs, err := filepath.Glob("testdata/benchmark/*")
	require.NoError(t, err)
	require.Len(t, dirs, 21)
	for _, dir := range dirs {
		rows := casetest.Passes(t, dir, 1).Rows
		if filepath.Base(dir) == "captions" {
			require.Equal(t, "132 of 132", rows[len(rows)-1].Detail, "the tokens, which do not fail a case, agree too")
		}
	}
}

// With products in bfloat16 results are off by what that rounds, and not by less.
func TestAutocast(t *testing.T) {
	for dir, least := range map[string]int{
		"testdata/imagebind/imagebind": 60, "testdata/idefics": 110, "testdata/quant/peft-qlora": 5,
		"testdata/quant/causal_lm-llama_gptq": 3, "../../llm/testdata/mistral": 20, "../../lora/testdata/patterns": 12,
		"../../vit/testdata/clip": 150, "../../vit/testdata/clip_vision-quickgelu": 40,
		"../../vit/testdata/siglip_vision": 40, "../../vit/testdata/blip2_vision": 33,
		"../../vit/testdata/dinov2_vision-registers": 8, "../../vit/testdata/s2_features": 4,
		"../../connector/llava/testdata/llava": 60, "../../connector/llava/testdata/llava_next": 10,
		"../../connector/llava/testdata/gguf_f16": 6, "../../connector/llava/testdata/vipllava": 10,
		"../../connector/llava/testdata/llava_onevision-video": 10, "../../connector/llava/testdata/video_llava": 10,
		"../../connector/blip2/testdata/blip2_stage1": 120, "../../connector/blip2/testdata/instructblip": 80,
		"../../connector/blip2/testdata/blip2-t5": 60, "../../connector/flamingo/testdata/flamingo": 60,
		"../../connector/git/testdata/git-video": 80,
	} {
		r := verify.RunAutocast(dir)
		require.True(t, r.Pass(), "%s: %s", dir, r.Note)
		require.GreaterOrEqual(t, len(r.Rows), least, dir)
		require.Greater(t, r.MaxRel, 0.001, dir)
	}
	for _, dir := range []string{"testdata/train/schedule", "testdata/seem/losses", "testdata/tokenizer/clip"} {
		r := verify.RunAutocast(dir)
		require.True(t, r.LeftOut() && !r.Pass(), dir)
	}
	require.Contains(t, verify.RunAutocast(t.TempDir()).Note, "case.json")
}

func TestDamaged(t *testing.T) {
	for _, dir := range []string{"testdata/imagebind/imagebind", "testdata/imagebind/melspec", "testdata/seem/losses",
		"testdata/vision/video_pooling", "../../vit/testdata/clip", "../../vit/testdata/s2_features",
		"../../vit/diffusion/testdata/diffusion_schedules", "../../connector/llava/testdata/llava_next",
		"../../connector/llava/testdata/llava_onevision-video", "../../connector/llava/testdata/video_llava",
		"../../connector/git/testdata/git-video"} {
		casetest.Damaged(t, dir)
	}
}

// Whatever stands in place of a value in a case's files is a difference or an error.
func TestMutated(t *testing.T) {
	casetest.Mutated(t, "testdata/data/splice", 211, "case.json", "cases.jsonl")
	casetest.Mutated(t, "../../data/testdata/samplers", 97, "case.json", "cases.jsonl")
	casetest.Mutated(t, "testdata/benchmark/mmvet", 43, "grades.json", "case.json")
	casetest.Mutated(t, "testdata/benchmark/mmbench", 97, "prompts.jsonl", "case.json")
	casetest.Mutated(t, "testdata/anyres", 61, "case.json", "geometry.jsonl")
}

// What differs does not keep the other checkpoints from being checked.
func TestOtherCheckpoints(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../connector/llava/testdata/llava")))
	require.NoError(t, os.Truncate(filepath.Join(dir, "transformers-4", "model.safetensors"), 5000))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "transformers-5")))
	r := verify.Run(dir)
	var failed []string
	for _, row := range r.Rows {
		if !row.Pass {
			failed = append(failed, row.What)
		}
	}
	require.Contains(t, failed, "transformers-4: load and compute")
	require.Greater(t, len(r.Rows), len(failed)+8)
}

func TestBadFolders(t *testing.T) {
	require.Contains(t, verify.Run(t.TempDir()).Note, "case.json")
	for _, c := range [][2]string{
		{`{"format": 2}`, "format 2"},
		{`{"format": 1, "task": "x"}`, `task "x" is not supported`},
		{`{`, "case.json"},
		{`{"format": 1, "task": "adamw", "runs": {"a": {"optimizer": "adamw"}}}`, "expected.safetensors"},
		{`{"format": 1, "task": "schedule", "file": "../x"}`, "leads out"},
		{`{"format": 1, "task": "benchmark", "benchmark": "tea"}`, `benchmark "tea" is not supported`},
		{`{"format": 1, "task": "benchmark", "benchmark": "mme", "files": {"results": "../x"}}`, "leads out"},
		{`{"format": 1, "task": "tokenizer"}`, "directory"},
		{`{"format": 1, "task": "dataset"}`, "nothing was compared"},
		{`{"format": 1, "task": "llava", "checkpoints": []}`, "checkpoints: none are listed"},
		{`{"format": 1, "task": "datagen", "config": "none.json"}`, "none.json"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(c[0]), 0o600))
		note := verify.Run(dir).Note
		require.Contains(t, note, c[1])
		require.NotContains(t, note, "panic")
	}
}
