package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// AddedToken is a token that is cut out of the text before the model sees it. The fields are those of tokenizer.json.
type AddedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`      // takes the white space after it
	Normalized bool   `json:"normalized"`  // is looked for in the normalised text
	Special    bool   `json:"special"`     // Encode leaves it text, Decode skips it
}

// added finds added tokens in text.
type added struct {
	list    []AddedToken
	byID    map[int32]int
	raw     *trie // not normalised tokens: index into list
	normal  *trie
	slowSet *trie // all of them, for the tokenizers that know one kind only
}

// index builds the tries; normalize gives what a normalised token looks like in normalised text.
func (a *added) index(normalize func(string) string) {
	a.byID = make(map[int32]int, len(a.list))
	var raw, normal, all []string
	var rawID, normalID, allID []int32
	for i, t := range a.list {
		a.byID[t.ID] = i
		all, allID = append(all, t.Content), append(allID, int32(i))
		if t.Normalized && normalize != nil {
			normal, normalID = append(normal, normalize(t.Content)), append(normalID, int32(i))
		} else {
			raw, rawID = append(raw, t.Content), append(rawID, int32(i))
		}
	}
	a.raw, a.normal, a.slowSet = newTrie(raw, rawID), newTrie(normal, normalID), newTrie(all, allID)
}

func (a *added) special(id int32) bool {
	i, ok := a.byID[id]
	return ok && a.list[i].Special
}

// section is a part of a text: an added token, or text in between if token is nil.
type section struct {
	token    *AddedToken
	from, to int
}

// split cuts p at the tokens of t. Special tokens stay text where o does not let them be tokens.
func (a *added) split(p passage, t *trie, o *output, special bool) []section {
	var out []section
	s := p.text
	done := 0
	for at := 0; ; {
		start, end, k := t.find(s, at)
		if start < 0 {
			break
		}
		x := &a.list[k]
		if x.Special && !o.allows(p, start, end, special) {
			at = o.after(start, end)
			continue
		}
		at = end
		if x.SingleWord && (endsInWord(s[:start]) || beginsWithWord(s[end:])) {
			continue
		}
		text := start
		if x.LStrip {
			text = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if done < text {
			out = append(out, section{nil, done, text})
		}
		out = append(out, section{x, start, end})
		done = end
		if x.RStrip {
			done = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
			at = max(at, done)
		}
	}
	if done < len(s) {
		out = append(out, section{nil, done, len(s)})
	}
	return out
}

func wordRune(r rune) bool {
	return r == '_' || unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Pc, unicode.Other_Alphabetic)
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && wordRune(r)
}

func beginsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && wordRune(r)
}

// pythonSpace is what Python's str.strip removes.
func pythonSpace(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F
}

// splitSlow cuts s at all added tokens, as Hugging Face's tokenizers in Python do.
func (a *added) splitSlow(p passage, o *output, special bool) []section {
	var out []section
	s := p.text
	done := 0
	for at := 0; ; {
		start, end, k := a.slowSet.find(s, at)
		if start < 0 {
			break
		}
		x := &a.list[k]
		if x.Special && !o.allows(p, start, end, special) {
			at = o.after(start, end)
			continue
		}
		at = end
		if done < start {
			out = append(out, section{nil, done, start})
		}
		out = append(out, section{x, start, end})
		done = end
	}
	if done < len(s) {
		out = append(out, section{nil, done, len(s)})
	}
	for i := range out {
		x := out[i].token
		if x == nil {
			continue
		}
		if x.RStrip && i+1 < len(out) && out[i+1].token == nil {
			r := &out[i+1]
			r.from = r.to - len(strings.TrimLeftFunc(s[r.from:r.to], pythonSpace))
		}
		if x.LStrip && i > 0 && out[i-1].token == nil {
			l := &out[i-1]
			l.to = l.from + len(strings.TrimRightFunc(s[l.from:l.to], pythonSpace))
		}
		if x.SingleWord {
			left := i > 0 && out[i-1].token == nil && !strings.HasSuffix(s[out[i-1].from:out[i-1].to], " ")
			right := i+1 < len(out) && out[i+1].token == nil && !strings.HasPrefix(s[out[i+1].from:out[i+1].to], " ")
			switch {
			case left:
				out[i-1].to = out[i].to
				out[i] = section{nil, out[i].to, out[i].to}
			case right:
				out[i+1].from = out[i].from
				out[i] = section{nil, out[i].from, out[i].from}
			}
		}
	}
	kept := out[:0]
	for _, x := range out {
		if x.from < x.to {
			kept = append(kept, x)
		}
	}
	return kept
}
