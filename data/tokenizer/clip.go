package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// cleanedCLIP makes a CLIP tokenizer clean as OpenAI's or as Hugging Face's in Python.
func (t *Tokenizer) cleanedCLIP(how Cleaning) error {
	f, ok := t.enc.(*fast)
	if !ok || how < CleanFast || how > CleanOpenAI {
		return fmt.Errorf("Cleaning %d does not exist", how)
	}
	t.enc = &slowCLIP{how: how, added: t.added, model: f.model, bos: t.bos, eos: t.eos, start: t.Token(t.bos),
		end: t.Token(t.eos)}
	if how == CleanOpenAI {
		t.contextPad = 0
	}
	return nil
}

// slowCLIP is OpenAI's SimpleTokenizer or Hugging Face's CLIPTokenizer.
type slowCLIP struct {
	how        Cleaning
	added      *added
	model      splitter
	bos, eos   int32
	start, end string
}

func (c *slowCLIP) encode(out *output, p passage, special bool) {
	if c.how == CleanOpenAI {
		c.words(out, trimmed(oneSpace(c.openAI(p))), !out.literal(special))
		return
	}
	for _, x := range c.added.splitSlow(p, out, special) {
		if x.token != nil {
			out.add(x.token.ID, p.source(x.from, x.to))
			continue
		}
		q := p.slice(x.from, x.to)
		if c.how == CleanSlow {
			q = c.basic(q)
		} else {
			q = trimmed(oneSpace(fixText(q)))
		}
		c.words(out, q, !out.literal(special))
	}
}

// openAI fixes the text and resolves HTML entities twice.
func (c *slowCLIP) openAI(p passage) passage {
	p = fixText(p)
	for range 2 {
		if s := unescape(p.text); s != p.text {
			p = aligned(p, s)
		}
	}
	return trimmed(p)
}

// basic joins BasicTokenizer's words by spaces.
func (c *slowCLIP) basic(p passage) passage {
	e := newEdit(p, 16)
	basic{chinese: true, lower: true}.words(p, func(w passage) {
		if len(e.buf) > 0 {
			s := w.start()
			e.put(" ", span{s, s})
		}
		e.keep(w, 0, len(w.text))
	})
	return e.passage()
}

// words lowers the text and encodes what CLIP's pattern finds in it.
func (c *slowCLIP) words(out *output, p passage, special bool) {
	p = lowerPython(p)
	var room []piece
	for at := 0; ; {
		start, end := scanCLIPCase(p.text, at, true)
		if start < 0 {
			return
		}
		if special {
			if id, n := c.marker(p.text[start:]); n > 0 {
				out.add(id, p.source(start, start+n))
				at = start + n
				continue
			}
		}
		w := p.slice(start, end)
		room = c.model.tokenize(room[:0], w.text, !special)
		out.pieces(w, room)
		at = end
	}
}

// marker finds the start or end token at the beginning of s.
func (c *slowCLIP) marker(s string) (int32, int) {
	switch {
	case strings.HasPrefix(s, c.start):
		return c.bos, len(c.start)
	case strings.HasPrefix(s, c.end):
		return c.eos, len(c.end)
	}
	return -1, 0
}

// oneSpace makes every run of white space one space.
func oneSpace(p passage) passage {
	return replaced(func(s string, at int) (int, int) {
		k := strings.IndexFunc(s[at:], unicode.IsSpace)
		if k < 0 {
			return -1, -1
		}
		return at + k, runOf(s, at+k, blank)
	}, " ")(p)
}

func trimmed(p passage) passage {
	from := len(p.text) - len(strings.TrimLeftFunc(p.text, pythonSpace))
	to := max(from, len(strings.TrimRightFunc(p.text, pythonSpace)))
	return p.slice(from, to)
}

// Context returns the n ids that a CLIP text encoder takes: Wrap(EncodeSpecial(text)), cut to n with the end of text
// last, and padded: with 0 for CleanOpenAI, else with the padding token or, without one, with the end of text.
func (t *Tokenizer) Context(text string, n int) []int32 {
	ids := t.Wrap(t.EncodeSpecial(text))
	if len(ids) > n {
		ids = ids[:n]
		if k := len(t.after); k <= n {
			copy(ids[n-k:], t.after)
		}
	}
	for len(ids) < n {
		ids = append(ids, t.contextPad)
	}
	return ids
}
