package tokenizer

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// GGUF returns the metadata that describe the tokenizer in a GGUF file, for a model whose embedding has size rows:
// values are string, bool, uint32 and slices of strings, float32 and int32. Tokenizers of other kinds than Llama's
// SentencePiece and byte-level BPE with a split that llama.cpp has a name for are an error.
func (t *Tokenizer) GGUF(size int) (map[string]any, error) {
	if size < len(t.tokens) {
		return nil, fmt.Errorf("tokenizer: GGUF: %d tokens for a model with %d rows of embeddings", len(t.tokens), size)
	}
	meta := map[string]any{}
	put := func(key string, v any) { meta[ggufKeys+key] = v }
	tokens, types := make([]string, size), make([]int32, size)
	for i := range tokens {
		tokens[i], types[i] = fmt.Sprintf("[PAD%d]", i), ggufUnused
		if i < len(t.tokens) && t.tokens[i] != "" {
			tokens[i], types[i] = t.tokens[i], ggufNormal
		}
	}
	var scores []float32
	switch e := t.enc.(type) {
	case *slow:
		if e.kind == slowT5 || e.m.proto.modelType != 2 {
			return nil, fmt.Errorf("tokenizer: GGUF: only SentencePiece models of kind BPE have a place there")
		}
		scores = make([]float32, size)
		for i := range scores {
			scores[i] = -1000
		}
		for i, p := range e.m.proto.pieces {
			scores[i], types[i] = p.score, int32(p.kind)
		}
		put("model", "llama")
		put("pre", "default")
		put("scores", scores)
		put("add_space_prefix", e.m.proto.normal.dummy)
	case *fast:
		merges, pre, err := t.mergesAndSplit()
		if err != nil {
			return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
		}
		put("model", "gpt2")
		put("pre", pre)
		put("merges", merges)
	default:
		return nil, fmt.Errorf("tokenizer: GGUF: this kind of tokenizer has no place there")
	}
	for _, x := range t.added.list {
		if types[x.ID] = ggufUser; x.Special {
			types[x.ID] = ggufControl
		}
		if scores != nil { // as llama.cpp's converter has it
			scores[x.ID] = -1000
		}
	}
	put("tokens", tokens)
	put("token_type", types)
	for key, id := range map[string]int32{"bos_token_id": t.bos, "eos_token_id": t.eos, "padding_token_id": t.pad,
		"unknown_token_id": t.unk} {
		if id >= 0 {
			put(key, uint32(id))
		}
	}
	put("add_bos_token", len(t.before) > 0)
	put("add_eos_token", len(t.after) > 0)
	if t.chatTemplate != "" {
		meta["tokenizer.chat_template"] = t.chatTemplate
	}
	return meta, nil
}

// mergesAndSplit reads the merges of a byte-level BPE from its tokenizer.json, and finds llama.cpp's name for how it
// cuts text.
func (t *Tokenizer) mergesAndSplit() (merges []string, pre string, err error) {
	raw, ok := t.files["tokenizer.json"]
	if !ok {
		if raw, err = readFile(filepath.Join(t.dir, "tokenizer.json")); err != nil {
			return nil, "", fmt.Errorf("its merges are wanted: %w", err)
		}
	}
	var j fastFile
	var m fastModel
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, "", jsonError("tokenizer.json", err)
	}
	if err := json.Unmarshal(j.Model, &m); err != nil {
		return nil, "", inModel(err)
	}
	for i, raw := range m.Merges {
		var s string
		var pair []string
		if json.Unmarshal(raw, &s) != nil {
			if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 {
				return nil, "", fieldError(indexed("model.merges", i), "neither a text nor a list of two")
			}
			s = pair[0] + " " + pair[1]
		}
		merges = append(merges, s)
	}
	if j.PreTokenizer == nil {
		return nil, "", fmt.Errorf("it does not cut text before its merges, for which llama.cpp has no name")
	}
	split, level := ggufSplit{whole: m.IgnoreMerges}, false
	steps := j.PreTokenizer.Pretokenizers
	if len(steps) == 0 {
		steps = []node{*j.PreTokenizer}
	}
	for _, s := range steps {
		switch {
		case s.Type == "ByteLevel":
			level = true
		case s.Type == "Digits" && s.Digits:
			split.digits = true
		case s.Type == "Split" && s.Pattern != nil && s.Pattern.Regex != nil:
			split.pattern = *s.Pattern.Regex
		default:
			return nil, "", fmt.Errorf("llama.cpp has no name for a pre-tokenizer with %s", s.Type)
		}
	}
	for _, name := range []string{"gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2"} {
		s := ggufSplits[name]
		if level && s.pattern == split.pattern && s.digits == split.digits && s.whole == split.whole {
			return merges, name, nil
		}
	}
	return nil, "", fmt.Errorf("llama.cpp has no name for a pre-tokenizer that splits by %q",
		strings.TrimSpace(split.pattern))
}
