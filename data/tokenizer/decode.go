package tokenizer

import (
	"strings"
)

// decoder turns tokens into text, one after the other. What push and flush write never changes later.
type decoder interface {
	push(dst []byte, id int32) []byte // text that became certain with id
	flush(dst []byte) []byte          // text that only the end makes certain
}

// Decode returns the text of ids. Special tokens and ids that do not exist are skipped; spaces are not cleaned up.
func (t *Tokenizer) Decode(ids []int32) string {
	d := t.decoder()
	out := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		if t.visible(id) {
			out = d.push(out, id)
		}
	}
	return string(d.flush(out))
}

// visible says whether a token has text.
func (t *Tokenizer) visible(id int32) bool {
	return id >= 0 && int(id) < len(t.tokens) && t.tokens[id] != "" && !t.added.special(id)
}

// Stream turns tokens into text while they arrive. It holds back bytes that may still become a character.
// It serves one goroutine at a time.
type Stream struct {
	t *Tokenizer
	d decoder
}

// Stream starts after prompt, whose text is not repeated: Decode(prompt) and all that Next and Flush return together
// are Decode of all tokens, if the prompt ends with a whole character.
func (t *Tokenizer) Stream(prompt []int32) *Stream {
	s := &Stream{t, t.decoder()}
	var skip []byte
	for _, id := range prompt {
		if t.visible(id) {
			skip = s.d.push(skip[:0], id)
		}
	}
	if x, ok := s.d.(interface{ settle() }); ok && len(prompt) > 0 {
		x.settle()
	}
	return s
}

// Next returns the text that becomes certain with id.
func (s *Stream) Next(id int32) string {
	if !s.t.visible(id) {
		return ""
	}
	return string(s.d.push(nil, id))
}

// Flush returns what the end of the stream makes certain.
func (s *Stream) Flush() string { return string(s.d.flush(nil)) }

// spDecoder is SentencePiece's decoder, and what Hugging Face's classes in Python do before it.
type spDecoder struct {
	m    *spModel
	lead func(string) string // what is taken off the first token; nil: nothing

	started bool
	begin   bool // the next ▁ may be the dummy prefix
	taken   bool // it was taken from the last piece
	text    bool // something was written
	run     []byte
	over    bool // a control piece has come after run
}

func newSPDecoder(m *spModel, lead func(string) string) *spDecoder {
	return &spDecoder{m: m, lead: lead, begin: true}
}

func (d *spDecoder) push(dst []byte, id int32) []byte {
	if int(id) >= len(d.m.proto.pieces) {
		return dst
	}
	q := d.m.proto.pieces[id]
	text, kind := q.text, q.kind
	if !d.started {
		d.started = true
		if d.lead != nil {
			if text = d.lead(text); text != q.text {
				kind = 0 // what is left is shown as it is, unless it is a piece
				if id, ok := d.m.ids[text]; ok {
					kind = d.m.proto.pieces[id].kind
				}
			}
		}
	}
	if b, ok := byteToken(text); ok && kind == pieceByte {
		if d.over {
			dst = d.ends(dst)
		}
		d.run = append(d.run, b)
		n := len(d.run) - pending(d.run)
		dst = d.write(dst, appendLossy(nil, d.run[:n], true))
		d.run = append(d.run[:0], d.run[n:]...)
		return dst
	}
	if kind == pieceControl { // has no text, so what waits may go on waiting
		d.over = true
		if (d.taken || d.text) && len(d.run) == 0 {
			d.begin = false
		}
		d.taken = d.taken && len(d.run) > 0
		return dst
	}
	dst = d.ends(dst)
	if d.taken || d.text {
		d.begin = false
	}
	d.taken = false
	switch kind {
	case pieceUnknown:
		return d.write(dst, []byte(d.m.proto.unkSurface))
	case 0:
		return d.write(dst, []byte(text))
	}
	if d.begin && (d.m.rules.dummy || d.m.rules.shrink) {
		rest := strings.TrimPrefix(text, space)
		d.taken = rest != text && !d.m.rules.shrink
		text = rest
	}
	return d.write(dst, []byte(strings.ReplaceAll(text, space, " ")))
}

