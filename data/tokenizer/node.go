package tokenizer

import (
	"encoding/json"
)

// node is one part of a tokenizer.json: a normaliser, pre-tokeniser, post-processor or decoder with the fields of all.
type node struct {
	Type string `json:"type"`

	Normalizers   []node `json:"normalizers"`
	Pretokenizers []node `json:"pretokenizers"`
	Processors    []node `json:"processors"`
	Decoders      []node `json:"decoders"`

	Pattern  *nodePattern `json:"pattern"`
	Content  string       `json:"content"`
	Prepend  string       `json:"prepend"`
	Charsmap *string      `json:"precompiled_charsmap"`

	StripLeft  bool `json:"strip_left"`
	StripRight bool `json:"strip_right"`
	Start      int  `json:"start"`
	Stop       int  `json:"stop"`

	CleanText    *bool `json:"clean_text"`
	Chinese      *bool `json:"handle_chinese_chars"`
	StripAccents *bool `json:"strip_accents"`
	Lowercase    *bool `json:"lowercase"`

	Replacement    string  `json:"replacement"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	PrependScheme  *string `json:"prepend_scheme"`
	Split          *bool   `json:"split"`
	UseRegex       *bool   `json:"use_regex"`
	Behavior       string  `json:"behavior"`
	Invert         bool    `json:"invert"`
	Digits         bool    `json:"individual_digits"`
	Delimiter      string  `json:"delimiter"`

	Prefix  *string `json:"prefix"`
	Cleanup *bool   `json:"cleanup"`
	Suffix  *string `json:"suffix"`

	Sep    json.RawMessage          `json:"sep"`
	Cls    json.RawMessage          `json:"cls"`
	Single []templateItem           `json:"single"`
	Tokens map[string]templateToken `json:"special_tokens"`
}

type nodePattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

type templateItem struct {
	Special  *struct{ ID string } `json:"SpecialToken"`
	Sequence *struct{ ID string } `json:"Sequence"`
}

type templateToken struct {
	IDs []int64 `json:"ids"`
}

// compile makes a pattern of {"String": …} or {"Regex": …}.
func (p *nodePattern) compile(field string) (pattern, error) {
	switch {
	case p == nil:
		return nil, fieldError(field, "missing")
	case p.String != nil && *p.String != "":
		return literalPattern(*p.String), nil
	case p.Regex != nil && *p.Regex != "":
		f, err := newPattern(*p.Regex)
		if err != nil {
			return nil, &FormatError{Field: field, Err: err}
		}
		return f, nil
	}
	return nil, fieldError(field, "neither a String nor a Regex")
}

// scheme reads a Metaspace's rule for the ▁ that it puts first.
func (n *node) scheme(field string) (string, error) {
	s := "always"
	if n.AddPrefixSpace != nil && !*n.AddPrefixSpace {
		s = "never"
	}
	if n.PrependScheme != nil {
		s = *n.PrependScheme
	}
	if s != "always" && s != "first" && s != "never" {
		return "", fieldError(field+".prepend_scheme", "%q is not always, first or never", s)
	}
	return s, nil
}

// postprocess returns what a post-processor puts before and after a text.
func (n *node) postprocess(field string) (before, after []int32, err error) {
	switch n.Type {
	case "ByteLevel":
	case "Sequence":
		for i := range n.Processors {
			b, a, err := n.Processors[i].postprocess(indexed(field+".processors", i))
			if err != nil {
				return nil, nil, err
			}
			before, after = append(b, before...), append(after, a...)
		}
	case "TemplateProcessing":
		seen := false
		for i, x := range n.Single {
			at := indexed(field+".single", i)
			switch {
			case x.Sequence != nil:
				if seen || x.Sequence.ID != "A" {
					return nil, nil, fieldError(at, "one sequence A is wanted")
				}
				seen = true
			case x.Special != nil:
				tok, ok := n.Tokens[x.Special.ID]
				if !ok {
					return nil, nil, fieldError(at, "special_tokens has no %q", x.Special.ID)
				}
				for _, id := range tok.IDs {
					if err := checkID(at, id); err != nil {
						return nil, nil, err
					}
					if seen {
						after = append(after, int32(id))
					} else {
						before = append(before, int32(id))
					}
				}
			default:
				return nil, nil, fieldError(at, "neither SpecialToken nor Sequence")
			}
		}
		if !seen {
			return nil, nil, fieldError(field+".single", "no sequence in it")
		}
	case "RobertaProcessing", "BertProcessing":
		for _, x := range []struct {
			name string
			raw  json.RawMessage
			to   *[]int32
		}{{"cls", n.Cls, &before}, {"sep", n.Sep, &after}} {
			var pair []json.RawMessage
			var id int64
			if json.Unmarshal(x.raw, &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[1], &id) != nil {
				return nil, nil, fieldError(field+"."+x.name, `not ["token", id]`)
			}
			if err := checkID(field+"."+x.name, id); err != nil {
				return nil, nil, err
			}
			*x.to = []int32{int32(id)}
		}
	default:
		return nil, nil, unsupported(field+".type", "%q", n.Type)
	}
	return before, after, nil
}
