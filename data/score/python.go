package score

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The official programs are written in Python, and their results depend on how Python splits, lowers and rounds.
// These functions follow CPython 3.

// isSpace is str.isspace of one character.
func isSpace(r rune) bool {
	return r == ' ' || r >= '\t' && r <= '\r' || r >= 0x1c && r <= 0x1f || r >= 0x80 && unicode.IsSpace(r)
}

// isDigit is \d of a text pattern: any decimal digit of Unicode.
func isDigit(r rune) bool { return r >= '0' && r <= '9' || r >= 0x80 && unicode.Is(unicode.Nd, r) }

// isWord is \w of a text pattern.
func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// strip is str.strip().
func strip(s string) string { return strings.TrimFunc(s, isSpace) }

// fields is str.split().
func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }

// lower is str.lower(): unlike strings.ToLower it lowers İ to two characters and a final Σ to ς.
func lower(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == 'İ' || r == 'Σ' }) < 0 {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == 'İ':
			b.WriteString("i̇")
		case r == 'Σ' && finalSigma(s, i):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// finalSigma reports whether the Σ at s[i] ends a word: a cased letter before it, none after it, case-ignorable
// characters aside.
func finalSigma(s string, i int) bool {
	ignorable := func(r rune) bool {
		return strings.ContainsRune("'.:·’^`¨", r) ||
			unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
	}
	cased := func(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) }
	before, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(s[:i], ignorable))
	after, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(s[i+len("Σ"):], ignorable))
	return cased(before) && !cased(after)
}

// numeral prepares a text for float() and int(): white space around it is cut off, digits of any script become ASCII,
// and single underscores between digits are dropped. It is not ok where Python finds no number for sure.
func numeral(s string) (string, bool) {
	s = strip(s)
	if s == "" {
		return "", false
	}
	var b []byte
	last := rune(0)
	for i, r := range s {
		switch {
		case r == '_':
			next, _ := utf8.DecodeRuneInString(s[i+1:])
			if !isDigit(last) || !isDigit(next) {
				return "", false
			}
		case r < 0x80:
			b = append(b, byte(r))
		case isDigit(r):
			b = append(b, '0'+byte(digitValue(r)))
		default:
			return "", false
		}
		last = r
	}
	return string(b), true
}

// digitValue is the value of a decimal digit: Unicode has those of a script in runs of ten that begin with zero.
func digitValue(r rune) int {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return int(r-rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return int(r-rune(t.Lo)) % 10
		}
	}
	return 0
}

// parseFloat is float(s).
func parseFloat(s string) (float64, bool) {
	s, ok := numeral(s)
	if !ok || strings.ContainsAny(s, "xXpP_") { // Go's hexadecimal
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

// parseInt reports whether int(s) succeeds.
func parseInt(s string) (*big.Int, bool) {
	s, ok := numeral(s)
	if !ok || strings.Contains(s, "_") {
		return nil, false
	}
	return new(big.Int).SetString(s, 10)
}

// Round rounds to decimal places as Python's round(x, digits) does: the binary value, ties to even.
func Round(x float64, digits int) float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) || digits > 300 {
		return x
	}
	if digits >= 0 {
		v, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', digits, 64), 64)
		return v
	}
	scale := math.Pow(10, float64(min(-digits, 308)))
	return math.RoundToEven(x/scale) * scale
}

// numpyRound is round(numpy.float64(x), digits), which scales first and so differs from Round in some last digits.
func numpyRound(x float64, digits int) float64 {
	scale := math.Pow(10, float64(digits))
	return math.RoundToEven(x*scale) / scale
}

// str is str(x) of a float.
func str(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return strings.ToLower(strings.TrimPrefix(fmt.Sprint(x), "+"))
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(x, 'e', -1, 64)
		return s // both write at least two digits of exponent
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// repr is repr(v) of a value that encoding/json read with UseNumber, objects aside; str(v) is the same but for plain
// strings.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = repr(x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return quote(v)
	case interface{ Float64() (float64, error) }: // json.Number
		s := fmt.Sprint(v)
		if strings.ContainsAny(s, ".eE") {
			x, _ := v.Float64()
			return str(x)
		}
		return s
	}
	return fmt.Sprint(v)
}

// quote is repr(s) of a string.
func quote(s string) string {
	mark := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range s {
		switch {
		case r == mark || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(mark)
	return b.String()
}

// levenshtein is the edit distance in characters.
func levenshtein(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, c := range x {
		before := row[0]
		row[0] = i + 1
		for j, d := range y {
			cost := before
			if c != d {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, before+1, row[j]+1)
		}
	}
	return row[len(y)]
}
