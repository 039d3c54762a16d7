package tokenizer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/misuse"
)

// encoder turns a text into tokens, without what Wrap adds.
type encoder interface {
	encode(out *output, p passage, special bool)
}

// Tokenizer maps text to token ids and back. It is safe for concurrent use, except for AddTokens.
type Tokenizer struct {
	tokens []string // by id; "" where there is none
	ids    map[string]int32
	added  *added
	enc    encoder
	dec    func(t *Tokenizer) decoder
	norm   func(string) string // of added tokens that are looked for in normalised text; nil: none are

	before, after      []int32 // what Wrap adds
	onceEOS            bool    // after is left out where the ids end with it
	bos, eos, pad, unk int32
	sep, cls           int32

	contextPad int32    // what Context pads with
	surfaces   *spModel // SentencePiece alone: Pieces shows unknown characters as they are

	dir   string            // where Load found it
	files map[string][]byte // what it consists of, if not in dir
	grown bool              // whether AddTokens was called

	chatTemplate string
}

func (t *Tokenizer) decoder() decoder { return t.dec(t) }

// Encode returns the tokens of text without beginning- and end-of-text tokens. Special tokens that are written in the
// text stay text, so that text from outside cannot give orders to a model.
func (t *Tokenizer) Encode(text string) []int32 {
	out := output{ids: make([]int32, 0, len(text)/3+8)}
	t.enc.encode(&out, newPassage(text, false), false)
	return out.ids
}

// EncodeSpecial is Encode with the special tokens in the text parsed as such, as Hugging Face's tokenizers do.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	out := output{ids: make([]int32, 0, len(text)/3+8)}
	t.enc.encode(&out, newPassage(text, false), true)
	return out.ids
}

// EncodeOffsets is EncodeSpecial, or Encode if special is false, and returns for every token the range of bytes of text
// that it stands for: empty for a token that the tokenizer put in, such as a dummy prefix. Where normalisation turned
// several bytes into one thing, every token of it has the whole range.
func (t *Tokenizer) EncodeOffsets(text string, special bool) (ids []int32, spans [][2]int) {
	out := output{track: true, ids: []int32{}, spans: [][2]int{}}
	t.enc.encode(&out, newPassage(text, true), special)
	return out.ids, out.spans
}

// EncodeGuarded is EncodeOffsets with special tokens parsed, but those that touch one of the given ranges of bytes stay
// text: text from outside, in the midst of a template's. The ranges ascend and do not overlap.
func (t *Tokenizer) EncodeGuarded(text string, plain [][2]int) (ids []int32, spans [][2]int) {
	out := output{track: true, ids: []int32{}, spans: [][2]int{}, plain: plain}
	t.enc.encode(&out, newPassage(text, true), true)
	return out.ids, out.spans
}

