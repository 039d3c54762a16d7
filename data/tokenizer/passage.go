package tokenizer

import (
	"sort"
	"unicode/utf8"
	"unsafe"
)

// span is a byte range of the text that the caller gave.
type span struct{ from, to int }

// passage is a piece of text on its way through normalisation, with the source of every byte.
type passage struct {
	text  string
	base  int    // source of text[0] where at is nil: byte i comes from byte base+i
	at    []span // source of every byte, nil where nothing was changed
	track bool   // whether sources are wanted at all
}

func (p passage) slice(i, j int) passage {
	q := passage{text: p.text[i:j], base: p.base + i, track: p.track}
	if p.at != nil {
		q.at = p.at[i:j]
	}
	return q
}

// source returns the range of the caller's text that bytes i to j come from.
func (p passage) source(i, j int) span {
	if p.at == nil {
		return span{p.base + i, p.base + j}
	}
	if i >= j {
		switch {
		case i < len(p.at):
			return span{p.at[i].from, p.at[i].from}
		case len(p.at) > 0:
			return span{p.at[len(p.at)-1].to, p.at[len(p.at)-1].to}
		}
		return span{p.base, p.base}
	}
	s := span{p.at[i].from, p.at[j-1].to}
	if s.to < s.from {
		s.to = s.from
	}
	return s
}

// start is the source position of the first byte.
func (p passage) start() int { return p.source(0, 0).from }

// edit writes a new passage out of parts of old ones.
type edit struct {
	buf   []byte
	at    []span
	track bool
}

func newEdit(p passage, room int) *edit {
	e := &edit{buf: make([]byte, 0, len(p.text)+room), track: p.track}
	if p.track {
		e.at = make([]span, 0, len(p.text)+room)
	}
	return e
}

// keep copies bytes i to j of p with their sources.
func (e *edit) keep(p passage, i, j int) {
	e.buf = append(e.buf, p.text[i:j]...)
	if !e.track {
		return
	}
	if p.at != nil {
		e.at = append(e.at, p.at[i:j]...)
		return
	}
	for k := i; k < j; k++ {
		e.at = append(e.at, span{p.base + k, p.base + k + 1})
	}
}

// put writes s in place of the source range from.
func (e *edit) put(s string, from span) {
	e.buf = append(e.buf, s...)
	if e.track {
		for range len(s) {
			e.at = append(e.at, from)
		}
	}
}

// cut drops what was written after the first n bytes.
func (e *edit) cut(n int) {
	e.buf = e.buf[:n]
	if e.track {
		e.at = e.at[:n]
	}
}

// passage is what was written; the edit is over then, as its bytes are not copied.
func (e *edit) passage() passage {
	p := passage{text: unsafe.String(unsafe.SliceData(e.buf), len(e.buf)), track: e.track}
	if e.track {
		p.at = e.at
		if p.at == nil {
			p.at = []span{}
		}
	}
	return p
}

// newPassage starts from the caller's text; a byte that is no part of a character becomes U+FFFD.
func newPassage(text string, track bool) passage {
	p := passage{text: text, track: track}
	if utf8.ValidString(text) {
		return p
	}
	e := newEdit(p, 16)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			e.put("\uFFFD", span{i, i + 1})
		} else {
			e.keep(p, i, i+n)
		}
		i += n
	}
	return e.passage()
}

// piece is one token and the number of normalised bytes that it covers. An id below 0 covers bytes without being a
// token.
type piece struct{ id, n int32 }

// output collects the tokens of a text.
type output struct {
	ids   []int32
	spans [][2]int
	track bool
	plain [][2]int // bytes of the caller's text, ascending, in which special tokens stay text
}

// allows says whether bytes from to to of p may be a special token.
func (o *output) allows(p passage, from, to int, special bool) bool {
	if !special || len(o.plain) == 0 {
		return special
	}
	s := p.source(from, to)
	i := sort.Search(len(o.plain), func(i int) bool { return o.plain[i][1] > s.from })
	return i == len(o.plain) || o.plain[i][0] >= s.to
}

// after is where the search goes on behind a match that was not allowed: a template's token may begin within it.
func (o *output) after(start, end int) int {
	if len(o.plain) > 0 {
		return start + 1
	}
	return end
}

// literal says whether models must not produce special tokens from text.
func (o *output) literal(special bool) bool { return !special || len(o.plain) > 0 }

func (o *output) add(id int32, s span) {
	o.ids = append(o.ids, id)
	if o.track {
		o.spans = append(o.spans, [2]int{s.from, s.to})
	}
}

// pieces adds the tokens of a passage.
func (o *output) pieces(p passage, list []piece) {
	if !o.track {
		for _, x := range list {
			if x.id >= 0 {
				o.ids = append(o.ids, x.id)
			}
		}
		return
	}
	at := 0
	for _, x := range list {
		if x.id >= 0 {
			o.add(x.id, p.source(at, at+int(x.n)))
		}
		at += int(x.n)
	}
}
