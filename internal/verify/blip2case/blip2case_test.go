package blip2case

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
)

func run(dir string) verify.Result {
	return verify.Run(dir, map[string]verify.Task{"blip2_vision": Vision, "blip2_qformer": QFormer,
		"blip2": Joined, "instructblip": Joined, "blip2_stage1": Stage1})
}

// The packages' own cases pass, whole.
func TestRun(t *testing.T) {
	for dir, least := range map[string]int{"vit/testdata/blip2_vision": 33,
		"connector/blip2/testdata/blip2_stage1": 140,
		"connector/blip2/testdata/instructblip": 85, "connector/blip2/testdata/blip2-t5": 65} {
		r := run(filepath.Join("../../..", dir))
		require.True(t, r.Pass(), "%s: %s", dir, r.Note)
		require.GreaterOrEqual(t, len(r.Rows), least, dir)
	}
}

// What a case's config changes is noticed.
func TestRunNotices(t *testing.T) {
	for _, c := range []struct{ dir, old, new, fails string }{
		{"vit/testdata/blip2_vision", `"hidden_act": "gelu"`, `"hidden_act": "quick_gelu"`, "hidden_states"},
		{"vit/testdata/blip2_vision", `"num_attention_heads": 3`, `"num_attention_heads": 2`, "last_hidden_state"},
		{"vit/testdata/blip2_vision", `"qkv_bias": true`, `"qkv_bias": false`, "load and compute"},
		{"connector/blip2/testdata/instructblip", `"cross_attention_frequency": 2`, `"cross_attention_frequency": 1`,
			"load and compute"},
		{"connector/blip2/testdata/instructblip", `"num_attention_heads": 2`, `"num_attention_heads": 4`,
			"query_output"},
		{"connector/blip2/testdata/blip2-t5", `"relative_attention_max_distance": 12`,
			`"relative_attention_max_distance": 9`, "logits"},
		{"connector/blip2/testdata/blip2-t5", `"scale_decoder_outputs": false`, `"scale_decoder_outputs": true`,
			"logits"},
		{"connector/blip2/testdata/blip2_stage1", `"layer_norm_eps": 0.001`, `"layer_norm_eps": 0.002`, "itg_logits"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("../../..", c.dir))))
		path := filepath.Join(dir, "config.json")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(b), c.old)
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(b), c.old, c.new, 1)), 0o600))
		var failed []string
		for _, r := range run(dir).Rows {
			if !r.Pass {
				failed = append(failed, r.What)
			}
		}
		require.Contains(t, failed, c.fails, c.new)
	}
}
