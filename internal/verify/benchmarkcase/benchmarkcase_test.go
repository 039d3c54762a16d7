package benchmarkcase_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/benchmarkcase"
)

func TestReferenceCases(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*")
	require.NoError(t, err)
	require.Len(t, dirs, 21)
	for _, dir := range dirs {
		rows, err := benchmarkcase.Run(dir)
		require.NoError(t, err, dir)
		require.NotEmpty(t, rows, dir)
		for _, r := range rows {
			require.True(t, r.Pass, "%s: %s: %s", dir, r.What, r.Detail)
		}
	}
	rows, err := benchmarkcase.Run("testdata/captions")
	require.NoError(t, err)
	require.Equal(t, "132 of 132", rows[len(rows)-1].Detail, "the tokens, which do not fail a case, agree too")
}

// A check that cannot fail proves nothing: each benchmark must notice a changed expectation.
func TestChangedExpectationsFail(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new string }{
		{"pope", "case.json", `"TP": 24`, `"TP": 25`},
		{"pope", "case.json", `"mean_f1": 0.79723239`, `"mean_f1": 0.79723240`},
		{"pope", "parse.jsonl", `"answer": "yes"`, `"answer": "no"`},
		{"pope-missing", "direct.json", `"missing": 2`, `"missing": 3`},
		{"pope-order", "case.json", `"FP": 24`, `"FP": 23`},
		{"pope-all-no", "case.json", `ZeroDivisionError`, `KeyError`},
		{"pope-build", "popular.jsonl", `"label": "no"`, `"label": "yes"`},
		{"pope-build-plain", "case.json", `"tractor": 16`, `"tractor": 17`},
		{"scienceqa", "case.json", `"acc": 12.5`, `"acc": 12.51`},
		{"scienceqa", "case.json", `"18682": 0`, `"18682": 1`},
		{"scienceqa", "prompts.jsonl", `The answer is A.`, `The answer is B.`},
		{"mme", "case.json", `"acc_plus": 0.14285714285714285`, `"acc_plus": 0.1428571428571432`},
		{"mme", "convert.jsonl", `  Please`, `   Please`},
		{"textvqa", "case.json", `0.5475000000000001`, `0.5475`},
		{"textvqa", "scores.jsonl", `"score": 0.0`, `"score": 0.3`},
		{"textvqa", "anls.jsonl", `"anls": 0.75`, `"anls": 0.7501`},
		{"vqav2", "case.json", `"overall": 62.83`, `"overall": 62.84`},
		{"vqav2", "case.json", `"overall": 56.67`, `"overall": 56.66`},
		{"vqav2", "case.json", `"262148002": 90.0`, `"262148002": 100.0`},
		{"vqav2-upload", "upload.json", `"answer": "2"`, `"answer": "two"`},
		{"gqa", "case.json", `Consistency: 35.71%`, `Consistency: 35.72%`},
		{"gqa", "predictions.json", `"prediction": "magenta"`, `"prediction": "Magenta"`},
		{"vizwiz", "case.json", `error_line: 0`, `error_line: 1`},
		{"mmbench", "case.json", `"241": 0`, `"241": 1`},
		{"mmbench", "parse.jsonl", `"answer": "B"`, `"answer": "C"`},
		{"mmbench", "prompts.jsonl", `请直接回答`, `请回答`},
		{"mmvet", "case.json", `"ocr": "57.5"`, `"ocr": "57.4"`},
		{"mmvet", "calls.jsonl", `"temperature": 0.5`, `"temperature": 1.0`},
		{"mmmu", "case.json", `"acc": 0.636`, `"acc": 0.637`},
		{"mmmu", "parse_open.jsonl", `"correct": true`, `"correct": false`},
		{"mathvista", "case.json", `"correct": 26`, `"correct": 27`},
		{"mathvista", "extract.jsonl", `"extraction": null`, `"extraction": "1"`},
		{"llavabench", "case.json", `all 71.9`, `all 72.0`},
		{"llavabench", "case.json", `106.7`, `106.8`},
		{"llavabench", "requests.jsonl", `[Question]`, `[question]`},
		{"llavabench", "review.jsonl", `"id": 2`, `"id": 3`},
		{"seedbench", "case.json", `Total accuracy: 53.33%`, `Total accuracy: 53.34%`},
		{"seedbench", "upload.jsonl", `"prediction": "D"`, `"prediction": "C"`},
		{"captions", "case.json", `0.5253009066`, `0.5253009166`},
		{"captions", "scores.jsonl", `"CIDEr": 6.57649`, `"CIDEr": 6.57648`},
		{"chair", "case.json", `"CHAIRs": 0.8`, `"CHAIRs": 0.85`},
		{"chair", "rows.jsonl", `"hallucinated": ["tie"]`, `"hallucinated": []`},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", c.dir))))
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.Replace(string(b), c.old, c.new, 1)
		require.NotEqual(t, string(b), changed, "%s: %s", c.dir, c.old)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		rows, err := benchmarkcase.Run(dir)
		require.NoError(t, err)
		failed := 0
		for _, r := range rows {
			if !r.Pass {
				failed++
			}
		}
		require.NotZero(t, failed, "%s: %s in place of %s is not noticed", c.dir, c.new, c.old)
	}
}

func TestRunRefusesOtherFolders(t *testing.T) {
	_, err := benchmarkcase.Run(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	dir := t.TempDir()
	for text, says := range map[string]string{
		`{"format": 1, "task": "prompt"}`:                                                      "want benchmark",
		`{"format": 1, "task": "benchmark", "benchmark": "tea"}`:                               `benchmark "tea" is not supported`,
		`{"format": 1, "task": "benchmark", "benchmark": "mme", "files": {"results": "../x"}}`: "leads out",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(text), 0o644))
		_, err := benchmarkcase.Run(dir)
		require.ErrorContains(t, err, says)
	}
}
