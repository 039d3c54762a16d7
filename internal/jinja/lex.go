package jinja

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// piece is text, or what stands between the marks of a tag.
type piece struct {
	kind byte // 't', or the second byte of the opening mark: '{', '%'
	text string
	line int
}

var endRaw = regexp.MustCompile(`\{%[-+]?\s*endraw\s*[-+]?%\}`)

// split takes a program apart, with the white space that belongs to tags: a minus sign takes all on its side; a
// statement or comment takes the line break behind it (trim_blocks) and the spaces before it on its line
// (lstrip_blocks).
func split(program string) (out []piece) {
	src := strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(program, "\r\n", "\n"), "\r", "\n"), "\n")
	const space = " \t\n\v\f\r"
	at, line, fresh := 0, 1, true // fresh: src[at] begins a line
	trim := byte(0)               // what the tag before takes: '-' all white space, '1' one line break
	text := func(s string, before byte) {
		switch trim {
		case '-':
			s = strings.TrimLeft(s, space)
		case '1':
			s = strings.TrimPrefix(s, "\n")
		}
		switch before {
		case '-':
			s = strings.TrimRight(s, space)
		case '1':
			head := strings.TrimRight(s, " \t\v\f")
			if strings.HasSuffix(head, "\n") || head == "" && fresh {
				s = head
			}
		}
		if s != "" {
			out = append(out, piece{'t', s, line})
		}
	}
	for {
		open := opening(src[at:])
		if open < 0 {
			text(src[at:], 0)
			return out
		}
		body := src[at : at+open]
		fresh = trim == '1' && strings.HasPrefix(src[at:], "\n") || fresh && at == 0
		kind := src[at+open+1]
		start := at + open + 2
		before := byte('1')
		if kind == '{' {
			before = 0
		}
		if start < len(src) && (src[start] == '-' || src[start] == '+') {
			if before = 0; src[start] == '-' {
				before = '-'
			}
			start++
		}
		text(body, before)
		line += strings.Count(body, "\n")
		end, width := closing(src, start, kind)
		if end < 0 {
			panic(&Error{Line: line, Message: "a tag {" + string(kind) + " has no end"})
		}
		inner := src[start:end]
		trim = '1'
		if kind == '{' {
			trim = 0
		}
		if n := len(inner); n > 0 && (inner[n-1] == '-' || inner[n-1] == '+') {
			if trim = 0; inner[n-1] == '-' {
				trim = '-'
			}
			inner = inner[:n-1]
		}
		if kind != '#' {
			if kind == '%' && strings.TrimSpace(inner) == "raw" {
				at = end + width
				m := endRaw.FindStringIndex(src[at:])
				if m == nil {
					panic(&Error{Line: line, Message: "raw without endraw"})
				}
				tag := src[at+m[0] : at+m[1]]
				text(src[at:at+m[0]], map[bool]byte{true: '-', false: '1'}[tag[2] == '-'])
				trim = map[bool]byte{true: '-', false: '1'}[tag[len(tag)-3] == '-']
				end, width, inner = at+m[1]-2, 2, tag
			} else {
				out = append(out, piece{kind, inner, line})
			}
		}
		line += strings.Count(inner, "\n")
		at = end + width
	}
}

// opening is where the next tag begins, -1 if nowhere.
func opening(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// closing is where the mark that closes a tag begins, outside strings and brackets, and how long it is.
func closing(src string, at int, kind byte) (int, int) {
	if kind == '#' {
		if i := strings.Index(src[at:], "#}"); i >= 0 {
			return at + i, 2
		}
		return -1, 0
	}
	braces := 0
	for i := at; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\'' || c == '"':
			for i++; i < len(src) && src[i] != c; i++ {
				if src[i] == '\\' {
					i++
				}
			}
		case kind == '%' && strings.HasPrefix(src[i:], "%}"),
			kind == '{' && braces == 0 && strings.HasPrefix(src[i:], "}}"):
			return i, 2
		case c == '{':
			braces++
		case c == '}':
			braces--
		}
	}
	return -1, 0
}

// token is a part of an expression.
type token struct {
	kind byte // 'n' name, 's' string, 'i' integer, 'f' float, 'o' operator, 0 the end
	text string
}

var tokens = regexp.MustCompile(
	`^(?:\s+|([\p{L}_][\p{L}\p{N}_]*)|(\d[\d_]*(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+))|(\d[\d_]*)` +
		`|("(?:[^"\\]|\\(?s:.))*"|'(?:[^'\\]|\\(?s:.))*')|(\*\*|//|==|!=|<=|>=|[-+*/%~\[\](){}<>=.:|,]))`,
)

// scan takes an expression apart.
func scan(p piece) (out []token) {
	for rest := p.text; rest != ""; {
		m := tokens.FindStringSubmatch(rest)
		if m == nil {
			r, _ := utf8.DecodeRuneInString(rest)
			panic(&Error{Line: p.line, Message: "unexpected " + strconv.QuoteRune(r)})
		}
		if rest = rest[len(m[0]):]; len(out) > maxTokens {
			panic(&Error{Line: p.line, Message: "the expression is too long"})
		}
		for i, kind := range []byte("nfiso") {
			if s := m[i+1]; s != "" {
				if kind == 's' {
					s = unescape(s[1 : len(s)-1])
				}
				out = append(out, token{kind, s})
			}
		}
	}
	return out
}

// unescape decodes a string literal's escapes as Python does.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if digits > 0 && i+digits < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32); err == nil {
				b.WriteRune(rune(n))
				i += digits
				continue
			}
		}
		if c, ok := escapes[s[i]]; ok {
			b.WriteString(c)
		} else {
			b.WriteString(`\` + s[i:i+1])
		}
	}
	return b.String()
}

var escapes = map[byte]string{
	'n':  "\n",
	't':  "\t",
	'r':  "\r",
	'\\': `\`,
	'\'': "'",
	'"':  `"`,
	'\n': "",
	'0':  "\x00",
	'a':  "\a",
	'b':  "\b",
	'f':  "\f",
	'v':  "\v",
}
