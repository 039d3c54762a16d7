package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// At toy size all three parts train, and what is saved is loaded again: the bridge apart from its frozen parts.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run([]string{"-steps", "6", "-batch", "3", "-test", "5", "-out", dir}, &out))
	for _, row := range []string{"gates at 0", "trained", "shuffled pictures", "mean picture"} {
		require.Contains(t, out.String(), row+" ")
	}
	m, err := flamingo.Load(dir, flamingo.LoadOptions{})
	require.NoError(t, err)
	alone, err := llm.Load(dir+"/lm", nn.LoadOptions{})
	require.NoError(t, err)
	bytes := map[string][]byte{}
	for name, p := range nn.Params(alone) {
		bytes[name] = p.Bytes()
	}
	for name, p := range nn.Params(m.Language) {
		require.Equal(t, bytes[name], p.Bytes(), name)
	}
	opened := false
	for name, p := range nn.Params(m.Connector) {
		opened = opened || nn.Match("**.attn_gate", name) && p.Data()[0] != 0
	}
	require.True(t, opened, "the gates have left 0")

	require.Error(t, run([]string{"-steps", "many"}, &out))
}

// The examples of a prompt follow one rule, and its words are what the pictures show.
func TestPrompt(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(2))
	require.NoError(t, err)
	g := &game{World: w, words: vocabulary()}
	seen := map[int]bool{}
	for i := range 12 {
		s, scenes, rule := g.prompt(shapes.Test, i)
		seen[rule] = true
		for k, scene := range scenes {
			require.Equal(t, int32(g.words[answer(scene, rule)]), s.IDs[2+3*k])
		}
	}
	require.Len(t, seen, 3)
}
