package tokenizer

import "unicode/utf8"

// pending returns how many bytes at the end of b may still become one character.
func pending(b []byte) int {
	for n := 1; n <= 3 && n <= len(b); n++ {
		t := b[len(b)-n:]
		if t[0] >= 0x80 && t[0] < 0xC0 {
			continue
		}
		if part, whole := prefixLen(t); !whole && part == n && t[0] >= 0xC2 && t[0] <= 0xF4 {
			return n
		}
		return 0
	}
	return 0
}

// prefixLen returns how many bytes of b belong together: a whole character, or the longest beginning of one
// (the maximal subpart of the Unicode standard, section 3.9), at least 1.
func prefixLen(b []byte) (n int, whole bool) {
	c := b[0]
	need, lo, hi := 0, byte(0x80), byte(0xBF)
	switch {
	case c < 0x80:
		return 1, true
	case c >= 0xC2 && c <= 0xDF:
		need = 2
	case c >= 0xE0 && c <= 0xEF:
		need = 3
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 4
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	default:
		return 1, false
	}
	for n = 1; n < need; n++ {
		if n >= len(b) || b[n] < lo || b[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xBF
	}
	return need, true
}

// appendLossy writes b as UTF-8: every broken part becomes one U+FFFD, or with each every byte of it.
func appendLossy(dst, b []byte, each bool) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		n, whole := prefixLen(b)
		if whole {
			dst = append(dst, b[:n]...)
		} else {
			dst = append(dst, "\uFFFD"...)
			if each {
				n = 1
			}
		}
		b = b[n:]
	}
	return dst
}
