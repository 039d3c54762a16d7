package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordPattern cuts text in which ▁ stands for a space into words: letters, single digits, line ends, other characters.
const wordPattern = `▁?[\p{L}\p{M}]+|▁?\p{N}|[\r\n]+|▁?[^\p{L}\p{M}\p{N}\r\n▁]+|▁+`

// pretokenization is how a trained tokenizer cuts text into words.
func pretokenization(c TrainConfig) *node {
	yes, no := true, false
	if !c.ByteFallback {
		return &node{Type: "ByteLevel", AddPrefixSpace: &no, UseRegex: &yes}
	}
	words := wordPattern
	return &node{Type: "Split", Pattern: &nodePattern{Regex: &words}, Behavior: "Isolated"}
}

// object is a JSON object whose keys keep their order.
type object []field

type field struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for k, v := range []any{f.key, f.value} {
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(v); err != nil {
				return nil, err
			}
			b.Truncate(b.Len() - 1) // the line end
			if k == 0 {
				b.WriteByte(':')
			}
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// files returns tokenizer.json and tokenizer_config.json.
func (l *learner) files() (map[string][]byte, error) {
	c := l.config
	pre := object{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}
	decoder := pre
	var norm any
	if c.ByteFallback {
		norm = object{{"type", "Replace"}, {"pattern", object{{"String", " "}}}, {"content", space}}
		pre = object{{"type", "Split"}, {"pattern", object{{"Regex", wordPattern}}}, {"behavior", "Isolated"},
			{"invert", false}}
		decoder = object{{"type", "Sequence"}, {"decoders", []object{
			{{"type", "Replace"}, {"pattern", object{{"String", space}}}, {"content", " "}},
			{{"type", "ByteFallback"}},
			{{"type", "Fuse"}},
		}}}
	}
	var first any // post-processor
	if c.BOS != "" {
		first = object{{"type", "TemplateProcessing"},
			{"single", []object{{{"SpecialToken", object{{"id", c.BOS}, {"type_id", 0}}}},
				{{"Sequence", object{{"id", "A"}, {"type_id", 0}}}}}},
			{"pair", []object{{{"SpecialToken", object{{"id", c.BOS}, {"type_id", 0}}}},
				{{"Sequence", object{{"id", "A"}, {"type_id", 0}}}},
				{{"Sequence", object{{"id", "B"}, {"type_id", 1}}}}}},
			{"special_tokens", object{{c.BOS, object{{"id", c.BOS}, {"ids", []int32{l.ids[c.BOS]}},
				{"tokens", []string{c.BOS}}}}}},
		}
	}
	specials := []AddedToken{}
	for i, s := range c.Specials {
		specials = append(specials, AddedToken{ID: int32(i), Content: s, Special: true})
	}
	vocab := object{}
	for id, s := range l.tokens {
		vocab = append(vocab, field{s, id})
	}
	merges := []string{}
	for _, m := range l.merges {
		merges = append(merges, m[0]+" "+m[1])
	}
	model := object{{"type", "BPE"}, {"dropout", nil}, {"unk_token", nil}, {"continuing_subword_prefix", nil},
		{"end_of_word_suffix", nil},
		{"fuse_unk", false}, {"byte_fallback", c.ByteFallback}, {"ignore_merges", c.Words}, {"vocab", vocab},
		{"merges", merges}}
	config := object{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}}
	for _, x := range [][2]string{{"bos_token", c.BOS}, {"eos_token", c.EOS}, {"pad_token", c.Pad}} {
		if x[1] != "" {
			config = append(config, field{x[0], x[1]})
		}
	}
	out := map[string][]byte{}
	for name, v := range map[string]object{
		"tokenizer.json": {{"version", "1.0"}, {"truncation", nil}, {"padding", nil}, {"added_tokens", specials},
			{"normalizer", norm},
			{"pre_tokenizer", pre}, {"post_processor", first}, {"decoder", decoder}, {"model", model}},
		"tokenizer_config.json": config,
	} {
		b, err := v.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("tokenizer: Train: %w", err)
		}
		out[name] = append(b, '\n')
	}
	return out, nil
}

// scanWords is wordPattern by hand, as this is the inner loop: every text is a run of its matches.
func scanWords(s string, at int) (start, end int) {
	if at >= len(s) {
		return -1, -1
	}
	i := at
	if strings.HasPrefix(s[i:], space) {
		i += len(space)
	}
	kind, n := wordClass(s, i)
	switch {
	case n > 0 && kind == number:
		return at, i + n
	case n > 0 && (kind == letter || kind == other) || i == at:
		return at, wordRun(s, i, kind)
	}
	return at, wordRun(s, at, spaceMark)
}

const (
	lineEnd   = blank + 1 + iota // \r and \n
	spaceMark                    // ▁
)

// wordClass is the class of the character at i, as wordPattern divides them, and its length; 0 at the end.
func wordClass(s string, i int) (class, int) {
	c, n := classAt(s, i)
	switch {
	case n == 1 && (s[i] == '\r' || s[i] == '\n'):
		return lineEnd, 1
	case n == len(space) && s[i:i+n] == space:
		return spaceMark, n
	case n > 1 && c == other:
		if r, _ := utf8.DecodeRuneInString(s[i:]); unicode.IsMark(r) {
			return letter, n
		}
	case c == blank:
		return other, n
	}
	return c, n
}

// wordRun returns where the run of a class that begins at i ends.
func wordRun(s string, i int, kind class) int {
	for i < len(s) {
		c, n := wordClass(s, i)
		if c != kind {
			break
		}
		i += n
	}
	return i
}
