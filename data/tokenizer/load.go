package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/gguf"
)

// Load reads a tokenizer: a folder with one, or one of its files tokenizer.model, spiece.model, tokenizer.json,
// vocab.json (with merges.txt) or vocab.txt; or a GGUF file, whose metadata have it. It also reads
// tokenizer_config.json, special_tokens_map.json, added_tokens.json and a chat template beside it, if they are there. A
// SentencePiece model without them is taken as it is; with them it behaves as Hugging Face's tokenizer in Python. In a
// folder with several, SentencePiece comes first, then tokenizer.json. Errors wrap *FormatError and name the file and
// the field.
func Load(path string) (*Tokenizer, error) { return LoadConfig(path, Config{}) }

// LoadConfig is Load with parts of the files' say replaced.
func LoadConfig(path string, c Config) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if gguf.IsFile(path) {
		return loadGGUF(path)
	}
	dir, file := path, ""
	if !info.IsDir() {
		dir, file = filepath.Split(path)
	}
	hf, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	c = hf.merge(c)
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if file == "" {
		_, known := slowClass(c.Class)
		switch {
		case has("tokenizer.model") && (known || !has("tokenizer.json")):
			file = "tokenizer.model"
		case has("spiece.model") && (known || !has("tokenizer.json")):
			file = "spiece.model"
		case has("tokenizer.json"):
			file = "tokenizer.json"
		case has("vocab.json"):
			file = "vocab.json"
		case has("vocab.txt"):
			file = "vocab.txt"
		default:
			return nil, fmt.Errorf("tokenizer: %s: no tokenizer.model, spiece.model, tokenizer.json, vocab.json or "+
				"vocab.txt in it", path)
		}
	}
	full := filepath.Join(dir, file)
	b, err := readFile(full)
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	switch {
	case filepath.Ext(file) == ".txt":
		t, err = loadBert(b, c, hf)
	case file == "vocab.json":
		var merges [][2]string
		if merges, err = readMerges(filepath.Join(dir, "merges.txt")); err == nil {
			t, err = loadMerges(b, merges, c, hf)
		}
	case filepath.Ext(file) == ".json":
		t, err = loadFast(b, c, hf)
	default:
		t, err = loadSlow(b, c, hf)
	}
	if err != nil {
		return nil, inFile(full, err)
	}
	t.dir = dir
	t.chatTemplate, err = readChatTemplate(dir, hf)
	return t, err
}

// readChatTemplate takes the chat template of the first file that has one, in the order of transformers. Of several by
// name it is the one named default.
func readChatTemplate(dir string, hf *hfConfig) (string, error) {
	b, err := readFile(filepath.Join(dir, "chat_template.jinja"))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return string(b), err
	}
	var processor struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if _, err := readJSON(filepath.Join(dir, "chat_template.json"), &processor); err != nil {
		return "", err
	}
	for _, raw := range []json.RawMessage{processor.ChatTemplate, hf.ChatTemplate} {
		var one string
		var several []struct{ Name, Template string }
		if json.Unmarshal(raw, &one) == nil && one != "" {
			return one, nil
		}
		if json.Unmarshal(raw, &several) != nil {
			continue
		}
		for _, x := range several {
			if x.Name == "default" {
				return x.Template, nil
			}
		}
	}
	return "", nil
}

// merge fills what the caller left open.
func (hf *hfConfig) merge(c Config) Config {
	if c.Class == "" {
		c.Class = hf.Class
	}
	c.Class = strings.TrimSuffix(c.Class, "Fast")
	if c.Legacy == nil {
		c.Legacy = hf.Legacy
	}
	if c.AddBOS == nil {
		c.AddBOS = hf.AddBOS
	}
	if c.AddEOS == nil {
		c.AddEOS = hf.AddEOS
	}
	if c.ExtraIDs == 0 && hf.ExtraIDs != nil {
		c.ExtraIDs = *hf.ExtraIDs
	}
	if c.Added == nil {
		c.Added = hf.added
	}
	if c.Lower == nil {
		c.Lower = hf.Lower
	}
	return c
}

func is(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}

// slowClass tells what a class does around a SentencePiece model.
func slowClass(class string) (slowKind, bool) {
	switch class {
	case "":
		return rawPieces, true
	case "LlamaTokenizer", "CodeLlamaTokenizer":
		return slowLlama, true
	case "T5Tokenizer":
		return slowT5, true
	}
	return rawPieces, false
}

