package tokenizer

import (
	"strings"
	"unicode/utf8"
)

const space = "▁" // U+2581, SentencePiece's visible space

// bpe merges neighbouring symbols, best rank first (Sennrich et al., 2016). It serves SentencePiece models, where
// any two symbols whose concatenation is a piece merge and the score is the rank, and tokenizer.json, where the
// merges are listed.
type bpe struct {
	vocab   map[string]int32
	size    int32 // symbols from here on are characters that only occur inside pieces
	pairs   *pairs
	runes   map[rune]int32
	bytes   *[256]int32 // byte fallback; nil without
	level   *byteLevel  // byte-level symbols; nil if symbols are characters
	prefix  string      // of every symbol but a word's first
	suffix  string      // of a word's last symbol
	unk     int32       // -1: unknown characters vanish
	fuseUnk bool
	whole   bool // ignore_merges: a word that is in the vocabulary is taken whole

	frozen *trie          // user-defined pieces, which merge with nothing; nil without
	unused map[int32]bool // pieces that are taken apart again
	length []int32        // bytes of every symbol, for taking apart

	cut   cutRule
	cache *wordCache
}

// cutRule says where a text may be cut without changing its tokens, because no piece reaches over such a place.
type cutRule int

const (
	cutNowhere cutRule = iota
	cutBefore          // between anything else and ▁
	cutAfter           // between ▁ and anything else
)

// cutFor looks through everything that merging can produce.
func cutFor(pieces func(yield func(string) bool)) cutRule {
	before, after := true, true
	for p := range pieces {
		for i := 0; i+len(space) <= len(p); i++ {
			if p[i:i+len(space)] != space {
				continue
			}
			before = before && (i == 0 || strings.HasSuffix(p[:i], space))
			after = after && (i+len(space) == len(p) || strings.HasPrefix(p[i+len(space):], space))
		}
	}
	switch {
	case before:
		return cutBefore
	case after:
		return cutAfter
	}
	return cutNowhere
}

// nextCut returns where the first word of s ends.
func (c cutRule) next(s string) int {
	switch c {
	case cutBefore:
		i := 0
		for strings.HasPrefix(s[i:], space) {
			i += len(space)
		}
		if k := strings.Index(s[i:], space); k >= 0 {
			return i + k
		}
	case cutAfter:
		i := strings.Index(s, space)
		if i < 0 {
			return len(s)
		}
		for strings.HasPrefix(s[i:], space) {
			i += len(space)
		}
		return i
	}
	return len(s)
}

func (m *bpe) tokenize(dst []piece, text string, _ bool) []piece {
	if len(m.unused) > 0 {
		return m.apart(dst, text)
	}
	if m.frozen == nil {
		return m.words(dst, text)
	}
	from := 0
	for from < len(text) {
		start, end, id := m.frozen.find(text, from)
		if start < 0 {
			break
		}
		dst = m.words(dst, text[from:start])
		dst = append(dst, piece{id, int32(end - start)})
		from = end
	}
	return m.words(dst, text[from:])
}

func (m *bpe) words(dst []piece, text string) []piece {
	for len(text) > 0 {
		n := m.cut.next(text)
		dst = m.word(dst, text[:n])
		text = text[n:]
	}
	return dst
}

func (m *bpe) word(dst []piece, word string) []piece {
	if len(word) > cacheWord {
		return m.merge(dst, word)
	}
	slot := m.cache.slot(word)
	if c := slot.Load(); c != nil && c.word == word {
		return append(dst, c.pieces...)
	}
	at := len(dst)
	dst = m.merge(dst, word)
	m.cache.put(slot, word, dst[at:])
	return dst
}

const shortWord = 32 // symbols up to which quadratic merging is taken

func (m *bpe) merge(dst []piece, word string) []piece {
	if m.whole {
		if id, ok := m.lookup(word); ok {
			return append(dst, piece{id, int32(len(word))})
		}
	}
	var room [shortWord + 1]symbol
	var ranks [shortWord + 1]merged
	s := m.symbols(room[:0], word)
	if len(s) <= shortWord {
		s = m.pairs.mergeShort(s, ranks[:0])
	} else {
		s = m.pairs.mergeLong(s, nil)
	}
	at := 0
	for i := range s {
		dst = m.emit(dst, &s[i], word[at:at+int(s[i].n)])
		at += int(s[i].n)
	}
	return dst
}

