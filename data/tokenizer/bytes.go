package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Bytes returns what a token adds to a text that has begun: " dog" for Llama's "▁dog", a single byte for "<0xE2>",
// and part of a character where a byte-level token is one. Special tokens and ids that do not exist have none.
func (t *Tokenizer) Bytes(id int32) []byte {
	if !t.visible(id) {
		return nil
	}
	token := t.tokens[id]
	if b, ok := byteToken(token); ok {
		return []byte{b}
	}
	d := t.decoder()
	out := d.push(nil, t.letter()) // so that no rule for the beginning of a text applies
	out = d.push(out[:0], id)
	text := string(out) + string(d.flush(nil))
	if utf8.ValidString(text) && !strings.ContainsRune(text, utf8.RuneError) {
		return []byte(text)
	}
	if raw, ok := levelBytes(nil, token); ok {
		return raw
	}
	return []byte(text)
}

// letter is a token that is an ASCII letter by itself, or −1.
func (t *Tokenizer) letter() int32 {
	for c := 'a'; c <= 'z'; c++ {
		if id, ok := t.ID(string(c)); ok && t.visible(id) {
			return id
		}
	}
	return -1
}
