package tokenizer

// byteRunes is GPT-2's table: every byte as a printable character. Printable Latin-1 stands for itself, the other 68
// bytes follow from U+0100 on.
var byteRunes, runeBytes = func() (to [256]rune, from map[rune]byte) {
	from = map[rune]byte{}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		to[b], from[r] = r, byte(b)
	}
	return to, from
}()

// levelString writes bytes in GPT-2's alphabet.
func levelString(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = byteRunes[s[i]]
	}
	return string(out)
}

// levelBytes reads GPT-2's alphabet; false if a character is not of it.
func levelBytes(dst []byte, s string) ([]byte, bool) {
	at := len(dst)
	for _, r := range s {
		b, ok := runeBytes[r]
		if !ok {
			return dst[:at], false
		}
		dst = append(dst, b)
	}
	return dst, true
}

// byteLevel holds the symbols of a byte-level vocabulary.
type byteLevel struct {
	inner [256]int32       // symbol of a byte that is not a word's last
	last  [256]int32       // with the end-of-word suffix, where there is one
	words map[string]int32 // the vocabulary in bytes, for ignore_merges
}

func newByteLevel(vocab map[string]int32, suffix string, whole bool) *byteLevel {
	l := &byteLevel{}
	get := func(s string) int32 {
		if id, ok := vocab[s]; ok {
			return id
		}
		return -1
	}
	for b, r := range byteRunes {
		l.inner[b] = get(string(r))
		l.last[b] = get(string(r) + suffix)
	}
	if whole {
		l.words = make(map[string]int32, len(vocab))
		for s, id := range vocab {
			if b, ok := levelBytes(nil, s); ok {
				l.words[string(b)] = id
			}
		}
	}
	return l
}

func (l *byteLevel) id(word string) (int32, bool) {
	id, ok := l.words[word]
	return id, ok
}
