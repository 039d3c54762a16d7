package tokenizer_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/casetest"
)

// TestReference compares every case folder with what the reference programs gave.
func TestReference(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*/case.json")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, d := range dirs {
		dir := filepath.Dir(d)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			casetest.Passes(t, dir, 1)
		})
	}
}

// TestReferenceCanFail makes sure that the comparison notices a wrong id.
func TestReferenceCanFail(t *testing.T) {
	casetest.Fails(t, "testdata/cases/llama-sp", "cases.jsonl", `"ids":[`, `"ids":[7`, "ids: ")
}
