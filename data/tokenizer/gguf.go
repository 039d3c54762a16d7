package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/gguf"
)

// prefix of the keys of a GGUF file that describe its tokenizer.
const ggufKeys = "tokenizer.ggml."

// Types of tokens in a GGUF file.
const (
	ggufNormal = 1 + iota
	ggufUnknown
	ggufControl
	ggufUser
	ggufUnused
	ggufByte
)

// ggufSplit says how text is cut before byte-level BPE.
type ggufSplit struct {
	pattern string // "": GPT-2's, which ByteLevel has built in
	digits  bool   // digits are cut off one by one before
	nfc     bool   // text is normalised
	whole   bool   // a word that is a token is not merged together
	bos     bool   // the beginning-of-text token is added unless add_bos_token says otherwise
}

// ggufSplits are the values of tokenizer.ggml.pre that are known, with what transformers' tokenizers of these models
// do.
var ggufSplits = map[string]ggufSplit{
	"gpt-2": {}, "gpt2": {}, "phi-2": {}, "mpt": {}, "olmo": {},
	"smollm": {digits: true}, "starcoder": {digits: true}, "refact": {digits: true}, "codeshell": {digits: true},
	"command-r": {digits: true},
	"llama-bpe": {pattern: llama3Pattern, whole: true, bos: true},
	"llama3":    {pattern: llama3Pattern, whole: true, bos: true},
	"llama-v3":  {pattern: llama3Pattern, whole: true, bos: true},
	"falcon3":   {pattern: llama3Pattern, whole: true, bos: true},
	"dbrx":      {pattern: llama3Pattern}, "smaug-bpe": {pattern: llama3Pattern},
	"qwen2": {pattern: qwen2Pattern, nfc: true}, "deepseek-r1-qwen": {pattern: qwen2Pattern, nfc: true},
	"stablelm2": {pattern: qwen2Pattern},
}

// ggufVocabulary is what a GGUF file says about its tokens.
type ggufVocabulary struct {
	tokens []string
	types  []int64   // of each token; all normal if the file does not say
	scores []float64 // of SentencePiece
}

// loadGGUF builds the tokenizer that a GGUF file's metadata describe: SentencePiece's BPE ("llama") or byte-level BPE
// ("gpt2").
func loadGGUF(path string) (*Tokenizer, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer f.Close()
	k := &gguf.Keys{File: f}
	const model = ggufKeys + "model"
	k.Need(model)
	kind := k.Text(model)
	v := readGGUFVocabulary(k)
	var t *Tokenizer
	if k.Err == nil {
		switch kind {
		case "llama":
			t = v.sentencePiece(k)
		case "gpt2":
			t = v.byteLevel(k)
		default:
			k.Fail(model, "%q is not supported (llama and gpt2 are)", kind)
		}
	}
	template := k.Text("tokenizer.chat_template")
	if k.Err != nil {
		return nil, fmt.Errorf("tokenizer: %w", k.Err)
	}
	t.chatTemplate = template
	return t, nil
}

func readGGUFVocabulary(k *gguf.Keys) *ggufVocabulary {
	tokens := ggufKeys + "tokens"
	k.Need(tokens)
	v := &ggufVocabulary{tokens: k.Texts(tokens), types: k.Ints(ggufKeys + "token_type"),
		scores: k.Floats(ggufKeys + "scores")}
	n := len(v.tokens)
	if k.Err == nil && (n == 0 || n > maxSize) {
		k.Fail(tokens, "has %d tokens", n)
	}
	if v.types == nil {
		v.types = slices.Repeat([]int64{ggufNormal}, n)
	}
	if len(v.types) != n && k.Err == nil {
		k.Fail(ggufKeys+"token_type", "has %d types for %d tokens", len(v.types), n)
	}
	if v.scores != nil && len(v.scores) != n && k.Err == nil {
		k.Fail(ggufKeys+"scores", "has %d scores for %d tokens", len(v.scores), n)
	}
	if k.Err != nil {
		return v
	}
	seen := make(map[string]int, n)
	for i, s := range v.tokens {
		if old, twice := seen[s]; twice {
			k.Fail(tokens, "tokens %d and %d are both %q", old, i, s)
		}
		seen[s] = i
		if t := v.types[i]; t < ggufNormal || t > ggufByte {
			k.Fail(ggufKeys+"token_type", "token %d (%q) is of type %d: 1 to 6 exist", i, s, t)
		}
		if _, ok := byteToken(s); v.types[i] == ggufByte && !ok {
			k.Fail(tokens, "token %d is a byte, but %q is not of the form <0x0A>", i, s)
		}
	}
	return v
}

// added are the tokens that text is searched for first: control tokens, which are special, and user-defined ones.
func (v *ggufVocabulary) added() (list []AddedToken) {
	for i, t := range v.types {
		if t == ggufControl || t == ggufUser {
			list = append(list, AddedToken{ID: int32(i), Content: v.tokens[i], Special: t == ggufControl})
		}
	}
	return list
}