func (d *spDecoder) write(dst, b []byte) []byte {
	d.text = d.text || len(b) > 0
	return append(dst, b...)
}

// ends writes the bytes that wait for a character.
func (d *spDecoder) ends(dst []byte) []byte {
	dst = d.write(dst, appendLossy(nil, d.run, true))
	d.run, d.over = d.run[:0], false
	return dst
}

func (d *spDecoder) flush(dst []byte) []byte { return d.ends(dst) }
func (d *spDecoder) settle()                 { d.run = d.run[:0] }

// stripped removes white space at both ends of what another decoder writes.
type stripped struct {
	decoder
	begun bool
	held  []byte // white space that may be the end
}

func (d *stripped) push(dst []byte, id int32) []byte {
	return d.filter(dst, d.decoder.push(nil, id))
}

func (d *stripped) filter(dst, b []byte) []byte {
	s := string(b)
	if !d.begun {
		s = strings.TrimLeftFunc(s, pythonSpace)
		d.begun = s != ""
	}
	body := strings.TrimRightFunc(s, pythonSpace)
	if body != "" {
		dst = append(dst, d.held...)
		d.held = d.held[:0]
		dst = append(dst, body...)
	}
	d.held = append(d.held, s[len(body):]...)
	return dst
}

func (d *stripped) flush(dst []byte) []byte {
	dst = d.filter(dst, d.decoder.flush(nil))
	d.held = d.held[:0]
	return dst
}

func (d *stripped) settle() {
	if x, ok := d.decoder.(interface{ settle() }); ok {
		x.settle()
	}
}

// grouped joins the text between added tokens that are not special, and these, by one space, as Hugging Face's
// tokenizers in Python do.
type grouped struct {
	t     *Tokenizer
	fresh func() decoder
	group decoder
	parts int
	text  bool // the group has written something
}

func (d *grouped) push(dst []byte, id int32) []byte {
	if _, ok := d.t.added.byID[id]; ok {
		dst = d.end(dst, false)
		if d.parts > 0 {
			dst = append(dst, ' ')
		}
		d.parts++
		return append(dst, d.t.tokens[id]...)
	}
	if d.group == nil {
		d.group = d.fresh()
	}
	return d.write(dst, d.group.push(nil, id))
}

func (d *grouped) write(dst, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	if !d.text {
		if d.parts > 0 {
			dst = append(dst, ' ')
		}
		d.parts++
		d.text = true
	}
	return append(dst, b...)
}

func (d *grouped) end(dst []byte, last bool) []byte {
	if d.group == nil {
		return dst
	}
	dst = d.write(dst, d.group.flush(nil))
	if last && !d.text && d.parts > 0 {
		dst = append(dst, ' ')
	}
	d.group, d.text = nil, false
	return dst
}

func (d *grouped) flush(dst []byte) []byte { return d.end(dst, true) }

func (d *grouped) settle() {
	if x, ok := d.group.(interface{ settle() }); ok {
		x.settle()
	}
}

// slowDecoder returns the decoder of a SentencePiece model under Hugging Face's classes in Python.
func (s *slow) decoder(t *Tokenizer) decoder {
	switch s.kind {
	case slowLlama:
		return &grouped{t: t, fresh: func() decoder {
			return newSPDecoder(s.m, func(p string) string { return strings.TrimPrefix(p, space) })
		}}
	case slowT5:
		return &grouped{t: t, fresh: func() decoder {
			return &stripped{decoder: newSPDecoder(s.m, func(p string) string { return strings.TrimLeft(p, space) })}
		}}
	}
	if len(s.added.list) > 0 {
		return &verbatim{t: t, decoder: newSPDecoder(s.m, nil)}
	}
	return newSPDecoder(s.m, nil)
}

// verbatim writes added tokens as they are.
type verbatim struct {
	decoder
	t *Tokenizer
}

func (d *verbatim) push(dst []byte, id int32) []byte {
	if _, ok := d.t.added.byID[id]; ok {
		return append(d.decoder.flush(dst), d.t.tokens[id]...)
	}
	return d.decoder.push(dst, id)
}
