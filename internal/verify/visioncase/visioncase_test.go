package visioncase

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/casetest"
)

func run(dir string) verify.Result {
	return verify.Run(dir, map[string]verify.Task{"clip": CLIP, "clip_vision": CLIPVision,
		"siglip_vision": SigLIPVision, "llava": LLaVA, "llava_next": LLaVA, "llava_original": LLaVAOriginal,
		"gguf_llava":      GGUF,
		"llava_onevision": Media, "llava_next_video": Media, "vipllava": Media, "video_llava": Media,
		"video_pooling": VideoPooling, "dinov2_vision": DINOv2Vision, "s2_features": S2Features,
		"token_counts": TokenCounts})
}

// The packages' own cases pass, whole.
func TestRun(t *testing.T) {
	for dir, least := range map[string]int{"vit/testdata/clip": 150, "vit/testdata/clip-legacy_eos": 6, "vit/testdata/clip_vision-gelu": 4, "vit/testdata/clip_vision-quickgelu": 40,
		"vit/testdata/siglip_vision": 40, "connector/llava/testdata/llava": 90,
		"connector/llava/testdata/llava_next": 10,
		"connector/llava/testdata/gguf_q8_0":  6, "connector/llava/testdata/gguf_f16": 6,
		"connector/llava/testdata/llava_onevision-video": 10, "connector/llava/testdata/llava_next_video": 10,
		"connector/llava/testdata/vipllava": 10, "connector/llava/testdata/video_llava": 10,
		"internal/verify/visioncase/testdata/video_pooling": 90, "internal/verify/visioncase/testdata/token_counts": 42,
		"vit/testdata/dinov2_vision": 8, "vit/testdata/dinov2_vision-registers": 8, "vit/testdata/s2_features": 4} {
		r := run(filepath.Join("../../..", dir))
		require.True(t, r.Pass(), "%s: %s", dir, r.Note)
		require.GreaterOrEqual(t, len(r.Rows), least, dir)
	}
}

// edited copies a case and lets edit change its case.json.
func edited(t *testing.T, from string, edit func(map[string]any)) string {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("../../..", from))))
	path := filepath.Join(dir, "case.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var f map[string]any
	require.NoError(t, json.Unmarshal(raw, &f))
	edit(f)
	raw, err = json.Marshal(f)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	return dir
}

// What differs is told, and does not keep the other checkpoints from being checked.
func TestRunTellsDifferences(t *testing.T) {
	failed := func(rows []verify.Row) (names []string) {
		for _, r := range rows {
			if !r.Pass {
				names = append(names, r.What)
			}
		}
		return names
	}
	dir := edited(t, "vit/testdata/clip_vision-gelu", func(map[string]any) {})
	config := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, []byte(strings.Replace(string(raw), `"hidden_act": "gelu"`, `"hidden_act": "quick_gelu"`, 1)), 0o644))
	rows := run(dir).Rows
	require.Equal(t, []string{"hidden_states", "pooled", "features.cls_patch", "features.patch"}, failed(rows))

	dir = edited(t, "connector/llava/testdata/llava", func(f map[string]any) { f["checkpoints"] = []string{"transformers-4", "missing", "original"} })
	require.NoError(t, os.Truncate(filepath.Join(dir, "transformers-4", "model.safetensors"), 5000))
	rows = run(dir).Rows
	require.Equal(t, []string{"transformers-4: load and compute", "missing: load and compute"}, failed(rows))
	require.Greater(t, len(rows), 8)

	for _, c := range []struct {
		edit func(map[string]any)
		want string
	}{
		{func(f map[string]any) { f["task"] = "llava_video" }, `task "llava_video" is not supported`},
		{func(f map[string]any) { f["checkpoints"] = []string{} }, "checkpoints: none are listed"},
		{func(f map[string]any) { f["checkpoints"] = []string{"../.."} }, `"../.." leads out of the case's folder`},
	} {
		require.Contains(t, run(edited(t, "connector/llava/testdata/llava_next", c.edit)).Note, c.want)
	}
	rows = run(edited(t, "connector/llava/testdata/llava_next", func(f map[string]any) {
		f["views_per_image"] = []int{4, 9}
	})).Rows
	require.Contains(t, rows[0].Detail, "views_per_image [4 9]: at most 5 are there")
}

func TestDamaged(t *testing.T) {
	for dir, task := range map[string]verify.Task{"vit/testdata/clip": CLIP, "vit/testdata/s2_features": S2Features,
		"connector/llava/testdata/llava_next":            LLaVA,
		"connector/llava/testdata/llava_onevision-video": Media, "connector/llava/testdata/video_llava": Media} {
		casetest.Damaged(t, task, filepath.Join("../../..", dir))
	}
}