func (m *bpe) lookup(word string) (int32, bool) {
	if m.level != nil {
		return m.level.id(word)
	}
	id, ok := m.vocab[word]
	return id, ok
}

func (m *bpe) symbols(s []symbol, word string) []symbol {
	if m.level != nil {
		last := len(word) - 1
		for i := range last + 1 {
			id := m.level.inner[word[i]]
			if i == last {
				id = m.level.last[word[i]]
			}
			s = append(s, symbol{id: id, n: 1, out: -1})
		}
		return s
	}
	affixed := m.prefix != "" || m.suffix != ""
	for i := 0; i < len(word); {
		r, n := utf8.DecodeRuneInString(word[i:])
		id, ok := int32(-1), false
		if affixed {
			c := word[i : i+n]
			if i > 0 {
				c = m.prefix + c
			}
			if i+n == len(word) {
				c += m.suffix
			}
			id, ok = m.vocab[c]
		} else {
			id, ok = m.runes[r]
		}
		if !ok {
			id = -1
		}
		s = append(s, symbol{id: id, n: int32(n), out: -1})
		i += n
	}
	return s
}

// emit writes the token of a symbol, or the bytes of an unknown one.
func (m *bpe) emit(dst []piece, s *symbol, text string) []piece {
	switch {
	case s.id >= 0 && s.id < m.size:
		return append(dst, piece{s.id, s.n})
	case s.out >= 0:
		return append(dst, piece{s.out, s.n})
	}
	return m.unknown(dst, text)
}

func (m *bpe) unknown(dst []piece, text string) []piece {
	if out, ok := asBytes(dst, m.bytes, text); ok {
		return out
	}
	if m.fuseUnk && m.unk >= 0 && len(dst) > 0 && dst[len(dst)-1].id == m.unk {
		dst[len(dst)-1].n += int32(len(text))
		return dst
	}
	return append(dst, piece{m.unk, int32(len(text))})
}

// apart tokenises with a model that has unused pieces: they may be merged on the way to others, and what is left of
// them is split again into the two symbols that were last seen to make them.
func (m *bpe) apart(dst []piece, text string) []piece {
	if text == "" {
		return dst
	}
	var s []symbol
	for i := 0; i < len(text); {
		if m.frozen != nil {
			if id, n := m.frozen.longest(text[i:]); n > 0 {
				s = append(s, symbol{id: -1, n: int32(n), out: id})
				i += n
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		id, ok := m.runes[r]
		if !ok {
			id = -1
		}
		s = append(s, symbol{id: id, n: int32(n), out: -1})
		i += n
	}
	made := map[int32][2]int32{}
	s = m.pairs.mergeLong(s, func(left, right, id int32) {
		if m.unused[id] {
			made[id] = [2]int32{left, right}
		}
	})
	var split func(dst []piece, x symbol, text string) []piece
	split = func(dst []piece, x symbol, text string) []piece {
		parts, ok := made[x.id]
		if x.id < 0 || !m.unused[x.id] || !ok {
			return m.emit(dst, &x, text)
		}
		n := m.length[parts[0]]
		dst = split(dst, symbol{id: parts[0], n: n, out: -1}, text[:n])
		return split(dst, symbol{id: parts[1], n: m.length[parts[1]], out: -1}, text[n:])
	}
	at := 0
	for _, x := range s {
		dst = split(dst, x, text[at:at+int(x.n)])
		at += int(x.n)
	}
	return dst
}

// asBytes writes the byte tokens of text, if there is one for every byte.
func asBytes(dst []piece, table *[256]int32, text string) ([]piece, bool) {
	if table == nil {
		return dst, false
	}
	at := len(dst)
	for i := range len(text) {
		if table[text[i]] < 0 {
			return dst[:at], false
		}
		dst = append(dst, piece{table[text[i]], 1})
	}
	return dst, true
}
