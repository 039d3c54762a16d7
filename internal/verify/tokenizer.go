package verify

import (
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
)

type tokenizerCase struct {
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

// tokenizers checks a tokenizer's ids, text, pieces and streams, and the other files that hold it.
func tokenizers(r *Report, c tokenizerCase) {
	texts := map[int]string{}
	eachLine(filepath.Join(r.Dir, c.Texts), func(x textRow) { texts[x.I] = x.Text }) // beside the folder
	config := tokenizer.Config{Class: c.Load.Class, Legacy: c.Load.Legacy, AddBOS: c.Load.AddBOS,
		AddEOS: c.Load.AddEOS, ExtraIDs: c.Load.Extra, Added: c.Load.Added, Lower: c.Load.Lower}
	t := must(tokenizer.LoadConfig(filepath.Join(r.Dir, c.Load.File), config))
	cases := readLines[idRow](inside(r.Dir, c.Cases))
	compareTokenizer(r, t, cases, texts)
	others(r, &c, config, cases, texts)
	if c.Streams != "" {
		n := tally{What: "streams"}
		eachLine(inside(r.Dir, c.Streams), func(x streamRow) { compareStream(&n, t, x) })
		r.add(n.row())
	}
}

// compareTokenizer checks ids, text, pieces and literal ids.
func compareTokenizer(r *Report, t *tokenizer.Tokenizer, cases []idRow, texts map[int]string) {
	ids, decoded, pieces := tally{What: "ids"}, tally{What: "decoded"}, tally{What: "pieces"}
	literal, offsets := tally{What: "literal"}, tally{What: "offsets"}
	hasLiteral := slices.ContainsFunc(cases, func(x idRow) bool { return x.Literal != nil })
	for _, x := range cases {
		text := texts[x.I]
		raw := t.EncodeSpecial(text)
		got := t.Wrap(raw)
		ids.check(slices.Equal(got, x.IDs), "text %d %q: got %v, want %v", x.I, text, got, x.IDs)
		want := text
		if x.Decoded != nil {
			want = *x.Decoded
		}
		s := t.Decode(x.IDs)
		decoded.check(s == want, "text %d %q: got %q, want %q", x.I, text, s, want)
		if x.Pieces != nil {
			p := pieceStrings(t, text, raw)
			pieces.check(slices.Equal(p, x.Pieces), "text %d %q: got %q, want %q", x.I, text, p, x.Pieces)
		}
		if hasLiteral {
			want := x.Literal
			if want == nil {
				want = x.IDs
			}
			got := t.Wrap(t.Encode(text))
			literal.check(slices.Equal(got, want), "text %d %q: got %v, want %v", x.I, text, got, want)
		}
		checkOffsets(&offsets, t, x.I, text, raw)
	}
	r.add(tallied(&ids, &decoded, &pieces, &literal, &offsets)...)
}

// pieceStrings adds what Wrap adds to the strings of a text's tokens.
func pieceStrings(t *tokenizer.Tokenizer, text string, raw []int32) []string {
	inner := t.Pieces(text)
	all := t.Wrap(raw)
	before := len(t.Wrap(nil))
	if before > 0 && len(all) > 0 {
		before = 0
		for before < len(all)-len(raw) && (len(raw) == 0 || !slices.Equal(all[before:before+len(raw)], raw)) {
			before++
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
func checkOffsets(c *tally, t *tokenizer.Tokenizer, i int, text string, want []int32) {
	ids, spans := t.EncodeOffsets(text, true)
	ok := slices.Equal(ids, want) && len(spans) == len(ids)
	end := 0
	for _, s := range spans {
		ok = ok && s[0] <= s[1] && s[0] >= 0 && s[1] <= len(text) && s[1] >= end
		end = s[1]
	}
	c.check(ok, "text %d %q: ids %v (want %v), ranges %v", i, text, ids, want, spans)
}

func compareStream(c *tally, t *tokenizer.Tokenizer, r streamRow) {
	s := t.Stream(r.Prompt)
	inc := make([]string, len(r.IDs))
	for k, id := range r.IDs {
		inc[k] = s.Next(id)
	}
	flush := s.Flush()
	c.check(slices.Equal(inc, r.Inc) && flush == r.Flush, "prompt %v, ids %v: got %q and %q, want %q and %q",
		r.Prompt, r.IDs, inc, flush, r.Inc, r.Flush)
}
