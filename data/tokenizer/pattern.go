package tokenizer

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern finds the next match in s at or after at; start is -1 if there is none. A match is never empty.
type pattern func(s string, at int) (start, end int)

// Split patterns that are in use, as their files have them. Go's regexp has no look-ahead, and these are the inner
// loop.
const (
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	clipPattern   = `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`
)

func newPattern(expr string) (pattern, error) {
	switch expr {
	case gpt2Pattern:
		return scanGPT2, nil
	case llama3Pattern:
		return func(s string, at int) (int, int) { return scanLlama3(s, at, 3) }, nil
	case qwen2Pattern:
		return func(s string, at int) (int, int) { return scanLlama3(s, at, 1) }, nil
	case clipPattern:
		return scanCLIP, nil
	case wordPattern:
		return scanWords, nil
	}
	return otherPattern(expr)
}

type class uint8

const (
	other class = iota
	letter
	number
	blank
)

var asciiClass = func() (t [128]class) {
	for b := range t {
		t[b] = unicodeClass(rune(b))
	}
	return t
}()

func unicodeClass(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return blank
	}
	return other
}

// classAt returns the class and the length of the character at i; length 0 at the end.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return other, 0
	}
	if b := s[i]; b < 0x80 {
		return asciiClass[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return unicodeClass(r), n
}

// runOf returns where the run of characters of class c that begins at i ends.
func runOf(s string, i int, c class) int {
	for i < len(s) {
		k, n := classAt(s, i)
		if k != c {
			break
		}
		i += n
	}
	return i
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at i, 0 if there is none.
func contraction(s string, i int, anyCase bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return 0
	}
	a, b := s[i+1], byte(0)
	if i+2 < len(s) {
		b = s[i+2]
	}
	if anyCase {
		if a == 0xC5 && b == 0xBF { // ſ is an s
			return 3
		}
		a, b = lowerASCII(a), lowerASCII(b)
	}
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case (a == 'r' || a == 'v') && b == 'e', a == 'l' && b == 'l':
		return 3
	}
	return 0
}

func lowerASCII(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// spaces is \s+(?!\S)|\s+ at i: the run of white space without its last character if something follows it.
func spaces(s string, i int) int {
	end := runOf(s, i, blank)
	if end == len(s) {
		return end
	}
	_, n := utf8.DecodeLastRuneInString(s[i:end])
	if end-n > i {
		return end - n
	}
	return end
}

func scanGPT2(s string, at int) (int, int) {
	if at >= len(s) {
		return -1, -1
	}
	if n := contraction(s, at, false); n > 0 {
		return at, at + n
	}
	from := at
	if s[at] == ' ' {
		from++
	}
	c, n := classAt(s, from)
	if n == 0 || c == blank {
		return at, spaces(s, at)
	}
	return at, runOf(s, from+n, c)
}

func scanLlama3(s string, at, digits int) (int, int) {
	if at >= len(s) {
		return -1, -1
	}
	if n := contraction(s, at, true); n > 0 {
		return at, at + n
	}
	c, n := classAt(s, at)
	switch c {
	case letter:
		return at, runOf(s, at+n, letter)
	case number:
		end := at + n
		for k := 1; k < digits; k++ {
			c, n := classAt(s, end)
			if n == 0 || c != number {
				break
			}
			end += n
		}
		return at, end
	}
	next, m := classAt(s, at+n)
	if s[at] != '\r' && s[at] != '\n' && m > 0 && next == letter {
		return at, runOf(s, at+n+m, letter)
	}
	if c == other || s[at] == ' ' && m > 0 && next == other {
		end := runOf(s, at+n, other)
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return at, end
	}
	end := runOf(s, at, blank)
	if k := strings.LastIndexAny(s[at:end], "\r\n"); k >= 0 {
		return at, at + k + 1
	}
	return at, spaces(s, at)
}

func scanCLIP(s string, at int) (int, int) { return scanCLIPCase(s, at, false) }

// scanCLIPCase may take contractions in any case, as OpenAI's pattern does (only ſ makes a difference in lower-case
// text).
func scanCLIPCase(s string, at int, anyCase bool) (int, int) {
	at = runOf(s, at, blank)
	c, n := classAt(s, at)
	if n == 0 {
		return -1, -1
	}
	if k := contraction(s, at, anyCase); k > 0 {
		return at, at + k
	}
	if c == number {
		return at, at + n
	}
	return at, runOf(s, at+n, c)
}

const (
	lookAhead    = `\s+(?!\S)|\s+`
	unicodeSpace = `\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`
)

// otherPattern serves what Go's regexp can do, with the one look-ahead that split patterns end in.
func otherPattern(expr string) (pattern, error) {
	body, ahead := expr, false
	if rest, ok := strings.CutSuffix(expr, lookAhead); ok && (rest == "" || strings.HasSuffix(rest, "|")) {
		body, ahead = rest+`(\s+)`, true
	}
	goExpr, err := unicodeClasses(body)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	re, err := regexp.Compile(goExpr)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w: %v", expr, ErrUnsupported, err)
	}
	group := 2 * re.NumSubexp()
	return func(s string, at int) (int, int) {
		for at <= len(s) {
			m := re.FindStringSubmatchIndex(s[at:])
			if m == nil {
				return -1, -1
			}
			start, end := at+m[0], at+m[1]
			if start == end { // empty matches split nothing
				_, n := utf8.DecodeRuneInString(s[end:])
				at = end + max(n, 1)
				continue
			}
			if ahead && m[group] >= 0 {
				end = spaces(s, start)
			}
			return start, end
		}
		return -1, -1
	}, nil
}

// unicodeClasses writes \s, \S, \d, \w for all of Unicode, as the programs that made the pattern read them.
func unicodeClasses(expr string) (string, error) {
	var b strings.Builder
	inside := false
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case c == '\\' && i+1 < len(expr):
			i++
			s, ok := "", true
			switch expr[i] {
			case 's':
				s = unicodeSpace
			case 'd':
				s = `\p{Nd}`
			case 'w':
				s = `\p{L}\p{M}\p{Nd}\p{Pc}`
			case 'S', 'D', 'W':
				if inside {
					return "", fmt.Errorf("%w: \\%c in a class", ErrUnsupported, expr[i])
				}
				s = map[byte]string{'S': "^" + unicodeSpace, 'D': `^\p{Nd}`, 'W': `^\p{L}\p{M}\p{Nd}\p{Pc}`}[expr[i]]
			case 'b', 'B':
				return "", fmt.Errorf("%w: \\%c", ErrUnsupported, expr[i])
			default:
				ok = false
			}
			switch {
			case !ok:
				b.WriteByte('\\')
				b.WriteByte(expr[i])
			case inside:
				b.WriteString(s)
			default:
				b.WriteString("[" + s + "]")
			}
			continue
		case c == '[' && inside:
			return "", fmt.Errorf("%w: a class in a class", ErrUnsupported)
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// literalPattern finds a fixed string.
func literalPattern(text string) pattern {
	return func(s string, at int) (int, int) {
		if at > len(s) || text == "" {
			return -1, -1
		}
		k := strings.Index(s[at:], text)
		if k < 0 {
			return -1, -1
		}
		return at + k, at + k + len(text)
	}
}

// runePattern finds single characters.
func runePattern(is func(rune) bool) pattern {
	return func(s string, at int) (int, int) {
		k := strings.IndexFunc(s[at:], is)
		if k < 0 {
			return -1, -1
		}
		_, n := utf8.DecodeRuneInString(s[at+k:])
		return at + k, at + k + n
	}
}
