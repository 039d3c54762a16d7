package tokenizer

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Text in UTF-8 that was read in another encoding looks like "schÃ¶n". This file finds it by neighbours that are
// unlikely in real text and undoes it. The neighbours and the order of the attempts are those of ftfy 6.3 (R. Speer,
// 2015–2024, Apache 2.0), so that CLIP sees the same text.

// oneByte is an encoding in which text may have been read by mistake.
type oneByte struct {
	name   string
	table  *charmap.Charmap // nil: Latin-1
	sloppy bool             // bytes without a character stand for themselves, and U+FFFD for byte 0x1A
	to     map[rune]byte
}

var windows1252 = &oneByte{name: "windows-1252", table: charmap.Windows1252, sloppy: true}

var oneBytes = []*oneByte{
	{name: "latin-1"}, windows1252,
	{name: "windows-1251", table: charmap.Windows1251, sloppy: true},
	{name: "windows-1250", table: charmap.Windows1250, sloppy: true},
	{name: "windows-1253", table: charmap.Windows1253, sloppy: true},
	{name: "windows-1254", table: charmap.Windows1254, sloppy: true},
	{name: "windows-1257", table: charmap.Windows1257, sloppy: true},
	{name: "iso-8859-2", table: charmap.ISO8859_2},
	{name: "macroman", table: charmap.Macintosh},
	{name: "cp437", table: charmap.CodePage437},
}

func decodeByte(e *oneByte, b byte) rune {
	if b == 0x1A && e.sloppy {
		return utf8.RuneError
	}
	if b < 0x80 || e.table == nil {
		return rune(b)
	}
	if r := e.table.DecodeByte(b); r != utf8.RuneError {
		return r
	}
	return rune(b)
}

// mojibake holds the tables that are made on first use.
var mojibake = sync.OnceValue(func() *mojibakeTables {
	t := &mojibakeTables{first: map[rune]int{}, next: map[rune]bool{}, strict: map[rune]bool{}}
	for _, e := range oneBytes {
		e.to = map[rune]byte{}
		for b := 255; b >= 0; b-- {
			e.to[decodeByte(e, byte(b))] = byte(b)
		}
		if !e.sloppy && e.name != "latin-1" && e.name != "iso-8859-2" {
			continue // too many characters of these are common
		}
		for b := 0x80; b < 0x100; b++ {
			r := decodeByte(e, byte(b))
			switch {
			case b < 0xC0:
				t.next[r], t.strict[r] = true, true
			case b >= 0xC2 && b <= 0xDF:
				t.first[r] |= 1
			case b >= 0xE0 && b <= 0xEF:
				t.first[r] |= 2
			case b == 0xF0 || b == 0xF3:
				t.first[r] |= 4
			}
		}
	}
	for r := rune(0x80); r < 0xC0; r++ {
		t.next[r], t.strict[r] = true, true
	}
	t.next[' '] = true
	for _, r := range "–—―‘’‚“”„•…" {
		delete(t.strict, r)
	}
	for _, rule := range unlikely {
		var x []charSet
		for _, s := range rule {
			x = append(x, newCharSet(s))
		}
		t.rules = append(t.rules, x)
	}
	return t
})

type mojibakeTables struct {
	first  map[rune]int // which lengths of UTF-8 sequences the character may begin: 1 two, 2 three, 4 four bytes
	next   map[rune]bool
	strict map[rune]bool
	rules  [][]charSet
}

// charSet is a set of characters.
type charSet struct {
	ranges  []rune // pairs
	classes string // w word characters, s white space, . all but line feeds, ^ the beginning of the text
	not     bool
}

// newCharSet reads words that name a kind of character or, after =, list characters and ranges; a leading ! negates.
func newCharSet(s string) charSet {
	var c charSet
	s, c.not = strings.CutPrefix(s, "!")
	for _, w := range strings.Fields(s) {
		if w[0] != '=' {
			if set, ok := kinds[w]; ok {
				w = "=" + set
			} else {
				c.classes += w
				continue
			}
		}
		list := []rune(strings.ReplaceAll(w[1:], "␠", " "))
		for i := 0; i < len(list); i++ {
			if i+2 < len(list) && list[i+1] == '-' {
				c.ranges = append(c.ranges, list[i], list[i+2])
				i += 2
			} else {
				c.ranges = append(c.ranges, list[i], list[i])
			}
		}
	}
	return c
}

func (c charSet) has(r rune) bool {
	for i := 0; i < len(c.ranges); i += 2 {
		if r >= c.ranges[i] && r <= c.ranges[i+1] {
			return !c.not
		}
	}
	for _, k := range c.classes {
		switch {
		case k == 'w' && (r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)), k == 's' && pythonSpace(r),
			k == '.' && r != '\n':
			return !c.not
		}
	}
	return c.not
}

// kinds are the characters that occur in wrongly read UTF-8, by how they are used in text that is right.
var kinds = map[string]string{
	"common":   "\u00A0\u00AD·´–—―…’",
	"c1":       "\u0080-\u009F",
	"bad":      "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\uFFFDªº",
	"law":      "¶§",
	"currency": "¢£¥₧€",
	"start":    "¡«¿©΄΅‘‚“„•‹\uF8FF",
	"end":      "®»˝”›™",
	"numeric":  "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
	"kaomoji":  "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
	"upper":    "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
	"lower":    "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
	"Upper":    "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
	"Lower":    "α-ωάέήίΰа-џ",
	"box":      "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
	"latin":    "A-Za-z",
	"small":    "a-z",
}

