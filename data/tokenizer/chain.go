package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// step is one decoder of a tokenizer.json: it turns the strings of tokens into others, in order.
type step interface {
	push(s string, emit func(string))
	flush(emit func(string))
}

// chain runs the strings of tokens through the steps.
type chain struct {
	t     *Tokenizer
	steps []step
}

func newChain(t *Tokenizer, make []func() step) *chain {
	c := &chain{t: t}
	for _, f := range make {
		c.steps = append(c.steps, f())
	}
	return c
}

func (c *chain) push(dst []byte, id int32) []byte {
	c.from(0, c.t.tokens[id], &dst)
	return dst
}

func (c *chain) from(k int, s string, dst *[]byte) {
	if k == len(c.steps) {
		*dst = append(*dst, s...)
		return
	}
	c.steps[k].push(s, func(s string) { c.from(k+1, s, dst) })
}

func (c *chain) flush(dst []byte) []byte {
	for k, s := range c.steps {
		s.flush(func(s string) { c.from(k+1, s, &dst) })
	}
	return dst
}

// settle forgets bytes that wait for a character.
func (c *chain) settle() {
	for _, s := range c.steps {
		if x, ok := s.(interface{ settle() }); ok {
			x.settle()
		}
	}
}

// decoder returns makers of the steps of a decoder. fused says whether the tokens are one string by now.
func (n *node) decoder(field string, fused *bool) ([]func() step, error) {
	one := func(f func() step) ([]func() step, error) { return []func() step{f}, nil }
	switch n.Type {
	case "Sequence":
		var all []func() step
		for i := range n.Decoders {
			list, err := n.Decoders[i].decoder(indexed(field+".decoders", i), fused)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all, nil
	case "Replace":
		f, err := n.Pattern.compile(field + ".pattern")
		if err != nil {
			return nil, err
		}
		if *fused {
			return nil, unsupported(field, "Replace after Fuse")
		}
		change := replaced(f, n.Content)
		return one(func() step { return mapStep(func(s string, _ bool) string { return change(passage{text: s}).text }) })
	case "ByteFallback":
		return one(func() step { return &byteRun{} })
	case "Fuse":
		*fused = true
		return nil, nil
	case "Strip":
		if utf8.RuneCountInString(n.Content) != 1 || n.Start < 0 || n.Stop < 0 {
			return nil, fieldError(field, "wants one character as content and counts of 0 or more")
		}
		if *fused {
			return one(func() step { return &stripText{c: n.Content, start: n.Start, stop: n.Stop} })
		}
		return one(func() step {
			return mapStep(func(s string, _ bool) string {
				for i := 0; i < n.Start && strings.HasPrefix(s, n.Content); i++ {
					s = s[len(n.Content):]
				}
				for i := 0; i < n.Stop && strings.HasSuffix(s, n.Content); i++ {
					s = s[:len(s)-len(n.Content)]
				}
				return s
			})
		})
	case "ByteLevel":
		*fused = true
		return one(func() step { return &byteText{} })
	case "Metaspace":
		mark := n.Replacement
		if mark == "" {
			mark = space
		}
		scheme, err := n.scheme(field)
		if err != nil {
			return nil, err
		}
		return one(func() step {
			return firstStep(func(s string, first bool) string {
				if first && scheme != "never" {
					return strings.ReplaceAll(s, mark, "")
				}
				return strings.ReplaceAll(s, mark, " ")
			})
		})
	case "WordPiece":
		prefix, clean := "##", is(n.Cleanup, true)
		if n.Prefix != nil {
			prefix = *n.Prefix
		}
		return one(func() step {
			return firstStep(func(s string, first bool) string {
				if !first {
					if rest, ok := strings.CutPrefix(s, prefix); ok {
						s = rest
					} else {
						s = " " + s
					}
				}
				if clean {
					s = englishSpaces.Replace(s)
				}
				return s
			})
		})
	case "BPEDecoder":
		suffix := clipEnd
		if n.Suffix != nil {
			suffix = *n.Suffix
		}
		return one(func() step { return &suffixStep{suffix: suffix} })
	}
	return nil, unsupported(field+".type", "%q", n.Type)
}

// englishSpaces is the clean-up that a WordPiece decoder may ask for.
var englishSpaces = strings.NewReplacer(" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm",
	"'m", " do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re")

// mapped changes token by token.
type mapped struct {
	f     func(s string, first bool) string
	begun bool
}

func mapStep(f func(string, bool) string) step   { return &mapped{f: f} }
func firstStep(f func(string, bool) string) step { return &mapped{f: f} }

func (m *mapped) push(s string, emit func(string)) {
	emit(m.f(s, !m.begun))
	m.begun = true
}

func (m *mapped) flush(func(string)) {}

// joined puts spaces between tokens, which is what happens without a decoder.
func joined() step {
	return firstStep(func(s string, first bool) string {
		if first {
			return s
		}
		return " " + s
	})
}

// byteRun collects byte tokens; a run that is not UTF-8 becomes one U+FFFD per byte.
type byteRun struct{ run []byte }

func (b *byteRun) push(s string, emit func(string)) {
	if x, ok := byteToken(s); ok {
		b.run = append(b.run, x)
		return
	}
	b.flush(emit)
	emit(s)
}

func (b *byteRun) flush(emit func(string)) {
	switch {
	case len(b.run) == 0:
		return
	case utf8.Valid(b.run):
		emit(string(b.run))
	default:
		for range b.run {
			emit("\uFFFD")
		}
	}
	b.run = b.run[:0]
}

func (b *byteRun) settle() { b.run = b.run[:0] }

// byteText reads GPT-2's alphabet.
type byteText struct{ run []byte }

func (b *byteText) push(s string, emit func(string)) {
	run, ok := levelBytes(b.run, s)
	if !ok {
		run = append(run, s...)
	}
	n := len(run) - pending(run)
	if n > 0 {
		emit(string(appendLossy(nil, run[:n], false)))
	}
	b.run = append(b.run[:0], run[n:]...)
}

func (b *byteText) flush(emit func(string)) {
	if len(b.run) > 0 {
		emit(string(appendLossy(nil, b.run, false)))
		b.run = b.run[:0]
	}
}

func (b *byteText) settle() { b.run = b.run[:0] }

// stripText takes up to start characters off the beginning of the text and up to stop off its end.
type stripText struct {
	c           string
	start, stop int
	held        int // characters c that may be the end
}

func (x *stripText) push(s string, emit func(string)) {
	for x.start > 0 && s != "" {
		rest, ok := strings.CutPrefix(s, x.c)
		if !ok {
			x.start = 0
			break
		}
		x.start--
		s = rest
	}
	if x.stop == 0 {
		emit(s)
		return
	}
	body, tail := s, 0
	for strings.HasSuffix(body, x.c) {
		body = body[:len(body)-len(x.c)]
		tail++
	}
	if body != "" {
		emit(strings.Repeat(x.c, x.held) + body)
		x.held = 0
	}
	x.held += tail
	if more := x.held - x.stop; more > 0 {
		emit(strings.Repeat(x.c, more))
		x.held = x.stop
	}
}

func (x *stripText) flush(func(string)) {}

// suffixStep makes an end-of-word suffix a space, but for the last.
type suffixStep struct {
	suffix string
	gap    bool
}

func (x *suffixStep) push(s string, emit func(string)) {
	if x.gap {
		emit(" ")
	}
	rest, ok := strings.CutSuffix(s, x.suffix)
	x.gap = ok
	emit(rest)
}

func (x *suffixStep) flush(func(string)) {}

const clipEnd = "</w>"

// wordEnds makes every </w> in what another decoder writes a space.
type wordEnds struct {
	decoder
	held string
}

func (d *wordEnds) push(dst []byte, id int32) []byte {
	s := strings.ReplaceAll(d.held+string(d.decoder.push(nil, id)), clipEnd, " ")
	keep := 0
	for n := min(len(clipEnd)-1, len(s)); n > 0; n-- {
		if strings.HasSuffix(s, clipEnd[:n]) {
			keep = n
			break
		}
	}
	d.held = s[len(s)-keep:]
	return append(dst, s[:len(s)-keep]...)
}

func (d *wordEnds) flush(dst []byte) []byte {
	s := strings.ReplaceAll(d.held+string(d.decoder.flush(nil)), clipEnd, " ")
	d.held = ""
	return append(dst, s...)
}

func (d *wordEnds) settle() {
	if x, ok := d.decoder.(interface{ settle() }); ok {
		x.settle()
	}
}
