package tokenizercase

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
)

type contextRow struct {
	I      int     `json:"i"`
	HF     []int32 `json:"hf"`
	OpenAI []int32 `json:"openai"`
}

// others compares the other files that hold the same tokenizer, and the other ways to read them.
func others(r *verify.Report, c *caseFile, config tokenizer.Config, cases []idRow, texts map[int]string) error {
	dir := r.Dir
	check := func(what, file string, config tokenizer.Config, want func(r idRow) []int32) error {
		t, err := tokenizer.LoadConfig(filepath.Join(dir, file), config)
		if err != nil {
			return err
		}
		n := verify.Tally{What: what}
		for _, x := range cases {
			got, want := t.Wrap(t.EncodeSpecial(texts[x.I])), want(x)
			n.Check(slices.Equal(got, want), "text %d %q: got %v, want %v", x.I, texts[x.I], got, want)
		}
		r.Add(n.Row())
		return nil
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
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if exists("tokenizer_config.json") && c.Kind != "wordpiece" {
		if err := check("folder", ".", tokenizer.Config{}, ids); err != nil {
			return err
		}
	}
	if c.Kind == "wordpiece" && exists("tokenizer.json") {
		if err := check("fast", "tokenizer.json", tokenizer.Config{},
			either(func(r idRow) []int32 { return r.Fast })); err != nil {
			return err
		}
	}
	if c.Kind != "wordpiece" && exists("vocab.json") && exists("merges.txt") {
		if err := check("vocab.json", "vocab.json", config, ids); err != nil {
			return err
		}
	}
	if c.Kind == "clip-bpe" {
		for _, x := range []struct {
			what string
			how  tokenizer.Cleaning
			ids  func(idRow) []int32
		}{
			{"slow", tokenizer.CleanSlow, func(r idRow) []int32 { return r.Slow }},
			{"slow_ftfy", tokenizer.CleanFtfy, func(r idRow) []int32 { return r.Ftfy }},
			{"openai", tokenizer.CleanOpenAI, func(r idRow) []int32 { return r.OpenAI }},
		} {
			if err := check(x.what, c.Load.File, tokenizer.Config{Cleaning: x.how}, either(x.ids)); err != nil {
				return err
			}
		}
	}
	if c.Context == "" {
		return nil
	}
	fast, err := tokenizer.Load(filepath.Join(dir, c.Load.File))
	if err != nil {
		return err
	}
	openAI, err := tokenizer.LoadConfig(filepath.Join(dir, c.Load.File), tokenizer.Config{Cleaning: tokenizer.CleanOpenAI})
	if err != nil {
		return err
	}
	n := verify.Tally{What: "context"}
	err = verify.EachLine(dir, c.Context, func(x contextRow) error {
		text := texts[x.I]
		a, b := fast.Context(text, len(x.HF)), openAI.Context(text, len(x.OpenAI))
		n.Check(slices.Equal(a, x.HF), "hf: text %d %q: got %v, want %v", x.I, text, a, x.HF)
		n.Check(slices.Equal(b, x.OpenAI), "openai: text %d %q: got %v, want %v", x.I, text, b, x.OpenAI)
		return nil
	})
	r.Add(verify.Rows(&n)...)
	return err
}
