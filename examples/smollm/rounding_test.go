package main

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

var (
	rounded = flag.String("rounded", "", "measure what rounding costs the model in this GGUF `file`")
	text    = flag.String("text", "../../LICENSE", "a text `file` whose first 2,048 tokens give the perplexity")
)

// TestRounding prints how answers and perplexity with rounding differ from those without.
func TestRounding(t *testing.T) {
	if *rounded == "" {
		t.Skip("measures a downloaded model, if -rounded names it")
	}
	exact, err := llm.Load(*rounded, nn.LoadOptions{Alias: true})
	require.NoError(t, err)
	rounding, err := llm.Load(*rounded, nn.LoadOptions{Alias: true, Rounding: true})
	require.NoError(t, err)
	tok, err := tokenizer.Load(*rounded)
	require.NoError(t, err)
	template, err := chat.FromTokenizer(tok)
	require.NoError(t, err)
	template, _ = template.WithSystem("") // as compare.py asks

	raw, err := os.ReadFile(*text)
	require.NoError(t, err)
	ids := tok.Encode(string(raw))
	ids = ids[:min(len(ids), 2048)]
	var perplexity [2]float64
	for i, m := range []llm.Model{exact, rounding} {
		perplexity[i], err = llm.Perplexity(t.Context(), m, ids, 0)
		require.NoError(t, err)
	}
	t.Logf("perplexity of %d tokens of %s: %.4f, with rounding %.4f", len(ids), *text, perplexity[0], perplexity[1])

	prompts, err := os.ReadFile("testdata/prompts.txt")
	require.NoError(t, err)
	asked, same, tokens, likeliest, worst := 0, 0, 0, 0, float32(0)
	for q := range strings.Lines(string(prompts)) {
		turns := []chat.Turn{{From: chat.Human, Value: strings.TrimSpace(q)}, {From: chat.GPT, Open: true}}
		spans, err := template.Spans(turns)
		require.NoError(t, err)
		prompt := template.Encode(tok, spans, chat.Options{}).IDs
		var answers [2][]int32
		for i, m := range []llm.Model{exact, rounding} {
			g, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{prompt}},
				llm.Options{MaxNewTokens: 40, PAD: -1})
			require.NoError(t, err)
			answers[i] = g.IDs[0]
		}
		asked++
		if slices.Equal(answers[0], answers[1]) {
			same++
		}
		forced := slices.Concat(prompt, answers[1])
		x := exact.Embed(tensor.Ints(forced, 1, len(forced))).NoGrad()
		z := llm.Logits(exact, exact.Hidden(llm.Input{Embeds: x}))
		V := z.Dim(-1)
		for i, id := range answers[1] {
			row := z.Data()[(len(prompt)+i-1)*V:][:V]
			gap := slices.Max(row) - row[id]
			tokens++
			if gap == 0 {
				likeliest++
			}
			worst = max(worst, gap)
		}
	}
	t.Logf("answers with rounding: %d of %d are those without; of their %d tokens %d are the likeliest without "+
		"rounding, the others at most %.3f of a logit below it", same, asked, tokens, likeliest, worst)
}
