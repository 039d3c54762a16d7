package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

var compared = flag.String("compare", "",
	"answer the requests in this folder, of testdata/compare.py, which compares with llama.cpp and others")

// requests are what compare.py asks for.
type requests struct {
	Model         string
	Texts         []string
	Conversations [][]chat.Turn
	Prompts       [][]int32
	Tokens        int
	Forced        []struct { // answers of another program, to be judged
		IDs   []int32
		Start int // of the answer
	}
	Speed []int // tokens to read, and to write
}

// judged is where a forced answer leaves the likeliest tokens, computed without rounding.
type judged struct {
	At  int     `json:"at"`  // in the answer
	Gap float32 `json:"gap"` // of logits, from the token that was chosen to the likeliest
	Top float32 `json:"top"` // from the second likeliest to the likeliest
}

// TestCompare does what compare.py asks for.
func TestCompare(t *testing.T) {
	if *compared == "" {
		t.Skip("a part of testdata/compare.py, which gives -compare")
	}
	raw, err := os.ReadFile(filepath.Join(*compared, "requests.json"))
	require.NoError(t, err)
	var r requests
	require.NoError(t, json.Unmarshal(raw, &r))
	tok, err := tokenizer.Load(r.Model)
	require.NoError(t, err)
	answers := map[string]any{}
	var ids [][]int32
	var texts []string
	for _, s := range r.Texts {
		ids = append(ids, tok.Encode(s))
		texts = append(texts, tok.Decode(ids[len(ids)-1]))
	}
	answers["ids"], answers["decoded"] = ids, texts
	template, err := chat.FromTokenizer(tok)
	require.NoError(t, err)
	var rendered []string
	for _, turns := range r.Conversations {
		x := template
		if turns[0].From == "system" {
			x, _ = template.WithSystem(turns[0].Value)
			turns = turns[1:]
		}
		text, err := x.Render(turns)
		require.NoError(t, err)
		rendered = append(rendered, text)
	}
	answers["rendered"] = rendered
	exact, err := llm.Load(r.Model, nn.LoadOptions{Alias: true})
	require.NoError(t, err)
	rounding, err := llm.Load(r.Model, nn.LoadOptions{Alias: true, Rounding: true})
	require.NoError(t, err)
	for name, m := range map[string]llm.Model{"exact": exact, "rounding": rounding} {
		var out [][]int32
		for _, p := range r.Prompts {
			g, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{p}},
				llm.Options{MaxNewTokens: r.Tokens, PAD: -1})
			require.NoError(t, err)
			out = append(out, g.IDs[0])
		}
		answers[name] = out
	}
	var verdicts [][]judged
	positions := 0
	for _, f := range r.Forced {
		z := llm.Logits(exact, exact.Hidden(llm.Input{Embeds: exact.Embed(tensor.Ints(f.IDs, 1, len(f.IDs))).NoGrad()}))
		V := z.Dim(-1)
		var list []judged
		for i := f.Start; i < len(f.IDs); i++ {
			row := z.Data()[(i-1)*V:][:V]
			sorted := slices.Sorted(slices.Values(row))
			if gap := sorted[V-1] - row[f.IDs[i]]; gap > 0 {
				list = append(list, judged{i - f.Start, gap, sorted[V-1] - sorted[V-2]})
			}
			positions++
		}
		verdicts = append(verdicts, list)
	}
	answers["judged"], answers["positions"] = verdicts, positions
	if len(r.Speed) == 2 {
		read, write := speed(t, rounding, r.Speed[0], r.Speed[1])
		answers["read"], answers["write"] = read, write
	}
	raw, err = json.Marshal(answers)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(*compared, "answers.json"), raw, 0o600))
}

// speed is how many tokens a second are read and written.
func speed(t *testing.T, m llm.Model, n, more int) (read, write float64) {
	prompt := make([]int32, n)
	for i := range prompt {
		prompt[i] = int32(100 + i%1000)
	}
	var first, last time.Time
	start := time.Now()
	count := 0
	_, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{prompt}},
		llm.Options{MaxNewTokens: more, PAD: -1, EOS: []int{},
			OnToken: func(int, int32) error {
				if last = time.Now(); count == 0 {
					first = last
				}
				count++
				return nil
			}})
	require.NoError(t, err)
	return float64(n) / first.Sub(start).Seconds(), float64(count-1) / last.Sub(first).Seconds()
}
