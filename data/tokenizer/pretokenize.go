package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// preTokenizer splits a text into the words that the model sees one by one. head says whether the text is the very
// beginning of what was given.
type preTokenizer func(p passage, head bool, next func(p passage, head bool))

// preTokenizer also says whether the words are to be read as bytes (ByteLevel).
func (n *node) preTokenizer(field string) (f preTokenizer, bytes bool, err error) {
	switch n.Type {
	case "Sequence":
		f = func(p passage, head bool, next func(passage, bool)) { next(p, head) }
		for i := len(n.Pretokenizers) - 1; i >= 0; i-- {
			at := indexed(field+".pretokenizers", i)
			part, level, err := n.Pretokenizers[i].preTokenizer(at)
			if err != nil {
				return nil, false, err
			}
			if level && i != len(n.Pretokenizers)-1 {
				return nil, false, unsupported(at+".type", "a ByteLevel that is not the last")
			}
			bytes = bytes || level
			rest := f
			f = func(p passage, head bool, next func(passage, bool)) {
				part(p, head, func(p passage, head bool) { rest(p, head, next) })
			}
		}
		return f, bytes, nil
	case "ByteLevel":
		prefix, regex := is(n.AddPrefixSpace, true), is(n.UseRegex, true)
		return func(p passage, head bool, next func(passage, bool)) {
			if prefix && !strings.HasPrefix(p.text, " ") {
				p = prepended(" ")(p)
			}
			if !regex {
				next(p, head)
				return
			}
			for at := 0; at < len(p.text); {
				_, end := scanGPT2(p.text, at)
				next(p.slice(at, end), head && at == 0)
				at = end
			}
		}, true, nil
	case "Metaspace":
		f, err := n.metaspace(field)
		return f, false, err
	case "Split":
		pat, err := n.Pattern.compile(field + ".pattern")
		if err != nil {
			return nil, false, err
		}
		if n.Behavior == "" {
			return nil, false, fieldError(field+".behavior", "missing")
		}
		f, err := splitBy(field, pat, n.Behavior, n.Invert)
		return f, false, err
	case "Whitespace":
		pat, err := newPattern(`\w+|[^\w\s]+`)
		if err != nil {
			return nil, false, err
		}
		f, err := splitBy(field, pat, "Removed", true)
		return f, false, err
	case "WhitespaceSplit":
		f, err := splitBy(field, runePattern(unicode.IsSpace), "Removed", false)
		return f, false, err
	case "CharDelimiterSplit":
		f, err := splitBy(field, literalPattern(n.Delimiter), "Removed", false)
		return f, false, err
	case "Digits":
		behavior := "Contiguous"
		if n.Digits {
			behavior = "Isolated"
		}
		f, err := splitBy(field, runePattern(unicode.IsNumber), behavior, false)
		return f, false, err
	case "Punctuation":
		behavior := n.Behavior
		if behavior == "" {
			behavior = "Isolated"
		}
		f, err := splitBy(field, runePattern(isPunct), behavior, false)
		return f, false, err
	case "BertPreTokenizer":
		words, err := splitBy(field, runePattern(unicode.IsSpace), "Removed", false)
		if err != nil {
			return nil, false, err
		}
		marks, err := splitBy(field, runePattern(isPunct), "Isolated", false)
		return func(p passage, head bool, next func(passage, bool)) {
			words(p, head, func(p passage, head bool) { marks(p, head, next) })
		}, false, err
	}
	return nil, false, unsupported(field+".type", "%q", n.Type)
}

// metaspace shows spaces as ▁, puts one first, and splits before each.
func (n *node) metaspace(field string) (preTokenizer, error) {
	mark := n.Replacement
	if mark == "" {
		mark = space
	}
	if utf8.RuneCountInString(mark) != 1 {
		return nil, fieldError(field+".replacement", "%q is not one character", mark)
	}
	scheme, err := n.scheme(field)
	if err != nil {
		return nil, err
	}
	show := replaced(literalPattern(" "), mark)
	cut, err := splitBy(field, literalPattern(mark), "MergedWithNext", false)
	if err != nil {
		return nil, err
	}
	split := is(n.Split, true)
	return func(p passage, head bool, next func(passage, bool)) {
		p = show(p)
		if (scheme == "always" || scheme == "first" && head) && !strings.HasPrefix(p.text, mark) {
			p = prepended(mark)(p)
		}
		if split {
			cut(p, head, next)
			return
		}
		next(p, head)
	}, nil
}

// splitBy cuts at the matches of a pattern. Behaviours have the names and the meaning of the tokenizers library.
func splitBy(field string, f pattern, behavior string, invert bool) (preTokenizer, error) {
	switch behavior {
	case "Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext":
	default:
		return nil, fieldError(field+".behavior", "%q does not exist", behavior)
	}
	return func(p passage, head bool, next func(passage, bool)) {
		emit := func(from, to int) {
			if from < to {
				next(p.slice(from, to), head && from == 0)
			}
		}
		if behavior == "Isolated" || behavior == "Removed" {
			drop := behavior == "Removed"
			at := 0
			for at < len(p.text) {
				start, end := f(p.text, at)
				if start < 0 {
					break
				}
				if !drop || !invert {
					emit(at, start)
				}
				if !drop || invert {
					emit(start, end)
				}
				at = end
			}
			if !drop || !invert {
				emit(at, len(p.text))
			}
			return
		}
		type part struct {
			from, to int
			match    bool
		}
		var parts []part
		at := 0
		for at < len(p.text) {
			start, end := f(p.text, at)
			if start < 0 {
				break
			}
			if at < start {
				parts = append(parts, part{at, start, invert})
			}
			parts = append(parts, part{start, end, !invert})
			at = end
		}
		if at < len(p.text) {
			parts = append(parts, part{at, len(p.text), invert})
		}
		var out []part
		last := false
		switch behavior {
		case "Contiguous":
			for i, x := range parts {
				if i > 0 && x.match == last {
					out[len(out)-1].to = x.to
				} else {
					out = append(out, x)
				}
				last = x.match
			}
		case "MergedWithPrevious":
			for _, x := range parts {
				if x.match && !last && len(out) > 0 {
					out[len(out)-1].to = x.to
				} else {
					out = append(out, x)
				}
				last = x.match
			}
		case "MergedWithNext":
			for i := len(parts) - 1; i >= 0; i-- {
				x := parts[i]
				if x.match && !last && len(out) > 0 {
					out[len(out)-1].from = x.from
				} else {
					out = append(out, x)
				}
				last = x.match
			}
			for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
				out[i], out[j] = out[j], out[i]
			}
		}
		for _, x := range out {
			emit(x.from, x.to)
		}
	}, nil
}
