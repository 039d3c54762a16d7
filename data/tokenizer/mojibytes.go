package tokenizer

import (
	"unicode/utf8"
)

// byteRule is a sequence of sets of bytes; each set lists pairs from, to.
type byteRule []string

func (r byteRule) match(b []byte) bool {
	if len(b) < len(r) {
		return false
	}
	for i, set := range r {
		ok := false
		for k := 0; k+1 < len(set); k += 2 {
			ok = ok || b[i] >= set[k] && b[i] <= set[k+1]
		}
		if !ok {
			return false
		}
	}
	return true
}

const (
	anyNext   = "\x80\xBF"
	blankByte = "  "
	next85A0  = "\x80\x84\x86\x9F\xA1\xBF" // continuation bytes but for those that are white space in Windows-1252
)

// spaced are UTF-8 sequences in which byte A0 has become a space.
var spaced = []byteRule{
	{"\xC2\xC3\xC5\xC5\xCE\xCE\xD0\xD0\xD9\xD9", blankByte},
	{"\xE2\xE3", blankByte, next85A0},
	{"\xE0\xE3", next85A0, blankByte},
	{"\xF0\xF0", blankByte, anyNext, anyNext},
	{"\xF0\xF0", anyNext, blankByte, anyNext},
	{"\xF0\xF0", anyNext, anyNext, blankByte},
}

func find(b []byte, rules []byteRule) (at, n int) {
	for i := range b {
		for _, r := range rules {
			if r.match(b[i:]) {
				return i, len(r)
			}
		}
	}
	return -1, 0
}

// restoreSpaces puts A0 back where a space took its place. After à as a word of its own the space stays, too.
func restoreSpaces(b []byte) []byte {
	if at, _ := find(b, spaced); at < 0 {
		return b
	}
	var words []byte
	for i := 0; i < len(b); i++ {
		words = append(words, b[i])
		if b[i] != 0xC3 || i+1 >= len(b) || b[i+1] != ' ' {
			continue
		}
		rest, joined := string(b[i+2:]), false
		for _, w := range []string{" ", "quele", "quela", "quilo", "s "} { // Portuguese àquele, às …
			joined = joined || len(rest) >= len(w) && rest[:len(w)] == w
		}
		if !joined {
			words = append(words, 0xA0, ' ')
			i++
		}
	}
	return rewrite(words, spaced, func(m []byte) []byte {
		for i, c := range m {
			if c == ' ' {
				m[i] = 0xA0
			}
		}
		return m
	})
}

const (
	lost     = "\x1A\x1A"
	lostAsk  = "\x1A\x1A??"
	lostNext = "\x1A\x1A\x80\xBF"
	lostAny  = "\x1A\x1A??\x80\xBF"
)

// broken are UTF-8 sequences of which bytes are lost.
var broken = []byteRule{
	{"\xC2\xDF", lost},
	{"\xC2\xC3", "??"},
	{"\xED\xED", "\xA0\xAF", lostAsk, "\xED\xED", "\xB0\xBF", lostAny},
	{"\xED\xED", "\xA0\xAF", lostAny, "\xED\xED", "\xB0\xBF", lostAsk},
	{"\xE0\xEF", lostAsk, lostNext},
	{"\xE0\xEF", lostNext, lostAsk},
	{"\xF0\xF4", lostAsk, lostNext, lostNext},
	{"\xF0\xF4", lostNext, lostAsk, lostNext},
	{"\xF0\xF4", lostNext, lostNext, lostAsk},
	{lost},
}

// markLost makes them U+FFFD.
func markLost(b []byte) []byte {
	return rewrite(b, broken, func([]byte) []byte { return []byte("\uFFFD") })
}

func rewrite(b []byte, rules []byteRule, f func([]byte) []byte) []byte {
	var out []byte
	for len(b) > 0 {
		at, n := find(b, rules)
		if at < 0 {
			break
		}
		out = append(out, b[:at]...)
		out = append(out, f(append([]byte(nil), b[at:at+n]...))...)
		b = b[at+n:]
	}
	return append(out, b...)
}

// decodeUTF8 reads UTF-8, and where byte ED or C0 occurs also its variants: surrogate pairs of three bytes each
// (CESU-8) and C0 80 for zero.
func decodeUTF8(b []byte) (string, bool) {
	variant := false
	for _, c := range b {
		variant = variant || c == 0xED || c == 0xC0
	}
	if !variant {
		return string(b), utf8.Valid(b)
	}
	pair := byteRule{"\xED\xED", "\xA0\xAF", anyNext, "\xED\xED", "\xB0\xBF", anyNext}
	var out []byte
	for i := 0; i < len(b); {
		switch {
		case i+1 < len(b) && b[i] == 0xC0 && b[i+1] == 0x80:
			out = append(out, 0)
			i += 2
		case pair.match(b[i:]):
			r := rune(b[i+1]&0x0F)<<16 + rune(b[i+2]&0x3F)<<10 + rune(b[i+4]&0x0F)<<6 + rune(b[i+5]&0x3F) + 0x10000
			out = utf8.AppendRune(out, r)
			i += 6
		default:
			out = append(out, b[i])
			i++
		}
	}
	return string(out), utf8.Valid(out)
}
