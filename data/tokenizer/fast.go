package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonfile"
)

// fastFile is a tokenizer.json.
type fastFile struct {
	Version       string          `json:"version"`
	Added         []AddedToken    `json:"added_tokens"`
	Normalizer    *node           `json:"normalizer"`
	PreTokenizer  *node           `json:"pre_tokenizer"`
	PostProcessor *node           `json:"post_processor"`
	Decoder       *node           `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// fastModel is its model, with the fields of all kinds.
type fastModel struct {
	Type         string            `json:"type"`
	Vocab        json.RawMessage   `json:"vocab"`
	Merges       []json.RawMessage `json:"merges"`
	UnkToken     *string           `json:"unk_token"`
	UnkID        *int64            `json:"unk_id"`
	Prefix       *string           `json:"continuing_subword_prefix"`
	Suffix       *string           `json:"end_of_word_suffix"`
	FuseUnk      bool              `json:"fuse_unk"`
	ByteFallback bool              `json:"byte_fallback"`
	IgnoreMerges bool              `json:"ignore_merges"`
	MaxChars     *int              `json:"max_input_chars_per_word"`
}

// fast encodes as the tokenizers library does: added tokens, normaliser, pre-tokeniser, model.
type fast struct {
	added *added
	norm  normalizer
	pre   preTokenizer
	model splitter
}

func (f *fast) encode(out *output, p passage, special bool) {
	var room []piece
	word := func(p passage, _ bool) {
		room = f.model.tokenize(room[:0], p.text, out.literal(special))
		out.pieces(p, room)
	}
	for _, x := range f.added.split(p, f.added.raw, out, special) {
		if x.token != nil {
			out.add(x.token.ID, p.source(x.from, x.to))
			continue
		}
		q := p.slice(x.from, x.to)
		if f.norm != nil {
			q = f.norm(q)
		}
		if f.added.normal.size == 0 {
			f.section(q, x.from == 0, word)
			continue
		}
		for _, y := range f.added.split(q, f.added.normal, out, special) {
			if y.token != nil {
				out.add(y.token.ID, q.source(y.from, y.to))
				continue
			}
			f.section(q.slice(y.from, y.to), x.from == 0 && y.from == 0, word)
		}
	}
}

func (f *fast) section(p passage, head bool, word func(passage, bool)) {
	switch {
	case p.text == "":
	case f.pre == nil:
		word(p, head)
	default:
		f.pre(p, head, word)
	}
}

// loadFast builds a tokenizer from a tokenizer.json.
func loadFast(b []byte, c Config, hf *hfConfig) (*Tokenizer, error) {
	var j fastFile
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, jsonError("", err)
	}
	return newFast(&j, c, hf)
}

func newFast(j *fastFile, c Config, hf *hfConfig) (*Tokenizer, error) {
	if j.Model == nil {
		return nil, fieldError("model", "missing")
	}
	t := &Tokenizer{added: &added{}, bos: -1, eos: -1, pad: -1, unk: -1, cls: -1, sep: -1}
	f := &fast{added: t.added}
	t.enc = f
	var err error
	level := false
	for _, n := range []struct {
		field string
		*node
	}{{"normalizer", j.Normalizer}, {"decoder", j.Decoder}} {
		if g := n.growth(); g > maxGrowth {
			return nil, fieldError(n.field, "its replacements can make a text %.3g times longer; %d times are allowed",
				g, maxGrowth)
		}
	}
	if j.Normalizer != nil {
		if f.norm, err = j.Normalizer.normalizer("normalizer"); err != nil {
			return nil, err
		}
	}
	if j.PreTokenizer != nil {
		if f.pre, level, err = j.PreTokenizer.preTokenizer("pre_tokenizer"); err != nil {
			return nil, err
		}
	}
	var m fastModel
	if err := json.Unmarshal(j.Model, &m); err != nil {
		return nil, inModel(err)
	}
	if f.model, err = t.fastModel(&m, level); err != nil {
		return nil, err
	}
	list := j.Added
	if c.Added != nil && list == nil {
		list = c.Added
	}
	for i, x := range list {
		if err := t.checkAdded(i, x); err != nil {
			return nil, err
		}
		t.setAdded(x)
	}
	if u, ok := f.model.(*unigram); ok {
		for _, x := range t.added.list {
			if x.Special {
				u.hidden[x.ID] = true
			}
		}
	}
	t.norm = func(s string) string {
		if f.norm == nil {
			return s
		}
		return f.norm(passage{text: s}).text
	}
	t.added.index(t.norm)
	if j.PostProcessor != nil {
		if t.before, t.after, err = j.PostProcessor.postprocess("post_processor"); err != nil {
			return nil, err
		}
	}
	t.roles(hf)
	chain := []func() step{joined}
	if j.Decoder != nil {
		if chain, err = j.Decoder.decoder("decoder", new(bool)); err != nil {
			return nil, err
		}
	}
	clip := c.Class == "CLIPTokenizer" || c.Class == "" && m.Suffix != nil && *m.Suffix == clipEnd
	t.dec = func(t *Tokenizer) decoder {
		var d decoder = newChain(t, chain)
		if clip {
			d = &stripped{decoder: &wordEnds{decoder: d}}
		}
		return d
	}
	if t.contextPad = t.pad; t.pad < 0 {
		t.contextPad = max(t.eos, 0)
	}
	if clip && c.Cleaning != CleanFast {
		if err := t.cleanedCLIP(c.Cleaning); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// roles finds the ids of the special tokens that tokenizer_config.json names.
func (t *Tokenizer) roles(hf *hfConfig) {
	for role, id := range map[string]*int32{"bos_token": &t.bos, "eos_token": &t.eos, "pad_token": &t.pad,
		"unk_token": &t.unk, "cls_token": &t.cls, "sep_token": &t.sep} {
		if s := hf.token(role, ""); s != "" {
			if k, ok := t.ids[s]; ok {
				*id = k
			}
		}
	}
	if !hf.found && len(t.before) == 1 {
		t.bos = t.before[0]
	}
	if !hf.found && len(t.after) == 1 {
		t.eos = t.after[0]
	}
}

func inModel(err error) error {
	var u *json.UnmarshalTypeError
	if errors.As(err, &u) {
		return fieldError(strings.TrimSuffix("model."+u.Field, "."), "a JSON %s does not fit", u.Value)
	}
	return &FormatError{Field: "model", Err: err}
}

func (t *Tokenizer) fastModel(m *fastModel, level bool) (splitter, error) {
	kind := m.Type
	if kind == "" { // older files do not say
		switch {
		case m.Merges != nil:
			kind = "BPE"
		case m.UnkID != nil:
			kind = "Unigram"
		case m.MaxChars != nil:
			kind = "WordPiece"
		}
	}
	switch kind {
	case "BPE":
		return t.fastBPE(m, level)
	case "Unigram":
		if level {
			return nil, unsupported("pre_tokenizer", "ByteLevel before a Unigram model")
		}
		return t.fastUnigram(m)
	case "WordPiece":
		if level {
			return nil, unsupported("pre_tokenizer", "ByteLevel before a WordPiece model")
		}
		vocab, err := t.vocab(m)
		if err != nil {
			return nil, err
		}
		unk, prefix, limit := "[UNK]", "##", 100
		if m.UnkToken != nil {
			unk = *m.UnkToken
		}
		if m.Prefix != nil {
			prefix = *m.Prefix
		}
		if m.MaxChars != nil {
			limit = *m.MaxChars
		}
		id, ok := vocab[unk]
		if !ok {
			return nil, fieldError("model.unk_token", "%q is not in the vocabulary", unk)
		}
		t.unk = id
		return newWordPiece(vocab, prefix, id, limit), nil
	}
	return nil, unsupported("model.type", "%q", m.Type)
}

// vocab reads the vocabulary of a BPE or WordPiece model and fills the tokenizer's tables.
func (t *Tokenizer) vocab(m *fastModel) (map[string]int32, error) {
	var vocab map[string]int32
	if err := jsonfile.Unmarshal(m.Vocab, &vocab); err != nil {
		return nil, fieldError("model.vocab", "not an object of ids: %w", err)
	}
	if len(vocab) == 0 {
		return nil, fieldError("model.vocab", "empty")
	}
	return vocab, t.setVocab("model.vocab", vocab)
}

func (t *Tokenizer) fastBPE(m *fastModel, level bool) (splitter, error) {
	vocab, err := t.vocab(m)
	if err != nil {
		return nil, err
	}
	merges := make([][2]string, len(m.Merges))
	for i, raw := range m.Merges {
		var s string
		var pair []string
		if json.Unmarshal(raw, &s) == nil {
			pair = strings.Split(s, " ")
		} else if json.Unmarshal(raw, &pair) != nil {
			return nil, fieldError(indexed("model.merges", i), "neither a text nor a list of two")
		}
		if len(pair) != 2 || pair[0] == "" || pair[1] == "" {
			return nil, fieldError(indexed("model.merges", i), "%q is not two tokens", pair)
		}
		merges[i] = [2]string{pair[0], pair[1]}
	}
	return t.listedBPE(vocab, merges, m, level)
}

// listedBPE builds a BPE model from its merges, best first.
func (t *Tokenizer) listedBPE(vocab map[string]int32, merges [][2]string, m *fastModel, level bool) (*bpe, error) {
	b := &bpe{vocab: vocab, size: int32(len(t.tokens)), pairs: newPairs(len(merges)), runes: map[rune]int32{}, unk: -1,
		fuseUnk: m.FuseUnk,
		whole:   m.IgnoreMerges, cache: newWordCache()}
	if m.Prefix != nil {
		b.prefix = *m.Prefix
	}
	if m.Suffix != nil {
		b.suffix = *m.Suffix
	}
	for s, id := range vocab {
		if r, n := utf8.DecodeRuneInString(s); n == len(s) && n > 0 {
			b.runes[r] = id
		}
	}
	for i, p := range merges {
		field := indexed("model.merges", i)
		x, ok := vocab[p[0]]
		if !ok {
			return nil, fieldError(field, "%q is not in the vocabulary", p[0])
		}
		y, ok := vocab[p[1]]
		if !ok {
			return nil, fieldError(field, "%q is not in the vocabulary", p[1])
		}
		made := p[0] + strings.TrimPrefix(p[1], b.prefix)
		id, ok := vocab[made]
		if !ok {
			return nil, fieldError(field, "%q is not in the vocabulary", made)
		}
		b.pairs.set(x, y, merged{int32(i), id})
	}
	if m.UnkToken != nil {
		id, ok := vocab[*m.UnkToken]
		if !ok {
			return nil, fieldError("model.unk_token", "%q is not in the vocabulary", *m.UnkToken)
		}
		b.unk, t.unk = id, id
	}
	if level {
		if b.prefix != "" {
			return nil, unsupported("model.continuing_subword_prefix", "%q with ByteLevel", b.prefix)
		}
		b.level = newByteLevel(vocab, b.suffix, b.whole)
		return b, nil
	}
	if m.ByteFallback {
		b.bytes = byteIDs(vocab)
	}
	if b.bytes != nil && b.prefix == "" && b.suffix == "" && !b.whole && !slices.Contains(b.bytes[:], -1) {
		b.cut = cutFor(func(yield func(string) bool) {
			for _, p := range merges {
				if !yield(p[0] + p[1]) {
					return
				}
			}
		})
	}
	return b, nil
}

// byteIDs finds the tokens <0x00> to <0xFF>; -1 where one is missing.
func byteIDs(vocab map[string]int32) *[256]int32 {
	var out [256]int32
	for b := range out {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		out[b] = id
	}
	return &out
}

func (t *Tokenizer) fastUnigram(m *fastModel) (splitter, error) {
	var list [][2]json.RawMessage
	if err := jsonfile.Unmarshal(m.Vocab, &list); err != nil {
		return nil, fieldError("model.vocab", "not a list of [piece, score]: %w", err)
	}
	if len(list) == 0 {
		return nil, fieldError("model.vocab", "empty")
	}
	u := &unigram{score: make([]float64, len(list)), hidden: map[int32]bool{}, unk: -1, double: true,
		cache: newWordCache()}
	vocab := make(map[string]int32, len(list))
	var keys []string
	var ids []int32
	low := 0.0
	for i, x := range list {
		var s string
		if json.Unmarshal(x[0], &s) != nil || json.Unmarshal(x[1], &u.score[i]) != nil {
			return nil, fieldError(indexed("model.vocab", i), "not [piece, score]")
		}
		if i == 0 || u.score[i] < low {
			low = u.score[i]
		}
		vocab[s] = int32(i)
		keys, ids = append(keys, s), append(ids, int32(i))
	}
	if err := t.setVocab("model.vocab", vocab); err != nil {
		return nil, err
	}
	u.pieces, u.unkAt = newTrie(keys, ids), low-10
	if m.UnkID != nil {
		if *m.UnkID < 0 || *m.UnkID >= int64(len(list)) {
			return nil, fieldError("model.unk_id", "%d is not one of %d pieces", *m.UnkID, len(list))
		}
		u.unk = int32(*m.UnkID)
		t.unk = u.unk
	}
	if m.ByteFallback {
		u.bytes = byteIDs(vocab)
	}
	return u, nil
}