// unlikely lists neighbours that real text hardly has.
var unlikely = [][]string{
	{"c1"},
	{"bad lower upper box start end currency numeric law", "bad"},
	{"latin", "Lower Upper", "bad"},
	{"bad", "lower upper box start end currency numeric law"},
	{"lower Lower box end currency numeric", "upper"},
	{"box end currency numeric", "lower"},
	{"lower box end", "currency"},
	{"s", "upper", "currency"},
	{"upper box", "numeric law"},
	{"lower upper box currency end", "start", "numeric"},
	{"lower upper currency numeric box law", "end", "start"},
	{"currency numeric box", "start"},
	{"small", "upper", "start currency"},
	{"box", "kaomoji"},
	{"lower upper currency numeric start end law", "box"},
	{"box", "end"},
	{"lower upper", "start end", "w"},
	{"=Œœ", "!latin"},
	{"upper", "=°"},
	{"=ÂÃÎÐ", "start end =€œŠš¢£Ÿž\u00A0\u00AD®©°·»–—´"},
	{"=×", "=²³"},
	{"=ØÙ", "common currency bad numeric start =ŸŠ®°µ»", "=ØÙ", "common currency bad numeric start =ŸŠ®°µ»"},
	{"=à", "=²µ¹¼½¾"},
	{"=√", "=±∂†≠®™´≤≥¥µø"},
	{"=≈", "=°¢"},
	{"=‚", "=Ä", "=ìîïòôúùû†°¢π"},
	{"=‚", "=âó", "=àä°ê"},
	{"=в", "=Ђ"},
	{"=ВГРС", "c1 bad start end currency =°µ", "=ВГРС"},
	{"=Г", "=ў", "=В", "=Ђ", "=В", ".", "latin =␠"},
	{"=Ã", "=\u00A0¡"},
	{"small", "=ÃÂ", "=␠"},
	{"small", "s", "=ÃÂ", "=␠"},
	{"^", "=ÃÂ", "=␠"},
	{"end =a-z.,?!", "=Â", "start end =␠"},
	{"=β", "=€", "=™\u00A0Ά\u00AD®°"},
	{"=ΒΓΞΟ", "c1 bad start end currency =°", "=ΒΓΞΟ"},
	{"=ā", "=€"},
}

// looksBad says whether s has a sequence of neighbours that is unlikely.
func looksBad(s string) bool {
	t := mojibake()
	list := []rune(s)
	for i := range list {
	rules:
		for _, rule := range t.rules {
			at := i
			for _, set := range rule {
				if set.classes == "^" {
					if at != 0 {
						continue rules
					}
					continue
				}
				if at == len(list) || !set.has(list[at]) {
					continue rules
				}
				at++
			}
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// fixEncoding undoes wrong readings until nothing changes.
func fixEncoding(s string) string {
	for {
		t := fixEncodingOnce(s)
		if t == s {
			return s
		}
		s = t
	}
}

func fixEncodingOnce(s string) string {
	if isASCII(s) || !looksBad(s) {
		return s
	}
	latin1 := false
	for _, e := range oneBytes {
		b, ok := e.encode(s)
		if !ok {
			continue
		}
		latin1 = latin1 || e.table == nil
		if e.name != "macroman" {
			b = restoreSpaces(b)
		}
		if e.sloppy {
			b = markLost(b)
		}
		if t, ok := decodeUTF8(b); ok {
			return t
		}
	}
	if t := fixEmbedded(s); t != s {
		return t
	}
	if latin1 { // Latin-1 has control characters where Windows-1252 has text
		if b, _ := oneBytes[0].encode(s); !strings.ContainsAny(string(latin(b)), "\u0081\u008D\u008F\u0090\u009D") {
			if t := decodeAll(windows1252, b); t != s {
				return t
			}
		}
	}
	return fixC1(s)
}

func latin(b []byte) []rune {
	out := make([]rune, len(b))
	for i, x := range b {
		out[i] = rune(x)
	}
	return out
}

func decodeAll(e *oneByte, b []byte) string {
	out := make([]rune, len(b))
	for i, x := range b {
		out[i] = decodeByte(e, x)
		if x == 0x1A {
			out[i] = 0x1A
		}
	}
	return string(out)
}

func (e *oneByte) encode(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		b, ok := e.to[r]
		if !ok {
			return nil, false
		}
		out = append(out, b)
	}
	return out, true
}

// fixC1 reads C1 control characters as Windows-1252.
func fixC1(s string) string {
	return mapString(s, func(r rune) (string, bool) {
		if r < 0x80 || r > 0x9F {
			return "", false
		}
		t := string(decodeByte(windows1252, byte(r)))
		return t, t != string(r)
	})
}

// fixEmbedded repairs parts that look like UTF-8 in a text that is not wrong as a whole.
func fixEmbedded(s string) string {
	t := mojibake()
	list := []rune(s)
	one := func(at int) int { // length of a sequence at at, 0 if there is none
		for n, bit := 2, 1; n <= 4; n, bit = n+1, bit*2 {
			if t.first[list[at]]&bit == 0 || at+n > len(list) {
				continue
			}
			ok := true
			for _, r := range list[at+1 : at+n] {
				ok = ok && t.next[r]
			}
			if ok {
				return n
			}
		}
		return 0
	}
	var out []rune
	for at := 0; at < len(list); {
		if at > 0 && t.strict[list[at-1]] {
			out = append(out, list[at])
			at++
			continue
		}
		end := at
		for end < len(list) {
			n := one(end)
			if n == 0 {
				break
			}
			end += n
		}
		if end == at {
			out = append(out, list[at])
			at++
			continue
		}
		part := string(list[at:end])
		if end-at < len(list) && looksBad(part) {
			part = fixEncoding(part)
		}
		out = append(out, []rune(part)...)
		at = end
	}
	return string(out)
}
