package tokenizer

import (
	"strings"
)

// slowKind says what a tokenizer does around its SentencePiece model.
type slowKind int

const (
	rawPieces slowKind = iota // nothing: SentencePiece alone
	slowLlama                 // Hugging Face's LlamaTokenizer
	slowT5                    // Hugging Face's T5Tokenizer
)

// slow encodes as Hugging Face's tokenizers in Python do around SentencePiece.
type slow struct {
	m        *spModel
	kind     slowKind
	legacy   bool
	added    *added
	unk      string // text of the unknown token
	unkCount int    // tokens that it encodes to
}

func newSlow(m *spModel, kind slowKind, legacy bool, a *added, unk string) *slow {
	s := &slow{m: m, kind: kind, legacy: legacy, added: a, unk: unk}
	if !s.modern() {
		return s
	}
	changed := *m // legacy=false takes the dummy prefix out of the model
	changed.rules.dummy = false
	s.m = &changed
	var o output
	s.m.encode(&o, passage{text: unk}, false)
	s.unkCount = len(o.ids)
	return s
}

func (s *slow) modern() bool { return s.kind != rawPieces && !s.legacy }

func (s *slow) encode(out *output, p passage, special bool) {
	if p.text == "" {
		return
	}
	if s.modern() {
		p = s.prefixed(p)
	}
	first := len(out.ids)
	for i, x := range s.added.splitSlow(p, out, special) {
		if x.token == nil {
			s.section(out, p.slice(x.from, x.to), out.literal(special))
			continue
		}
		lone := s.modern() && i > 0 && x.token.Special && len(out.ids) == first+1 && out.ids[first] == s.blank()
		if lone { // a prefix with nothing but a special token after it
			out.ids = out.ids[:first]
			if out.track {
				out.spans = out.spans[:first]
			}
		}
		out.add(x.token.ID, p.source(x.from, x.to))
	}
}

// blank is the id of a lone ▁, -1 if that is not one token.
func (s *slow) blank() int32 {
	if id, ok := s.m.ids[space]; ok {
		return id
	}
	return -1
}

// prefixed puts ▁ before the text and makes every ▁ in it a space.
func (s *slow) prefixed(p passage) passage {
	e := newEdit(p, len(space))
	from := p.start()
	e.put(space, span{from, from})
	at := 0
	for {
		k := strings.Index(p.text[at:], space)
		if k < 0 {
			break
		}
		e.keep(p, at, at+k)
		at += k
		e.put(" ", p.source(at, at+len(space)))
		at += len(space)
	}
	e.keep(p, at, len(p.text))
	return e.passage()
}

// section encodes text between added tokens. With legacy=false a leading space is protected by the unknown token's
// text before it, whose tokens are dropped.
func (s *slow) section(out *output, p passage, literal bool) {
	if !s.modern() || !strings.HasPrefix(p.text, space) && !strings.HasPrefix(p.text, " ") {
		s.m.encode(out, p, literal)
		return
	}
	e := newEdit(p, len(s.unk))
	from := p.start()
	e.put(s.unk, span{from, from})
	e.keep(p, 0, len(p.text))
	o := output{track: out.track}
	s.m.encode(&o, e.passage(), literal)
	drop := s.unkCount
	if len(o.ids) < drop {
		drop = 0
	}
	out.ids = append(out.ids, o.ids[drop:]...)
	if out.track {
		out.spans = append(out.spans, o.spans[drop:]...)
	}
}
