package data

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// depthLimit is how deep a record may nest; LLaVA's need 3.
const depthLimit = 512

// grammar checks JSON byte by byte, strictly as RFC 8259 has it, without building anything.
type grammar struct {
	lone int // where the first lone surrogate escape stands, or -1
}

// value passes over the value that begins at b[i] and returns where it ends. A kind other than "" says that it does
// not, and the position is then that of the offence; for Cut it is len(b).
func (g *grammar) value(b []byte, i, depth int) (int, Kind) {
	if i >= len(b) {
		return len(b), Cut
	}
	switch c := b[i]; {
	case c == '"':
		return g.text(b, i)
	case c == '{' || c == '[':
		if depth >= depthLimit {
			return i, TooDeep
		}
		return g.list(b, i, depth+1)
	case c == '-' || '0' <= c && c <= '9':
		return number(b, i)
	case c == 't':
		return word(b, i, "true")
	case c == 'f':
		return word(b, i, "false")
	case c == 'n':
		return word(b, i, "null")
	}
	return i, Syntax
}

// list passes over an object or an array.
func (g *grammar) list(b []byte, i, depth int) (int, Kind) {
	object := b[i] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	var k Kind
	for first := true; ; first = false {
		if i = space(b, i+1); i == len(b) {
			return i, Cut
		}
		if b[i] == end {
			if !first {
				return i, TrailingComma
			}
			return i + 1, ""
		}
		if object {
			if b[i] != '"' {
				return i, Syntax
			}
			if i, k = g.text(b, i); k != "" {
				return i, k
			}
			if i = space(b, i); i == len(b) {
				return i, Cut
			}
			if b[i] != ':' {
				return i, Syntax
			}
			i = space(b, i+1)
		}
		if i, k = g.value(b, i, depth); k != "" {
			return i, k
		}
		if i = space(b, i); i == len(b) {
			return i, Cut
		}
		if b[i] == end {
			return i + 1, ""
		}
		if b[i] != ',' {
			return i, Syntax
		}
	}
}

// text passes over a string.
func (g *grammar) text(b []byte, i int) (int, Kind) {
	for i++; ; {
		i = plain(b, i)
		if i == len(b) {
			return i, Cut
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, ""
		case c < 0x20:
			return i, Syntax
		case c == '\\':
			n, k := g.escape(b, i)
			if k != "" {
				return n, k
			}
			i = n
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				if !utf8.FullRune(b[i:]) {
					return len(b), Cut
				}
				return i, BadUTF8
			}
			i += n
		}
	}
}

// escape passes over the backslash at b[i] and what belongs to it; an offence lies at the backslash.
func (g *grammar) escape(b []byte, i int) (int, Kind) {
	if i+1 == len(b) {
		return len(b), Cut
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
	default:
		return i, Syntax
	}
	u, k := hex4(b, i)
	if k == Cut {
		return len(b), Cut
	}
	if k != "" {
		return i, k
	}
	if u&0xf800 != 0xd800 {
		return i + 6, ""
	}
	if u < 0xdc00 { // the first half: the second must follow
		if rest := b[i+6:]; len(rest) < 6 && string(rest) == `\u`[:min(len(rest), 2)] {
			return len(b), Cut
		}
		if b[i+6] == '\\' && b[i+7] == 'u' {
			if v, k := hex4(b, i+6); k == "" && v&0xfc00 == 0xdc00 {
				return i + 12, ""
			}
		}
	}
	if g.lone < 0 {
		g.lone = i
	}
	return i + 6, ""
}

// hex4 reads the four digits of the \u at b[i].
func hex4(b []byte, i int) (uint16, Kind) {
	var u uint16
	for j := i + 2; j < i+6; j++ {
		if j >= len(b) {
			return 0, Cut
		}
		switch c := b[j]; {
		case '0' <= c && c <= '9':
			u = u<<4 | uint16(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			u = u<<4 | uint16(c|0x20-'a'+10)
		default:
			return 0, Syntax
		}
	}
	return u, ""
}

// plain returns the first position from i on of a byte that ends or interrupts the plain ASCII of a string: a quote, a
// backslash, a control character, a byte of a longer character; len(b) if there is none.
func plain(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		m := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x | x) & tops
		if m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < 0x20 || c >= 0x80 {
			break
		}
	}
	return i
}

// number passes over a number; where it breaks off, what follows is for the caller to refuse.
func number(b []byte, i int) (int, Kind) {
	start := i
	if b[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	switch {
	case i == len(b):
		return i, Cut
	case b[i] == '0':
		i++
	case !digits():
		return start, Syntax
	}
	if i < len(b) && b[i] == '.' {
		if i++; i == len(b) {
			return i, Cut
		}
		if !digits() {
			return start, Syntax
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i == len(b) {
			return i, Cut
		}
		if !digits() {
			return start, Syntax
		}
	}
	return i, ""
}

func word(b []byte, i int, w string) (int, Kind) {
	n := min(len(b)-i, len(w))
	if string(b[i:i+n]) != w[:n] {
		return i, Syntax
	}
	if n < len(w) {
		return len(b), Cut
	}
	return i + n, ""
}

// space returns the first position from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return min(i, len(b))
}

// past returns where the value at b[i] ends, in bytes that are known to be well-formed.
func past(b []byte, i int) int {
	depth := 0
	for {
		switch c := b[i]; c {
		case '"':
			i = pastText(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\r', '\t':
			i++
			continue
		default: // a number or a word
			for i++; i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i]|0x20 >= 'a' && b[i]|0x20 <= 'z' || b[i] == '.' ||
				b[i] == '+' || b[i] == '-'); {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// pastText returns where the well-formed string at b[i] ends.
func pastText(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// unquote returns the text of the valid JSON string b; a lone surrogate becomes U+FFFD.
func unquote(b []byte) string {
	b = b[1 : len(b)-1]
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for ; i >= 0; i = bytes.IndexByte(b, '\\') {
		out = append(out, b[:i]...)
		n := 2
		switch c := b[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			u, _ := hex4(b, i)
			r := rune(u)
			if n = 6; u&0xfc00 == 0xd800 && i+12 <= len(b) && b[i+6] == '\\' && b[i+7] == 'u' {
				if v, _ := hex4(b, i+6); v&0xfc00 == 0xdc00 {
					r = 0x10000 + (r-0xd800)<<10 + rune(v) - 0xdc00
					n = 12
				}
			}
			out = utf8.AppendRune(out, r) // a surrogate is appended as U+FFFD
		default:
			out = append(out, c)
		}
		b = b[i+n:]
	}
	return string(append(out, b...))
}
