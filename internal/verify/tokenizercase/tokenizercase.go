// Package tokenizercase compares tokenizers with what reference programs wrote into case folders.
package tokenizercase

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
)

// Row is the outcome of one kind of comparison. MaxAbs counts the texts that differ, MaxRel is their share.
type Row = verify.Row

type caseFile struct {
	Format int    `json:"format"`
	Task   string `json:"task"`
	Kind   string `json:"kind"`
	Load   struct {
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

// tally counts the differences of one kind.
type tally struct {
	what      string
	n, bad    int
	firstDiff string
}

func (c *tally) check(ok bool, format string, args ...any) {
	c.n++
	if ok {
		return
	}
	if c.bad == 0 {
		c.firstDiff = fmt.Sprintf(format, args...)
	}
	c.bad++
}

func (c *tally) row() Row {
	r := Row{What: c.what, MaxAbs: float64(c.bad), Pass: c.bad == 0 && c.n > 0, Detail: c.firstDiff}
	if c.n > 0 {
		r.MaxRel = float64(c.bad) / float64(c.n)
	}
	if c.bad == 0 {
		r.Detail = fmt.Sprintf("%d compared", c.n)
	}
	return r
}

// Run compares the tokenizer of a case folder with its cases.jsonl and the other files that case.json names. It
// returns one row per kind of comparison, and an error if the folder itself cannot be read.
func Run(dir string) ([]Row, error) {
	var c caseFile
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return nil, fmt.Errorf("tokenizercase: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("tokenizercase: %s/case.json: %w", dir, err)
	}
	if c.Task != "tokenizer" || c.Format != 1 {
		return nil, fmt.Errorf("tokenizercase: %s/case.json: task %q of format %d, want tokenizer of format 1", dir, c.Task, c.Format)
	}
	texts := map[int]string{}
	err = lines(filepath.Join(dir, c.Texts), func(r textRow) { texts[r.I] = r.Text })
	if err != nil {
		return nil, err
	}
	config := tokenizer.Config{Class: c.Load.Class, Legacy: c.Load.Legacy, AddBOS: c.Load.AddBOS, AddEOS: c.Load.AddEOS,
		ExtraIDs: c.Load.Extra, Added: c.Load.Added, Lower: c.Load.Lower}
	t, err := tokenizer.LoadConfig(filepath.Join(dir, c.Load.File), config)
	if err != nil {
		return nil, err
	}
	var cases []idRow
	if err := lines(filepath.Join(dir, c.Cases), func(r idRow) { cases = append(cases, r) }); err != nil {
		return nil, err
	}
	rows := compare(t, cases, texts)
	more, err := others(dir, &c, config, cases, texts)
	if err != nil {
		return nil, err
	}
	rows = append(rows, more...)
	if c.Streams != "" {
		streams := &tally{what: "streams"}
		err := lines(filepath.Join(dir, c.Streams), func(r streamRow) { compareStream(streams, t, r) })
		if err != nil {
			return nil, err
		}
		rows = append(rows, streams.row())
	}
	return rows, nil
}

// compare checks ids, text, pieces and literal ids.
func compare(t *tokenizer.Tokenizer, cases []idRow, texts map[int]string) []Row {
	ids, decoded, pieces := &tally{what: "ids"}, &tally{what: "decoded"}, &tally{what: "pieces"}
	literal, offsets := &tally{what: "literal"}, &tally{what: "offsets"}
	hasLiteral := slices.ContainsFunc(cases, func(r idRow) bool { return r.Literal != nil })
	for _, r := range cases {
		text := texts[r.I]
		raw := t.EncodeSpecial(text)
		got := t.Wrap(raw)
		ids.check(slices.Equal(got, r.IDs), "text %d %q: got %v, want %v", r.I, text, got, r.IDs)
		want := text
		if r.Decoded != nil {
			want = *r.Decoded
		}
		s := t.Decode(r.IDs)
		decoded.check(s == want, "text %d %q: got %q, want %q", r.I, text, s, want)
		if r.Pieces != nil {
			p := pieceStrings(t, text, raw)
			pieces.check(slices.Equal(p, r.Pieces), "text %d %q: got %q, want %q", r.I, text, p, r.Pieces)
		}
		if hasLiteral {
			want := r.Literal
			if want == nil {
				want = r.IDs
			}
			got := t.Wrap(t.Encode(text))
			literal.check(slices.Equal(got, want), "text %d %q: got %v, want %v", r.I, text, got, want)
		}
		checkOffsets(offsets, t, r.I, text, raw)
	}
	rows := []Row{ids.row(), decoded.row()}
	if pieces.n > 0 {
		rows = append(rows, pieces.row())
	}
	if hasLiteral {
		rows = append(rows, literal.row())
	}
	return append(rows, offsets.row())
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
	c.check(slices.Equal(inc, r.Inc) && flush == r.Flush, "prompt %v, ids %v: got %q and %q, want %q and %q", r.Prompt, r.IDs, inc, flush, r.Inc, r.Flush)
}

// lines decodes every line of a file of JSON values.
func lines[T any](path string, f func(T)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("tokenizercase: %w", err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 64<<20)
	for n := 1; s.Scan(); n++ {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			return fmt.Errorf("tokenizercase: %s: line %d: %w", path, n, err)
		}
		f(v)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("tokenizercase: %s: %w", path, err)
	}
	return nil
}
