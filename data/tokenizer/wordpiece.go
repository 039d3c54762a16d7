package tokenizer

import "unicode/utf8"

// wordPiece takes the longest piece of the vocabulary again and again (Wu et al., 2016).
type wordPiece struct {
	first, inner *trie // pieces that begin a word, and those that go on, without their prefix
	unk          int32
	limit        int // a word with more characters is unknown
}

func newWordPiece(vocab map[string]int32, prefix string, unk int32, limit int) *wordPiece {
	var first, inner []string
	var firstID, innerID []int32
	for s, id := range vocab {
		first, firstID = append(first, s), append(firstID, id)
		if len(s) > len(prefix) && s[:len(prefix)] == prefix {
			inner, innerID = append(inner, s[len(prefix):]), append(innerID, id)
		}
	}
	return &wordPiece{first: newTrie(first, firstID), inner: newTrie(inner, innerID), unk: unk, limit: limit}
}

func (m *wordPiece) tokenize(dst []piece, word string, _ bool) []piece {
	if word == "" {
		return dst
	}
	at := len(dst)
	if utf8.RuneCountInString(word) <= m.limit {
		set := m.first
		for i := 0; i < len(word); {
			id, n := set.longest(word[i:])
			if n == 0 {
				dst = append(dst[:at], piece{m.unk, int32(len(word))})
				return dst
			}
			dst = append(dst, piece{id, int32(n)})
			i += n
			set = m.inner
		}
		return dst
	}
	return append(dst, piece{m.unk, int32(len(word))})
}
