package tokenizercase

import (
	"os"
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
func others(dir string, c *caseFile, config tokenizer.Config, cases []idRow, texts map[int]string) ([]Row, error) {
	var rows []Row
	check := func(what, file string, config tokenizer.Config, want func(r idRow) []int32) error {
		t, err := tokenizer.LoadConfig(filepath.Join(dir, file), config)
		if err != nil {
			return err
		}
		n := &tally{what: what}
		for _, r := range cases {
			got, want := t.Wrap(t.EncodeSpecial(texts[r.I])), want(r)
			n.check(slices.Equal(got, want), "text %d %q: got %v, want %v", r.I, texts[r.I], got, want)
		}
		rows = append(rows, n.row())
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
			return nil, err
		}
	}
	switch c.Kind {
	case "wordpiece":
		if exists("tokenizer.json") {
			if err := check("fast", "tokenizer.json", tokenizer.Config{}, either(func(r idRow) []int32 { return r.Fast })); err != nil {
				return nil, err
			}
		}
	case "clip-bpe":
		if exists("vocab.json") && exists("merges.txt") {
			if err := check("vocab.json", "vocab.json", config, ids); err != nil {
				return nil, err
			}
		}
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
				return nil, err
			}
		}
	default:
		if exists("vocab.json") && exists("merges.txt") {
			if err := check("vocab.json", "vocab.json", config, ids); err != nil {
				return nil, err
			}
		}
	}
	if c.Context == "" {
		return rows, nil
	}
	fast, err := tokenizer.Load(filepath.Join(dir, c.Load.File))
	if err != nil {
		return nil, err
	}
	openAI, err := tokenizer.LoadConfig(filepath.Join(dir, c.Load.File), tokenizer.Config{Cleaning: tokenizer.CleanOpenAI})
	if err != nil {
		return nil, err
	}
	n := &tally{what: "context"}
	err = lines(filepath.Join(dir, c.Context), func(r contextRow) {
		text := texts[r.I]
		a, b := fast.Context(text, len(r.HF)), openAI.Context(text, len(r.OpenAI))
		n.check(slices.Equal(a, r.HF), "hf: text %d %q: got %v, want %v", r.I, text, a, r.HF)
		n.check(slices.Equal(b, r.OpenAI), "openai: text %d %q: got %v, want %v", r.I, text, b, r.OpenAI)
	})
	if err != nil {
		return nil, err
	}
	return append(rows, n.row()), nil
}
