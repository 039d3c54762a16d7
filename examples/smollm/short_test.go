package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// TestShort runs the lines that docs/quantised.md shows.
func TestShort(t *testing.T) {
	const path = "../../internal/verify/testdata/gguf/qwen2/model-f16.gguf"
	check := func(err error) { require.NoError(t, err) }
	ctx := context.Background()

	m, err := llm.Load(path, nn.LoadOptions{Alias: true}) // weights stay in the file's mapping
	check(err)
	tok, err := tokenizer.Load(path)
	check(err)
	template, err := chat.FromTokenizer(tok)
	check(err)
	spans, err := template.Spans([]chat.Turn{{From: chat.Human, Value: "Who wrote Hamlet?"},
		{From: chat.GPT, Open: true}})
	check(err)
	prompt := template.Encode(tok, spans, chat.Options{}).IDs
	g, err := llm.Generate(ctx, m, llm.Prompts{IDs: [][]int32{prompt}}, llm.Options{MaxNewTokens: 64, PAD: -1})
	check(err)
	fmt.Println(tok.Decode(g.IDs[0]))

	require.NotEmpty(t, g.IDs[0])
}