// Unread lists the parts of text, each once, that have no token: a model is shown the unknown token in their place, and
// cannot say them.
func (t *Tokenizer) Unread(text string) (parts []string) {
	if t.unk < 0 {
		return nil
	}
	ids, spans := t.EncodeOffsets(text, false)
	for i, id := range ids {
		part := strings.TrimSpace(text[spans[i][0]:spans[i][1]])
		if id == t.unk && part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// Pieces returns the tokens of EncodeSpecial(text) as strings. SentencePiece alone shows unknown characters themselves.
func (t *Tokenizer) Pieces(text string) []string {
	ids := t.EncodeSpecial(text)
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = t.Token(id)
	}
	if m := t.surfaces; m != nil && len(t.added.list) == 0 {
		p := m.normalize(newPassage(text, false))
		at := 0
		for i, x := range m.split.tokenize(nil, p.text, false) {
			if x.id == m.unk {
				out[i] = p.text[at : at+int(x.n)]
			}
			at += int(x.n)
		}
	}
	return out
}

// Wrap adds what the reference tokenizer's call puts around ids: beginning and end of text, [CLS] and [SEP], or
// nothing. ids is not modified.
func (t *Tokenizer) Wrap(ids []int32) []int32 {
	out := make([]int32, 0, len(t.before)+len(ids)+len(t.after))
	out = append(append(out, t.before...), ids...)
	if t.onceEOS && len(ids) > 0 && len(t.after) == 1 && ids[len(ids)-1] == t.after[0] {
		return out
	}
	return append(out, t.after...)
}

// Size is one more than the highest id.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Rows returns an error if a model with embeddings for so many tokens is not this tokenizer's. Tokens that were added
// behind the vocabulary, such as a token for padding, may lack a row as long as no text uses them.
func (t *Tokenizer) Rows(rows int) error {
	size := len(t.tokens)
	for _, x := range t.added.list {
		if int(x.ID) >= rows {
			size--
		}
	}
	if size > rows {
		return fmt.Errorf("the tokenizer has %d tokens, but the language model has embeddings for %d", len(t.tokens),
			rows)
	}
	return nil
}

// ID returns the id of a token.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the token as the vocabulary writes it, "" if id does not exist.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// Special says whether Decode skips a token because it is special.
func (t *Tokenizer) Special(id int32) bool { return t.added.special(id) }

// ChatTemplate is the chat_template that the files carry, a program in Jinja, "" if there is none. See
// chat.FromTokenizer.
func (t *Tokenizer) ChatTemplate() string { return t.chatTemplate }

// BOS returns the beginning-of-text token ([CLS] for BERT), -1 if there is none.
func (t *Tokenizer) BOS() int32 {
	if t.bos < 0 {
		return t.cls
	}
	return t.bos
}

// EOS returns the end-of-text token ([SEP] for BERT), -1 if there is none.
func (t *Tokenizer) EOS() int32 {
	if t.eos < 0 {
		return t.sep
	}
	return t.eos
}

// Pad returns the padding token, -1 if there is none.
func (t *Tokenizer) Pad() int32 { return t.pad }

// Unknown returns the token of what the vocabulary cannot write, -1 if there is none.
func (t *Tokenizer) Unknown() int32 { return t.unk }

// Added returns the added tokens in the order in which they were added.
func (t *Tokenizer) Added() []AddedToken { return slices.Clone(t.added.list) }

// AddTokens adds tokens that the model shall not split. A token whose content is in the vocabulary keeps that id;
// others get the next ids, whatever their ID says. A token that was added before gets the new flags. It panics if a
// content is empty. Do not call it while others use the tokenizer.
func (t *Tokenizer) AddTokens(tokens ...AddedToken) {
	for _, x := range tokens {
		if x.Content == "" {
			panic(misuse.Errorf("tokenizer", "AddTokens: empty content"))
		}
		id, ok := t.ids[x.Content]
		if !ok {
			id = int32(len(t.tokens))
		}
		x.ID = id
		t.setAdded(x)
	}
	t.added.index(t.norm)
	t.grown = true
}

// setAdded puts in a token with its id; index must follow.
func (t *Tokenizer) setAdded(x AddedToken) {
	for int(x.ID) >= len(t.tokens) {
		t.tokens = append(t.tokens, "")
	}
	t.tokens[x.ID] = x.Content
	t.ids[x.Content] = x.ID
	for i := range t.added.list {
		if t.added.list[i].ID == x.ID || t.added.list[i].Content == x.Content {
			t.added.list[i] = x
			return
		}
	}
	t.added.list = append(t.added.list, x)
}

const maxSize = 1 << 24 // no vocabulary has more tokens; protects against ids that would need huge tables

func checkID(field string, id int64) error {
	if id < 0 || id >= maxSize {
		return fieldError(field, "id %d is not between 0 and %d", id, maxSize-1)
	}
	return nil
}

// setVocab fills the tables from a vocabulary with unique ids.
func (t *Tokenizer) setVocab(field string, vocab map[string]int32) error {
	top := int32(-1)
	for s, id := range vocab {
		if err := checkID(fmt.Sprintf("%s[%q]", field, s), int64(id)); err != nil {
			return err
		}
		top = max(top, id)
	}
	if int(top) > 16*len(vocab)+1<<16 {
		return fieldError(field, "the highest id is %d, but it has %d tokens only", top, len(vocab))
	}
	t.tokens = make([]string, top+1)
	t.ids = make(map[string]int32, len(vocab))
	for s, id := range vocab {
		t.ids[s] = id
		if t.tokens[id] == "" || s < t.tokens[id] {
			t.tokens[id] = s
		}
	}
	return nil
}
