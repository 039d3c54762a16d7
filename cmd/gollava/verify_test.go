package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
)

// gollava runs the program.
func gollava(args ...string) (status int, out, err string) {
	var o, e bytes.Buffer
	status = run(context.Background(), args, &o, &e)
	return status, o.String(), e.String()
}

const trainCases = "../../internal/verify/testdata/train/"

func TestVerify(t *testing.T) {
	status, out, _ := gollava("verify", trainCases+"adamw", trainCases+"schedule")
	require.Zero(t, status, out)
	require.Regexp(t, `(?m)adamw .* pass$`, out)

	status, out, _ = gollava("verify", "-json", trainCases+"schedule")
	require.Zero(t, status)
	var r verify.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, "schedule", r.Task)
	require.True(t, r.Pass())
	require.NotEmpty(t, r.Rows)
}

func TestVerifyAutocast(t *testing.T) {
	status, out, err := gollava("verify", "--autocast", trainCases+"schedule", "../../vit/testdata/clip_vision-gelu")
	require.Zero(t, status, out)
	require.Regexp(t, `(?m)clip_vision-gelu .* 0\.04 rel +pass$`, out)
	require.NotContains(t, out, "schedule")
	require.Contains(t, err, "1 of 2 cases agree, the others say nothing about bfloat16")
	status, _, err = gollava("verify", "--autocast", trainCases+"schedule")
	require.Equal(t, 1, status)
	require.Contains(t, err, "no case says anything about bfloat16")
}

func TestVerifyFails(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown": {`{"format": 1, "task": "telepathy"}`, `task "telepathy" is not supported`},
		"format":  {`{"format": 2, "task": "adamw"}`, "format 2 is not supported"},
		"broken":  {`{"format": 1, `, "unexpected end of JSON"},
		"empty":   {`{"format": 1, "task": "adamw"}`, "nothing was compared"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(c.text), 0o644))
		status, out, err := gollava("verify", dir, trainCases+"schedule")
		require.Equal(t, 1, status, name)
		require.Contains(t, out, "FAIL")
		require.Contains(t, out, c.says)
		require.Contains(t, err, "1 of 2 cases failed")
	}
	status, _, err := gollava("verify", t.TempDir())
	require.Equal(t, 1, status)
	require.Contains(t, err, "no case.json")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"verify", "--help"}, {"help", "verify"}} {
		status, out, _ := gollava(args...)
		require.Zero(t, status)
		require.Contains(t, out, "verify")
	}
	status, _, err := gollava("verify", "-nonsense", "x")
	require.Equal(t, 2, status)
	require.Contains(t, err, "nonsense")
}