// loadSlow builds a tokenizer from a SentencePiece model.
func loadSlow(b []byte, c Config, hf *hfConfig) (*Tokenizer, error) {
	kind, ok := slowClass(c.Class)
	if !ok {
		return nil, fmt.Errorf("class %s on a SentencePiece model: %w; use its tokenizer.json", c.Class, ErrUnsupported)
	}
	m, err := newSentencePiece(b)
	if err != nil {
		return nil, err
	}
	vocab := make(map[string]int32, len(m.ids))
	for s, id := range m.ids {
		vocab[s] = id
	}
	t := &Tokenizer{added: &added{}, cls: -1, sep: -1, unk: m.unk, bos: -1, eos: -1, pad: -1}
	if err := t.setVocab("pieces", vocab); err != nil {
		return nil, err
	}
	if kind == rawPieces {
		t.bos, t.eos, t.pad = m.control(m.proto.bos), m.control(m.proto.eos), m.control(m.proto.pad)
		t.surfaces = m
	} else if err := t.slowTokens(kind, c, hf); err != nil {
		return nil, err
	}
	for i, x := range c.Added {
		if kind != rawPieces {
			break
		}
		if err := t.checkAdded(i, x); err != nil {
			return nil, err
		}
		t.setAdded(x)
	}
	if is(c.AddBOS, kind == slowLlama) && kind != slowT5 {
		if t.bos < 0 {
			return nil, fmt.Errorf("no beginning-of-text token, but one is to be added")
		}
		t.before = []int32{t.bos}
	}
	if is(c.AddEOS, kind == slowT5) {
		if t.eos < 0 {
			return nil, fmt.Errorf("no end-of-text token, but one is to be added")
		}
		t.after = []int32{t.eos}
		t.onceEOS = kind == slowT5
	}
	t.added.index(nil)
	s := newSlow(m, kind, is(c.Legacy, true), t.added, t.Token(t.unk))
	t.enc, t.dec = s, s.decoder
	return t, nil
}

func (m *spModel) control(piece string) int32 {
	if id, ok := m.ids[piece]; ok && m.proto.pieces[id].kind == pieceControl {
		return id
	}
	return -1
}

func (t *Tokenizer) checkAdded(i int, x AddedToken) error {
	field := fmt.Sprintf("added token %d (%q)", i, x.Content)
	if x.Content == "" {
		return fieldError(field, "empty")
	}
	if err := checkID(field, int64(x.ID)); err != nil {
		return err
	}
	if int(x.ID) > len(t.tokens)+1<<16 {
		return fieldError(field, "id %d is far beyond the vocabulary's %d tokens", x.ID, len(t.tokens))
	}
	return nil
}

// slowTokens puts in the added and special tokens of Hugging Face's classes in Python.
func (t *Tokenizer) slowTokens(kind slowKind, c Config, hf *hfConfig) error {
	for i, x := range c.Added {
		if err := t.checkAdded(i, x); err != nil {
			return err
		}
		t.setAdded(x)
	}
	special := func(role, otherwise string) int32 {
		s := hf.token(role, otherwise)
		if s == "" {
			return -1
		}
		return t.ensureSpecial(s)
	}
	if kind == slowT5 {
		t.eos, t.unk, t.pad = special("eos_token", "</s>"), special("unk_token", "<unk>"), special("pad_token", "<pad>")
		extra := c.ExtraIDs
		if extra == 0 {
			extra = 100
		}
		if _, ok := t.ids["<extra_id_0>"]; !ok {
			if extra < 0 || extra > 1<<16 {
				return fieldError("extra_ids", "%d", extra)
			}
			for i := extra - 1; i >= 0; i-- {
				t.setAdded(AddedToken{ID: int32(len(t.tokens)), Content: fmt.Sprintf("<extra_id_%d>", i), LStrip: true,
					RStrip: true, Special: true})
			}
		}
	} else {
		t.bos, t.eos, t.unk = special("bos_token", "<s>"), special("eos_token", "</s>"), special("unk_token", "<unk>")
		t.pad = special("pad_token", "")
	}
	for _, x := range hf.more {
		t.ensureSpecial(x.Content)
	}
	return nil
}

// ensureSpecial makes s an added special token, with a new id if need be.
func (t *Tokenizer) ensureSpecial(s string) int32 {
	for _, x := range t.added.list {
		if x.Content == s {
			return x.ID
		}
	}
	id, ok := t.ids[s]
	if !ok {
		id = int32(len(t.tokens))
	}
	t.setAdded(AddedToken{ID: id, Content: s, Special: true})
	return id
}
