package verify

import (
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
)

type contextRow struct {
	I      int     `json:"i"`
	HF     []int32 `json:"hf"`
	OpenAI []int32 `json:"openai"`
}

// others compares the other files that hold the same tokenizer, and the other ways to read them.
func others(r *Report, c *tokenizerCase, config tokenizer.Config, cases []idRow, texts map[int]string) {
	compare := func(what, file string, config tokenizer.Config, want func(r idRow) []int32) {
		t := must(tokenizer.LoadConfig(filepath.Join(r.Dir, file), config))
		n := tally{What: what}
		for _, x := range cases {
			got, want := t.Wrap(t.EncodeSpecial(texts[x.I])), want(x)
			n.check(slices.Equal(got, want), "text %d %q: got %v, want %v", x.I, texts[x.I], got, want)
		}
		r.add(n.row())
	}
	ids := func(r idRow) []int32 { return r.IDs }
	either := func(other func(idRow) []int32) func(idRow) []int32 {
		return func(r idRow) []int32 {
			if x := other(r); x != nil {
				return x
			}
			return r.IDs
		}
	}
	has := func(name string) bool { return exists(filepath.Join(r.Dir, name)) }
	if has("tokenizer_config.json") && c.Kind != "wordpiece" {
		compare("folder", ".", tokenizer.Config{}, ids)
	}
	if c.Kind == "wordpiece" && has("tokenizer.json") {
		compare("fast", "tokenizer.json", tokenizer.Config{}, either(func(x idRow) []int32 { return x.Fast }))
	}
	if c.Kind != "wordpiece" && has("vocab.json") && has("merges.txt") {
		compare("vocab.json", "vocab.json", config, ids)
	}
	if c.Kind == "clip-bpe" {
		for _, x := range []struct {
			what string
			how  tokenizer.Cleaning
			ids  func(idRow) []int32
		}{
			{"slow", tokenizer.CleanSlow, func(x idRow) []int32 { return x.Slow }},
			{"slow_ftfy", tokenizer.CleanFtfy, func(x idRow) []int32 { return x.Ftfy }},
			{"openai", tokenizer.CleanOpenAI, func(x idRow) []int32 { return x.OpenAI }},
		} {
			compare(x.what, c.Load.File, tokenizer.Config{Cleaning: x.how}, either(x.ids))
		}
	}
	if c.Context == "" {
		return
	}
	file := filepath.Join(r.Dir, c.Load.File)
	fast := must(tokenizer.Load(file))
	openAI := must(tokenizer.LoadConfig(file, tokenizer.Config{Cleaning: tokenizer.CleanOpenAI}))
	r.tally("context", func(n *tally) {
		eachLine(inside(r.Dir, c.Context), func(x contextRow) {
			text := texts[x.I]
			a, b := fast.Context(text, len(x.HF)), openAI.Context(text, len(x.OpenAI))
			n.check(slices.Equal(a, x.HF), "hf: text %d %q: got %v, want %v", x.I, text, a, x.HF)
			n.check(slices.Equal(b, x.OpenAI), "openai: text %d %q: got %v, want %v", x.I, text, b, x.OpenAI)
		})
	})
}
