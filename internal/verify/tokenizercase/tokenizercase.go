// Package tokenizercase compares tokenizers with what reference programs wrote into case folders.
package tokenizercase

import (
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
)

type caseFile struct {
	Kind string `json:"kind"`
	Load struct {
		File   string                 `json:"file"`
		Or     []string               `json:"or"`
		Class  string                 `json:"class"`
		Legacy *bool                  `json:"legacy"`
		AddBOS *bool                  `json:"add_bos"`
		AddEOS *bool                  `json:"add_eos"`
		Extra  int                    `json:"extra_ids"`
		Added  []tokenizer.AddedToken `json:"added_tokens"`
		Lower  *bool                  `json:"do_lower_case"`
	} `json:"load"`
	Texts   string `json:"texts"`
	Cases   string `json:"cases"`
	Streams string `json:"streams"`
	Context string `json:"context"`
}

type textRow struct {
	I    int    `json:"i"`
	Text string `json:"text"`
}

type idRow struct {
	I       int      `json:"i"`
	IDs     []int32  `json:"ids"`
	Decoded *string  `json:"decoded"`
	Pieces  []string `json:"pieces"`
	Literal []int32  `json:"literal"`
	Fast    []int32  `json:"fast"`
	Slow    []int32  `json:"slow"`
	Ftfy    []int32  `json:"slow_ftfy"`
	OpenAI  []int32  `json:"openai"`
}

type streamRow struct {
	Prompt []int32  `json:"prompt_ids"`
	IDs    []int32  `json:"ids"`
	Inc    []string `json:"inc"`
	Flush  string   `json:"flush"`
}

// Run checks the task tokenizer: a tokenizer's ids, text, pieces and streams, and the other files that hold it.
func Run(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		list, err := verify.Lines[textRow](filepath.Join(dir, c.Texts)) // beside the folder
		if err != nil {
			return err
		}
		texts := map[int]string{}
		for _, x := range list {
			texts[x.I] = x.Text
		}
		config := tokenizer.Config{Class: c.Load.Class, Legacy: c.Load.Legacy, AddBOS: c.Load.AddBOS,
			AddEOS: c.Load.AddEOS, ExtraIDs: c.Load.Extra, Added: c.Load.Added, Lower: c.Load.Lower}
		t, err := tokenizer.LoadConfig(filepath.Join(dir, c.Load.File), config)
		if err != nil {
			return err
		}
		cases, err := verify.Lines[idRow](filepath.Join(dir, c.Cases))
		if err != nil {
			return err
		}
		r.Add(compare(t, cases, texts)...)
		if err := others(r, &c, config, cases, texts); err != nil {
			return err
		}
		if c.Streams == "" {
			return nil
		}
		n := verify.Tally{What: "streams"}
		if err := verify.EachLine(dir, c.Streams, func(x streamRow) error {
			compareStream(&n, t, x)
			return nil
		}); err != nil {
			return err
		}
		r.Add(n.Row())
		return nil
	})
}

// compare checks ids, text, pieces and literal ids.
func compare(t *tokenizer.Tokenizer, cases []idRow, texts map[int]string) []verify.Row {
	ids, decoded, pieces := verify.Tally{What: "ids"}, verify.Tally{What: "decoded"}, verify.Tally{What: "pieces"}
	literal, offsets := verify.Tally{What: "literal"}, verify.Tally{What: "offsets"}
	hasLiteral := slices.ContainsFunc(cases, func(r idRow) bool { return r.Literal != nil })
	for _, r := range cases {
		text := texts[r.I]
		raw := t.EncodeSpecial(text)
		got := t.Wrap(raw)
		ids.Check(slices.Equal(got, r.IDs), "text %d %q: got %v, want %v", r.I, text, got, r.IDs)
		want := text
		if r.Decoded != nil {
			want = *r.Decoded
		}
		s := t.Decode(r.IDs)
		decoded.Check(s == want, "text %d %q: got %q, want %q", r.I, text, s, want)
		if r.Pieces != nil {
			p := pieceStrings(t, text, raw)
			pieces.Check(slices.Equal(p, r.Pieces), "text %d %q: got %q, want %q", r.I, text, p, r.Pieces)
		}
		if hasLiteral {
			want := r.Literal
			if want == nil {
				want = r.IDs
			}
			got := t.Wrap(t.Encode(text))
			literal.Check(slices.Equal(got, want), "text %d %q: got %v, want %v", r.I, text, got, want)
		}
		checkOffsets(&offsets, t, r.I, text, raw)
	}
	return verify.Rows(&ids, &decoded, &pieces, &literal, &offsets)
}

// pieceStrings adds what Wrap adds to the strings of a text's tokens.
func pieceStrings(t *tokenizer.Tokenizer, text string, raw []int32) []string {
	inner := t.Pieces(text)
	all := t.Wrap(raw)
	before := len(t.Wrap(nil))
	if before > 0 && len(all) > 0 {
		for before = 0; before < len(all)-len(raw) && (len(raw) == 0 || !slices.Equal(all[before:before+len(raw)], raw)); before++ {
		}
	}
	var out []string
	for i, id := range all {
		if i >= before && i < before+len(raw) {
			out = append(out, inner[i-before])
		} else {
			out = append(out, t.Token(id))
		}
	}
	return out
}

// checkOffsets compares EncodeOffsets with Encode; ranges must lie in the text and ascend.
func checkOffsets(c *verify.Tally, t *tokenizer.Tokenizer, i int, text string, want []int32) {
	ids, spans := t.EncodeOffsets(text, true)
	ok := slices.Equal(ids, want) && len(spans) == len(ids)
	end := 0
	for _, s := range spans {
		ok = ok && s[0] <= s[1] && s[0] >= 0 && s[1] <= len(text) && s[1] >= end
		end = s[1]
	}
	c.Check(ok, "text %d %q: ids %v (want %v), ranges %v", i, text, ids, want, spans)
}

func compareStream(c *verify.Tally, t *tokenizer.Tokenizer, r streamRow) {
	s := t.Stream(r.Prompt)
	inc := make([]string, len(r.IDs))
	for k, id := range r.IDs {
		inc[k] = s.Next(id)
	}
	flush := s.Flush()
	c.Check(slices.Equal(inc, r.Inc) && flush == r.Flush, "prompt %v, ids %v: got %q and %q, want %q and %q",
		r.Prompt, r.IDs, inc, flush, r.Inc, r.Flush)
}
