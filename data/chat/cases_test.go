package chat_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/casetest"
)

// cases returns a copy of the reference cases, in which the tokenizers of one model have that model each.
func cases(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "cases")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/cases")))
	model, err := os.ReadFile("../tokenizer/testdata/cases/llama/tokenizer.model")
	require.NoError(t, err)
	toks, err := filepath.Glob(filepath.Join(dir, "tokenizers", "*"))
	require.NoError(t, err)
	for _, tok := range toks {
		if _, err := os.Stat(filepath.Join(tok, "tokenizer.json")); err != nil {
			require.NoError(t, os.WriteFile(filepath.Join(tok, "tokenizer.model"), model, 0o644))
		}
	}
	return dir
}

// TestReferenceCases compares prompts, ids and labels with LLaVA's, LLaVA-NeXT's and LLaVA++'s.
func TestReferenceCases(t *testing.T) {
	dir := cases(t)
	for _, name := range []string{"llava", "next", "phi3"} {
		casetest.Passes(t, filepath.Join(dir, name), 3)
	}
}

// TestChangedExpectationsFail makes sure that each comparison notices a difference.
func TestChangedExpectationsFail(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new, what string }{
		{"llava", "cases.jsonl", `"ids":[1,350,728`, `"ids":[1,351,728`, "ids"},
		{"llava", "cases.jsonl", `"direct":[[66,77]]`, `"direct":[[67,77]]`, "labels"},
		{"llava", "cases.jsonl", `"prompt":"A chat`, `"prompt":"A Chat`, "prompts"},
		{"llava", "cases.jsonl", `"multimodal":["<image>\n`, `"multimodal":["<image> `, "turns with pictures"},
		{"llava", "cases.jsonl", `"spans":[[66,77]],"direct"`, `"error":"KeyError","direct"`, "refused conversations"},
		{"llava", "image_token.jsonl", `"ids":[1,-200]`, `"ids":[-200]`, "ids of texts with pictures"},
		{"next", "cases.jsonl", `"spans":[[0,1],`, `"spans":[[0,2],`, "labels by the reference's rule"},
	} {
		dir := cases(t)
		casetest.Change(t, filepath.Join(dir, c.dir, c.file), c.old, c.new)
		casetest.Notices(t, filepath.Join(dir, c.dir), c.what+": ")
	}
}
