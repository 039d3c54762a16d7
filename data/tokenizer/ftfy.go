package tokenizer

import (
	"html"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// fixText repairs text as ftfy.fix_text of ftfy 6.3 does with its defaults (R. Speer, https://ftfy.readthedocs.io):
// HTML entities unless the text has a <, text that was decoded with the wrong encoding, ligatures, full-width
// characters, curly quotes, line breaks, terminal escapes, control characters, NFC. It works line by line.
func fixText(p passage) passage {
	var b strings.Builder
	entities := true
	for _, line := range strings.SplitAfter(p.text, "\n") {
		entities = entities && !strings.Contains(line, "<")
		for {
			fixed := fixLine(line, entities)
			if fixed == line {
				break
			}
			line = fixed
		}
		b.WriteString(line)
	}
	if b.String() == p.text {
		return p
	}
	return aligned(p, b.String())
}

func fixLine(s string, entities bool) string {
	if entities {
		s = unescapeKnown(s)
	}
	s = fixEncoding(s)
	s = fixC1(s)
	s = mapString(s, func(r rune) (string, bool) {
		if t, ok := ligatures[r]; ok {
			return t, true
		}
		return "", false
	})
	s = mapString(s, width)
	s = mapString(s, func(r rune) (string, bool) {
		switch {
		case r == 0x2BC, r >= 0x2018 && r <= 0x201B:
			return "'", true
		case r >= 0x201C && r <= 0x201F:
			return `"`, true
		}
		return "", false
	})
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = mapString(s, func(r rune) (string, bool) {
		return "\n", r == '\r' || r == 0x2028 || r == 0x2029 || r == 0x85
	})
	s = withoutEscapes(s)
	s = mapString(s, func(r rune) (string, bool) {
		return "", r < 9 || r == 0x0B || r >= 0x0E && r < 0x20 || r == 0x7F || r >= 0x206A && r < 0x2070 ||
			r == 0xFEFF || r >= 0xFFF9 && r < 0xFFFD
	})
	return norm.NFC.String(s)
}

func mapString(s string, f func(rune) (string, bool)) string {
	return mapRunes(f)(passage{text: s}).text
}

var ligatures = map[rune]string{'Ĳ': "IJ", 'ĳ': "ij", 'ŉ': "ʼn", 'Ǳ': "DZ", 'ǲ': "Dz", 'ǳ': "dz", 'Ǆ': "DŽ", 'ǅ': "Dž",
	'ǆ': "dž", 'Ǉ': "LJ", 'ǈ': "Lj", 'ǉ': "lj",
	'Ǌ': "NJ", 'ǋ': "Nj", 'ǌ': "nj", 'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl", 'ﬅ': "ſt", 'ﬆ': "st"}

// width makes full-width and half-width forms ordinary.
func width(r rune) (string, bool) {
	if r == 0x3000 {
		return " ", true
	}
	if r < 0xFF01 || r >= 0xFFF0 {
		return "", false
	}
	s := norm.NFKC.String(string(r))
	return s, s != string(r)
}

// withoutEscapes takes out terminal escapes such as ESC [31m.
func withoutEscapes(s string) string {
	for at := 0; ; {
		k := strings.Index(s[at:], "\x1b[")
		if k < 0 {
			return s
		}
		at += k
		end := at + 2
		for end < len(s) {
			r, n := rune(s[end]), 1
			if r >= 0x80 {
				for _, r = range s[end:] {
					n = len(string(r))
					break
				}
			}
			if r != ';' && !unicode.Is(unicode.Nd, r) {
				break
			}
			end += n
		}
		if end < len(s) && (s[end]|0x20) >= 'a' && (s[end]|0x20) <= 'z' {
			s = s[:at] + s[end+1:]
		} else {
			at += 2
		}
	}
}

func alnum(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// unescapeKnown resolves entities that end in a semicolon; also some in capitals that HTML does not know.
func unescapeKnown(s string) string {
	var b strings.Builder
	for {
		k := strings.IndexByte(s, '&')
		if k < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:k])
		s = s[k:]
		end := 1
		if end < len(s) && s[end] == '#' {
			end++
		}
		name := end
		for end < len(s) && end-name < 24 && alnum(s[end]) {
			end++
		}
		if end == name || end == len(s) || s[end] != ';' {
			b.WriteByte('&')
			s = s[1:]
			continue
		}
		b.WriteString(entity(s[:end+1]))
		s = s[end+1:]
	}
}

// entity resolves &name; or &#number;, or returns it as it is.
func entity(s string) string {
	if s[1] == '#' {
		if t := unescape(s); !strings.Contains(t, ";") {
			return t
		}
		return s
	}
	if t, ok := exactEntity(s); ok {
		return t
	}
	if lower := strings.ToLower(s); s == strings.ToUpper(s) && html.UnescapeString(s) == s {
		if t, ok := exactEntity(lower); ok {
			return cases.Upper(language.Und).String(t)
		}
	}
	return s
}

func exactEntity(s string) (string, bool) {
	t := html.UnescapeString(s)
	return t, t != s && (!strings.HasSuffix(t, ";") || s == "&semi;")
}

// unescape resolves HTML entities as Python's html.unescape does, which differs from Go's in numbers that are no
// characters.
func unescape(s string) string {
	var b strings.Builder
	for {
		k := strings.IndexByte(s, '&')
		if k < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:k])
		s = s[k:]
		if len(s) > 1 && s[1] == '#' {
			to, n := numberEntity(s)
			b.WriteString(to)
			s = s[n:]
			continue
		}
		end := 1
		for end < len(s) && alnum(s[end]) {
			end++
		}
		if end < len(s) && s[end] == ';' {
			end++
		}
		b.WriteString(html.UnescapeString(s[:end]))
		s = s[end:]
	}
}

// numberEntity resolves &#… at the beginning of s and returns how much of s that was.
func numberEntity(s string) (to string, n int) {
	end, base := 2, 10
	if end < len(s) && (s[end]|0x20) == 'x' {
		end, base = 3, 16
	}
	digits, num := 0, 0
	for ; end < len(s); end++ {
		c := s[end]
		d := -1
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int(c|0x20-'a') + 10
		}
		if d < 0 {
			break
		}
		num = min(num*base+d, 0x110000)
		digits++
	}
	if digits == 0 {
		return "&", 1
	}
	if end < len(s) && s[end] == ';' {
		end++
	}
	switch {
	case num == 0 || num >= 0xD800 && num <= 0xDFFF || num > 0x10FFFF:
		return "\uFFFD", end
	case num == 0x0D:
		return "\r", end
	case num >= 0x80 && num <= 0x9F:
		return string(decodeByte(windows1252, byte(num))), end
	case num < 9 || num == 0x0B || num >= 0x0E && num < 0x20 || num == 0x7F || num >= 0xFDD0 && num <= 0xFDEF ||
		num&0xFFFE == 0xFFFE:
		return "", end
	}
	return string(rune(num)), end
}

// aligned gives text that was made from p in one go its sources: what p and text have in common at both ends keeps its
// own, the rest stands for all that is between.
func aligned(p passage, text string) passage {
	n := 0
	for n < len(text) && n < len(p.text) && text[n] == p.text[n] {
		n++
	}
	m := 0
	for m < len(text)-n && m < len(p.text)-n && text[len(text)-1-m] == p.text[len(p.text)-1-m] {
		m++
	}
	e := newEdit(p, len(text))
	e.keep(p, 0, n)
	e.put(text[n:len(text)-m], p.source(n, len(p.text)-m))
	e.keep(p, len(p.text)-m, len(p.text))
	return e.passage()
}
