package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantise(t *testing.T) {
	const model = "../../internal/verify/testdata/gguf/llama/model-q4_0.gguf"
	var out strings.Builder
	to := filepath.Join(t.TempDir(), "small.gguf")
	c := console{out: &out, err: &strings.Builder{}}
	require.NoError(t, quantiseCommand{Model: model, Out: to, Type: "q8_0", Text: "quantise_test.go", Limit: 200}.Run(c))
	require.Regexp(t, `blk\.0\.attn_q\.weight +Q8_0 +0\.\d+%`, out.String())
	require.Regexp(t, `perplexity before: \d+\.\d+ on 200 tokens`, out.String())
	require.Regexp(t, `perplexity after: \d+\.\d+ on 200 tokens`, out.String())
	require.ErrorContains(t, quantiseCommand{Model: to, Out: to, Type: "q8_0"}.Run(c), "is what is read")
	require.ErrorContains(t, quantiseCommand{Model: model, Out: "x.bin", Type: "q8_0"}.Run(c), "must end in .gguf")
	out.Reset()
	require.ErrorContains(t, quantiseCommand{Model: model, Out: to, Type: "q3"}.Run(c), `type "q3" is not known`)
	require.Empty(t, out.String()) // not the head of a table that does not come
	require.ErrorContains(t, quantiseCommand{Model: "quantise_test.go", Out: to, Type: "q8_0"}.Run(c), "quantise_test.go")
}
