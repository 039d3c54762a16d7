package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonfile"
)

// loadBert builds Hugging Face's BertTokenizer from a vocab.txt with one token a line.
func loadBert(b []byte, c Config, hf *hfConfig) (*Tokenizer, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("not UTF-8")
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	vocab := make(map[string]int32, len(lines))
	for i, s := range lines {
		vocab[strings.TrimSuffix(s, "\r")] = int32(i) // a later line wins, as there
	}
	t := &Tokenizer{added: &added{}, bos: -1, eos: -1, pad: -1, unk: -1, cls: -1, sep: -1}
	if err := t.setVocab("lines", vocab); err != nil {
		return nil, err
	}
	for i, x := range c.Added {
		if err := t.checkAdded(i, x); err != nil {
			return nil, err
		}
		t.setAdded(x)
	}
	for _, x := range []struct {
		role, text string
		id         *int32
	}{{"unk_token", "[UNK]", &t.unk}, {"sep_token", "[SEP]", &t.sep}, {"pad_token", "[PAD]", &t.pad},
		{"cls_token", "[CLS]", &t.cls}, {"mask_token", "[MASK]", new(int32)}} {
		s := hf.token(x.role, x.text)
		if s == "" {
			continue
		}
		if _, ok := t.ids[s]; !ok && x.role != "mask_token" {
			return nil, fieldError("lines", "no line is %s, the %s", s, x.role)
		}
		*x.id = t.ensureSpecial(s)
	}
	for _, x := range hf.more {
		t.ensureSpecial(x.Content)
	}
	t.before, t.after = []int32{t.cls}, []int32{t.sep}
	t.added.index(nil)
	lower := is(c.Lower, true)
	rules := basic{chinese: is(hf.Chinese, true), lower: lower, accents: is(hf.Accents, lower), punct: true}
	t.enc = &slowBert{basic: rules, model: newWordPiece(vocab, "##", t.unk, 100), added: t.added}
	t.dec = func(t *Tokenizer) decoder { return &stripped{decoder: &bertDecoder{t: t, prefix: "##"}} }
	return t, nil
}

// readMerges reads a merges.txt: two tokens a line, best first.
func readMerges(path string) ([][2]string, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	out, err := parseMerges(b)
	return out, inFile(path, err)
}

func parseMerges(b []byte) ([][2]string, error) {
	var out [][2]string
	for i, s := range strings.Split(string(b), "\n") {
		s = strings.TrimSuffix(s, "\r")
		if s == "" || i == 0 && strings.HasPrefix(s, "#version") {
			continue
		}
		x, y, ok := strings.Cut(s, " ")
		if !ok || x == "" || y == "" || strings.Contains(y, " ") {
			return nil, fieldError(fmt.Sprintf("line %d", i+1), "%q is not two tokens", s)
		}
		out = append(out, [2]string{x, y})
	}
	return out, nil
}

// loadMerges builds a byte-level BPE tokenizer (GPT-2, Qwen2, CLIP) from vocab.json and merges.txt, as the fast
// tokenizer of the same class; CLIP's with another Cleaning as OpenAI's or the one in Python.
func loadMerges(b []byte, merges [][2]string, c Config, hf *hfConfig) (*Tokenizer, error) {
	var vocab map[string]int32
	if err := jsonfile.Unmarshal(b, &vocab); err != nil {
		return nil, jsonError("", err)
	}
	if len(vocab) == 0 {
		return nil, fieldError("", "empty vocabulary")
	}
	text := func(s string) *string { return &s }
	yes, no := true, false
	j := &fastFile{Decoder: &node{Type: "ByteLevel"}}
	m := &fastModel{Type: "BPE"}
	class := c.Class
	if _, ok := vocab["a"+clipEnd]; ok && class == "" {
		class = "CLIPTokenizer"
	}
	bos, eos, unk := "", "<|endoftext|>", ""
	level := node{Type: "ByteLevel", AddPrefixSpace: &no, UseRegex: &no}
	switch class {
	case "CLIPTokenizer":
		bos, unk = "<|startoftext|>", "<|endoftext|>"
		m.Suffix = text(clipEnd)
		j.Normalizer = &node{Type: "Sequence", Normalizers: []node{{Type: "NFC"}, {Type: "Replace", Pattern: &nodePattern{Regex: text(`\s+`)}, Content: " "}, {Type: "Lowercase"}}}
		level.UseRegex = &yes
		j.PreTokenizer = &node{Type: "Sequence", Pretokenizers: []node{{Type: "Split",
			Pattern: &nodePattern{Regex: text(clipPattern)}, Behavior: "Removed", Invert: true}, level}}
	case "Qwen2Tokenizer":
		j.Normalizer = &node{Type: "NFC"}
		j.PreTokenizer = &node{Type: "Sequence", Pretokenizers: []node{{Type: "Split",
			Pattern: &nodePattern{Regex: text(qwen2Pattern)}, Behavior: "Isolated"}, level}}
	case "", "GPT2Tokenizer", "GPTNeoXTokenizer":
		bos, unk = "<|endoftext|>", "<|endoftext|>"
		level.UseRegex, level.AddPrefixSpace = &yes, hf.PrefixSpace
		if hf.PrefixSpace == nil {
			level.AddPrefixSpace = &no
		}
		j.PreTokenizer = &level
	default:
		return nil, fmt.Errorf("class %s with vocab.json: %w; use its tokenizer.json", class, ErrUnsupported)
	}
	for i, x := range c.Added {
		if x.Content == "" {
			return nil, fieldError(fmt.Sprintf("added token %d", i), "empty")
		}
		j.Added = append(j.Added, x)
	}
	t, err := newMerged(j, m, vocab, merges, Config{Class: class}, hf)
	if err != nil {
		return nil, err
	}
	for _, x := range []struct {
		role, text string
		id         *int32
	}{{"bos_token", bos, &t.bos}, {"eos_token", eos, &t.eos}, {"unk_token", unk, &t.unk}, {"pad_token", "", &t.pad}} {
		s := hf.token(x.role, x.text)
		if s == "" {
			continue
		}
		if _, ok := t.ids[s]; ok || hf.found {
			*x.id = t.ensureSpecial(s)
		}
	}
	for _, x := range hf.more {
		t.ensureSpecial(x.Content)
	}
	t.added.index(t.norm)
	if class == "CLIPTokenizer" {
		if t.bos < 0 || t.eos < 0 {
			return nil, fieldError("", "no %s or no %s in the vocabulary", bos, eos)
		}
		t.before, t.after = []int32{t.bos}, []int32{t.eos}
		t.contextPad = t.eos
		if t.pad >= 0 {
			t.contextPad = t.pad
		}
		if c.Cleaning != CleanFast {
			if err := t.cleanedCLIP(c.Cleaning); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// newMerged is newFast for a model whose vocabulary and merges are known.
func newMerged(j *fastFile, m *fastModel, vocab map[string]int32, merges [][2]string, c Config,
	hf *hfConfig) (*Tokenizer, error) {
	raw := struct {
		Type   string           `json:"type"`
		Suffix *string          `json:"end_of_word_suffix"`
		Unk    *string          `json:"unk_token"`
		Vocab  map[string]int32 `json:"vocab"`
		Merges [][2]string      `json:"merges"`
	}{m.Type, m.Suffix, m.UnkToken, vocab, slices.Clone(merges)}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	j.Model = b
	return newFast(j, c, hf)
}