// sentencePiece builds the tokenizer around a SentencePiece BPE model, as transformers' LlamaTokenizer in its legacy
// form, which llama.cpp equals.
func (v *ggufVocabulary) sentencePiece(k *gguf.Keys) *Tokenizer {
	scores := ggufKeys + "scores"
	if v.scores == nil {
		k.Fail(scores, "is missing")
		return nil
	}
	prefix := k.Bool(ggufKeys+"add_space_prefix", true)
	p := &spProto{modelType: 2, fewBytes: true, unkSurface: " \u2047 ", normal: spRules{dummy: prefix, escape: true}}
	unknown := k.Int(ggufKeys+"unknown_token_id", 0, 0, len(v.tokens)-1)
	bytes := 0
	for i, s := range v.tokens {
		kind := int(v.types[i])
		if i == unknown {
			kind = pieceUnknown
		} else if kind == pieceUnknown {
			k.Fail(ggufKeys+"token_type", "token %d (%q) is a second unknown token, beside %d", i, s, unknown)
		}
		if kind == pieceUser { // cut out of the text before, as an added token
			kind = pieceControl
		}
		if kind == pieceByte {
			bytes++
		}
		p.pieces = append(p.pieces, spPiece{text: s, score: float32(v.scores[i]), kind: kind})
	}
	p.byteFallback = bytes > 0
	if k.Err != nil {
		return nil
	}
	m, err := buildSentencePiece(p)
	if err != nil {
		k.Fail(ggufKeys+"tokens", "%v", err)
		return nil
	}
	t := &Tokenizer{added: &added{}, cls: -1, sep: -1, unk: m.unk, bos: -1, eos: -1, pad: -1}
	vocab := maps.Clone(m.ids)
	if err := t.setVocab("tokens", vocab); err != nil {
		k.Fail(ggufKeys+"tokens", "%v", err)
		return nil
	}
	for _, x := range v.added() {
		t.setAdded(x)
	}
	t.added.index(nil)
	s := newSlow(m, slowLlama, true, t.added, t.Token(t.unk))
	t.enc, t.dec = s, s.decoder
	t.ggufRoles(k, true)
	return t
}

// byteLevel builds the tokenizer by way of the tokenizer.json that transformers would have.
func (v *ggufVocabulary) byteLevel(k *gguf.Keys) *Tokenizer {
	merges := ggufKeys + "merges"
	k.Need(merges)
	list := k.Texts(merges)
	for i, m := range list {
		if a, b, ok := strings.Cut(m, " "); !ok || a == "" || b == "" || strings.Contains(b, " ") {
			k.Fail(merges, "merge %d, %q, is not two tokens with a space between", i, m)
		}
	}
	pre := ggufKeys + "pre"
	k.Need(pre)
	name := k.Text(pre)
	split, known := ggufSplits[name]
	if !known && k.Err == nil {
		k.Fail(pre, "the pre-tokenizer %q is not known (%s are): take the tokenizer.json of the original model", name,
			strings.Join(slices.Sorted(maps.Keys(ggufSplits)), ", "))
	}
	if k.Err != nil {
		return nil
	}
	raw, err := v.tokenizerJSON(list, split)
	if err == nil {
		var t *Tokenizer
		if t, err = loadFast(raw, Config{}, &hfConfig{}); err == nil {
			t.files = map[string][]byte{"tokenizer.json": raw}
			t.ggufRoles(k, split.bos)
			return t
		}
	}
	k.Fail(ggufKeys+"tokens", "%v", err)
	return nil
}

// tokenizerJSON writes the vocabulary as Hugging Face's tokenizers library does.
func (v *ggufVocabulary) tokenizerJSON(merges []string, split ggufSplit) ([]byte, error) {
	type object = map[string]any
	vocab := make(map[string]int, len(v.tokens))
	for i, s := range v.tokens {
		vocab[s] = i
	}
	level := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
		"use_regex": split.pattern == ""}
	steps := []object{}
	if split.digits {
		steps = append(steps, object{"type": "Digits", "individual_digits": true})
	}
	if split.pattern != "" {
		steps = append(steps, object{"type": "Split", "pattern": object{"Regex": split.pattern}, "behavior": "Isolated",
			"invert": false})
	}
	file := object{"version": "1.0", "added_tokens": v.added(),
		"pre_tokenizer": object{"type": "Sequence", "pretokenizers": append(steps, level)},
		"decoder":       object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":         object{"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": split.whole}}
	if split.nfc {
		file["normalizer"] = object{"type": "NFC"}
	}
	return json.Marshal(file)
}

// ggufRoles finds the special tokens by their ids, and what Wrap adds.
func (t *Tokenizer) ggufRoles(k *gguf.Keys, bos bool) {
	for key, id := range map[string]*int32{"bos_token_id": &t.bos, "eos_token_id": &t.eos, "padding_token_id": &t.pad,
		"unknown_token_id": &t.unk, "seperator_token_id": &t.sep} {
		*id = int32(k.Int(ggufKeys+key, int(*id), 0, len(t.tokens)-1))
	}
	t.contextPad = max(t.pad, 0)
	add := func(key string, otherwise bool, id int32) []int32 {
		if !k.Bool(ggufKeys+key, otherwise && id >= 0) {
			return nil
		}
		if id < 0 {
			k.Fail(ggufKeys+key, "is true, but the file names no such token")
		}
		return []int32{id}
	}
	t.before, t.after = add("add_bos_token", bos, t.bos), add("add_eos_token", false, t.eos)
}
