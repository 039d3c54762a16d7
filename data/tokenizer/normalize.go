package tokenizer

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxGrowth is how many times longer a text may become while it is normalised. NFKD makes 18 bytes of one; a replaced
// space makes three.
const maxGrowth = 1 << 14

// growth bounds how many times longer the replacements of n, one after another, can make a text.
func (n *node) growth() float64 {
	if n == nil {
		return 1
	}
	g := 1.0
	switch {
	case n.Type == "Replace" && n.Pattern != nil && n.Pattern.String != nil && *n.Pattern.String != "":
		g = max(1, float64(len(n.Content))/float64(len(*n.Pattern.String)))
	case n.Type == "Replace": // an expression may match nothing, at every place
		g = 1 + float64(len(n.Content))
	}
	for _, list := range [][]node{n.Normalizers, n.Decoders} {
		for i := range list {
			g *= list[i].growth()
		}
	}
	return g
}

// normalizer rewrites a text before it is split.
type normalizer func(passage) passage

func indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

func (n *node) normalizer(field string) (normalizer, error) {
	switch n.Type {
	case "Sequence":
		var list []normalizer
		for i := range n.Normalizers {
			f, err := n.Normalizers[i].normalizer(indexed(field+".normalizers", i))
			if err != nil {
				return nil, err
			}
			list = append(list, f)
		}
		return func(p passage) passage {
			for _, f := range list {
				p = f(p)
			}
			return p
		}, nil
	case "NFC":
		return formed(norm.NFC), nil
	case "NFD":
		return formed(norm.NFD), nil
	case "NFKC":
		return formed(norm.NFKC), nil
	case "NFKD":
		return formed(norm.NFKD), nil
	case "Lowercase":
		return lowercase, nil
	case "StripAccents":
		return dropRunes(isMark), nil
	case "Nmt":
		return nmt, nil
	case "Prepend":
		return prepended(n.Prepend), nil
	case "Strip":
		return func(p passage) passage { return strip(p, n.StripLeft, n.StripRight) }, nil
	case "Replace":
		f, err := n.Pattern.compile(field + ".pattern")
		if err != nil {
			return nil, err
		}
		return replaced(f, n.Content), nil
	case "Precompiled":
		if n.Charsmap == nil || *n.Charsmap == "" {
			return func(p passage) passage { return p }, nil
		}
		b, err := base64.StdEncoding.DecodeString(*n.Charsmap)
		if err == nil {
			var c *charsmap
			if c, err = newCharsmap(b); err == nil {
				return func(p passage) passage { return precompiled(c, p) }, nil
			}
		}
		return nil, &FormatError{Field: field + ".precompiled_charsmap", Err: err}
	case "BertNormalizer":
		lower := is(n.Lowercase, true)
		b := bertRules{clean: is(n.CleanText, true), chinese: is(n.Chinese, true), accents: is(n.StripAccents, lower),
			lower: lower}
		return b.normalize, nil
	}
	return nil, unsupported(field+".type", "%q", n.Type)
}

// formed brings text into a Unicode normal form.
func formed(f norm.Form) normalizer {
	return func(p passage) passage {
		at := f.QuickSpanString(p.text)
		if at == len(p.text) {
			return p
		}
		e := newEdit(p, 16)
		e.keep(p, 0, at)
		for at < len(p.text) {
			n := f.NextBoundaryInString(p.text[at:], true)
			if n <= 0 {
				n = len(p.text) - at
			}
			if s := p.text[at : at+n]; f.IsNormalString(s) {
				e.keep(p, at, at+n)
			} else {
				e.put(f.String(s), p.source(at, at+n))
			}
			at += n
			k := f.QuickSpanString(p.text[at:])
			e.keep(p, at, at+k)
			at += k
		}
		return e.passage()
	}
}

// mapRunes rewrites character by character; f returns false for a character that stays.
func mapRunes(f func(r rune) (string, bool)) normalizer {
	return func(p passage) passage {
		var e *edit
		for i := 0; i < len(p.text); {
			r, n := utf8.DecodeRuneInString(p.text[i:])
			s, ok := f(r)
			if ok && e == nil {
				e = newEdit(p, 16)
				e.keep(p, 0, i)
			}
			switch {
			case ok:
				e.put(s, p.source(i, i+n))
			case e != nil:
				e.keep(p, i, i+n)
			}
			i += n
		}
		if e == nil {
			return p
		}
		return e.passage()
	}
}

func lowerRune(r rune) (string, bool) {
	if r == 'İ' { // the one character whose lower case has two
		return "i\u0307", true
	}
	l := unicode.ToLower(r)
	if l == r {
		return "", false
	}
	return string(l), true
}

var lowercase = mapRunes(lowerRune)

func isMark(r rune) bool { return unicode.Is(unicode.Mn, r) }

func dropRunes(drop func(rune) bool) normalizer {
	return mapRunes(func(r rune) (string, bool) { return "", drop(r) })
}

var nmt = mapRunes(func(r rune) (string, bool) {
	switch {
	case r >= 1 && r <= 8, r == 0x0B, r >= 0x0E && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return "", true
	case r == '\t', r == '\n', r == 0x0C, r == '\r', r == 0x1680, r >= 0x200B && r <= 0x200F, r == 0x2028, r == 0x2029,
		r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return " ", true
	}
	return "", false
})

func prepended(s string) normalizer {
	return func(p passage) passage {
		if p.text == "" {
			return p
		}
		e := newEdit(p, len(s))
		from := p.start()
		e.put(s, span{from, from})
		e.keep(p, 0, len(p.text))
		q := e.passage()
		return q
	}
}

func strip(p passage, left, right bool) passage {
	from, to := 0, len(p.text)
	if left {
		from = to - len(strings.TrimLeftFunc(p.text, unicode.IsSpace))
	}
	if right {
		to = max(from, len(strings.TrimRightFunc(p.text, unicode.IsSpace)))
	}
	return p.slice(from, to)
}

func replaced(f pattern, with string) normalizer {
	return func(p passage) passage {
		start, end := f(p.text, 0)
		if start < 0 {
			return p
		}
		e := newEdit(p, 16)
		at := 0
		for start >= 0 {
			e.keep(p, at, start)
			e.put(with, p.source(start, end))
			at = end
			start, end = f(p.text, at)
		}
		e.keep(p, at, len(p.text))
		return e.passage()
	}
}

// precompiled applies a charsmap as Hugging Face's normaliser does: to whole grapheme clusters below six bytes, else to
// single characters, and by the shortest rule.
func precompiled(c *charsmap, p passage) passage {
	e := newEdit(p, 16)
	for i := 0; i < len(p.text); {
		n := grapheme(p.text[i:])
		if n < 6 {
			if to, ok := c.shortest(p.text[i : i+n]); ok {
				e.put(to, p.source(i, i+n))
				i += n
				continue
			}
		}
		for end := i + n; i < end; {
			_, k := utf8.DecodeRuneInString(p.text[i:end])
			if to, ok := c.shortest(p.text[i : i+k]); ok {
				e.put(to, p.source(i, i+k))
			} else {
				e.keep(p, i, i+k)
			}
			i += k
		}
	}
	return e.passage()
}
