package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bertRules is BertNormalizer of the tokenizers library.
type bertRules struct{ clean, chinese, accents, lower bool }

func (b bertRules) normalize(p passage) passage {
	if b.clean {
		p = bertClean(p)
	}
	if b.chinese {
		p = aroundChinese(p)
	}
	if b.accents {
		p = dropMarks(decomposed(p))
	}
	if b.lower {
		p = lowercase(p)
	}
	return p
}

var (
	decomposed = formed(norm.NFD)
	composed   = formed(norm.NFC)
	dropMarks  = dropRunes(isMark)
)

// bertClean drops control characters and makes all white space plain spaces.
var bertClean = mapRunes(func(r rune) (string, bool) {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return " ", true
	case r == 0, r == 0xFFFD, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
		return "", true
	case r != ' ' && unicode.IsSpace(r):
		return " ", true
	}
	return "", false
})

// isChinese holds for the CJK ideographs that BERT takes one by one.
func isChinese(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F ||
		r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B820 && r <= 0x2CEAF || r >= 0xF900 && r <= 0xFAFF ||
		r >= 0x2F800 && r <= 0x2FA1F
}

func aroundChinese(p passage) passage {
	if strings.IndexFunc(p.text, isChinese) < 0 {
		return p
	}
	e := newEdit(p, 16)
	for i := 0; i < len(p.text); {
		r, n := utf8.DecodeRuneInString(p.text[i:])
		s := p.source(i, i+n)
		if isChinese(r) {
			e.put(" ", span{s.from, s.from})
			e.keep(p, i, i+n)
			e.put(" ", span{s.to, s.to})
		} else {
			e.keep(p, i, i+n)
		}
		i += n
	}
	return e.passage()
}

func isASCIIPunct(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
}

func isPunct(r rune) bool { return isASCIIPunct(r) || unicode.Is(unicode.P, r) }

// slowClean is _clean_text of BasicTokenizer: it also drops what is not assigned, and keeps line separators.
var slowClean = mapRunes(func(r rune) (string, bool) {
	switch {
	case r == ' ':
		return "", false
	case r == '\t', r == '\n', r == '\r', unicode.Is(unicode.Zs, r):
		return " ", true
	case r == 0, r == 0xFFFD, !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z):
		return "", true
	}
	return "", false
})

// basic is BasicTokenizer of Hugging Face's tokenizers in Python: words and single punctuation marks.
type basic struct {
	chinese, lower, accents, punct bool
}

// words calls f with every word of the text.
func (b basic) words(p passage, f func(passage)) {
	p = slowClean(p)
	if b.chinese {
		p = aroundChinese(p)
	}
	p = composed(p)
	each(p, pythonSpace, func(w passage) {
		if b.lower {
			w = lowerPython(w)
		}
		if b.accents {
			w = dropMarks(decomposed(w))
		}
		if !b.punct {
			each(w, pythonSpace, f)
			return
		}
		from := 0
		part := func(to int) {
			if from < to {
				each(w.slice(from, to), pythonSpace, f)
			}
			from = to
		}
		for i, r := range w.text {
			if isPunct(r) {
				part(i)
				part(i + utf8.RuneLen(r))
			}
		}
		part(len(w.text))
	})
}

// each calls f with the parts of p between separators.
func each(p passage, separator func(rune) bool, f func(passage)) {
	from := -1
	for i, r := range p.text {
		switch {
		case separator(r):
			if from >= 0 {
				f(p.slice(from, i))
			}
			from = -1
		case from < 0:
			from = i
		}
	}
	if from >= 0 {
		f(p.slice(from, len(p.text)))
	}
}

// lowerPython is Python's str.lower: character by character, but for the Σ at the end of a word.
func lowerPython(p passage) passage {
	if !strings.Contains(p.text, "Σ") {
		return lowercase(p)
	}
	e := newEdit(p, 8)
	for i := 0; i < len(p.text); {
		r, n := utf8.DecodeRuneInString(p.text[i:])
		s, ok := lowerRune(r)
		if r == 'Σ' && finalSigma(p.text, i, i+n) {
			s = "ς"
		}
		if ok {
			e.put(s, p.source(i, i+n))
		} else {
			e.keep(p, i, i+n)
		}
		i += n
	}
	return e.passage()
}

// finalSigma says whether the Σ at from ends a word: a cased letter before it and none after it, ignoring marks.
func finalSigma(s string, from, to int) bool {
	before := false
	for k := from; k > 0; {
		r, n := utf8.DecodeLastRuneInString(s[:k])
		k -= n
		if !caseIgnorable(r) {
			before = cased(r)
			break
		}
	}
	if !before {
		return false
	}
	for k := to; k < len(s); {
		r, n := utf8.DecodeRuneInString(s[k:])
		k += n
		if !caseIgnorable(r) {
			return !cased(r)
		}
	}
	return true
}

func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

func caseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '^', '`', 0xA8, 0xAD, 0xAF, 0xB4, 0xB7, 0xB8, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A:
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

// slowBert is Hugging Face's BertTokenizer in Python.
type slowBert struct {
	basic basic
	model *wordPiece
	added *added
}

func (b *slowBert) encode(out *output, p passage, special bool) {
	for _, x := range b.added.splitSlow(p, out, special) {
		if x.token != nil {
			out.add(x.token.ID, p.source(x.from, x.to))
			continue
		}
		q := p.slice(x.from, x.to)
		if b.basic.lower {
			q = lowercase(q)
		}
		b.basic.words(q, func(w passage) { out.pieces(w, b.model.tokenize(nil, w.text, out.literal(special))) })
	}
}

// bertDecoder joins words by spaces and puts ## pieces to what is before them.
type bertDecoder struct {
	t      *Tokenizer
	prefix string
	begun  bool
}

func (d *bertDecoder) push(dst []byte, id int32) []byte {
	s := d.t.tokens[id]
	if d.begun {
		rest, ok := strings.CutPrefix(s, d.prefix)
		if !ok {
			dst = append(dst, ' ')
		}
		s = rest
	}
	d.begun = true
	return append(dst, s...)
}

func (d *bertDecoder) flush(dst []byte) []byte { return dst }
