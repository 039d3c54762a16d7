package jinja

import (
	"strconv"
	"strings"
)

type arguments func(*state) ([]Value, map[string]Value)

func noArguments(*state) ([]Value, map[string]Value) { return nil, nil }

// arguments are those of a call, behind the bracket.
func (p *parser) arguments() arguments {
	var list []expression
	var names []string // of the last ones
	for !p.is(")") {
		if len(p.toks) > 1 && p.toks[0].kind == 'n' && p.toks[1].text == "=" && p.toks[1].kind == 'o' {
			names = append(names, p.name())
			p.next()
		} else if len(names) > 0 {
			p.fail("an argument without a name behind one with a name")
		}
		list = append(list, p.expression())
		if !p.is(",") {
			p.need(")")
			break
		}
	}
	return func(s *state) (args []Value, named map[string]Value) {
		s.use(16 * len(list))
		plain := len(list) - len(names)
		for _, e := range list[:plain] {
			args = append(args, e(s))
		}
		for i, name := range names {
			if named == nil {
				named = map[string]Value{}
			}
			named[name] = list[plain+i](s)
		}
		return args, named
	}
}

func (p *parser) subscript(of expression) expression {
	var parts [3]expression
	n, colons := 0, 0
	for !p.is("]") {
		if p.is(":") {
			if colons++; colons > 2 {
				p.fail("too many colons in brackets")
			}
			n = colons
			continue
		}
		if parts[n] != nil {
			p.fail("%q is expected before %q", "]", p.peek().text)
		}
		parts[n] = p.expression()
	}
	if colons == 0 {
		if parts[0] == nil {
			p.fail("nothing in brackets")
		}
		return func(s *state) Value {
			s.step()
			v := of(s)
			return item(s, v, parts[0](s))
		}
	}
	return func(s *state) Value {
		s.step()
		v := of(s)
		var bounds [3]Value
		for i, e := range parts {
			if e != nil {
				bounds[i] = e(s)
			}
		}
		return slice(s, v, bounds)
	}
}

func constant(v Value) expression { return func(*state) Value { return v } }

func (p *parser) primary() expression {
	defer p.deeper()()
	t := p.next()
	switch t.kind {
	case 's':
		for p.peek().kind == 's' {
			t.text += p.next().text
		}
		return constant(plain(t.text))
	case 'i':
		n, err := strconv.Atoi(strings.ReplaceAll(t.text, "_", ""))
		if err != nil {
			p.fail("the number %s is too large", t.text)
		}
		return constant(n)
	case 'f':
		x, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			p.fail("the number %s is too large", t.text)
		}
		return constant(x)
	case 'n':
		switch strings.ToLower(t.text[:1]) + t.text[1:] {
		case "true":
			return constant(true)
		case "false":
			return constant(false)
		case "none":
			return constant(nil)
		}
		return func(s *state) Value {
			if v, ok := s.scope.get(t.text); ok {
				return v
			}
			return undefined{t.text}
		}
	}
	switch t.text {
	case "(":
		if p.is(")") {
			return listOf(nil, true)
		}
		x := p.tuple()
		p.need(")")
		return x
	case "[":
		return listOf(p.items("]"), false)
	case "{":
		return p.dict()
	}
	if t.kind == 0 {
		p.fail("an expression is expected at the end of the tag")
	}
	p.fail("an expression is expected before %q", t.text)
	return nil
}

// items are expressions up to a closing bracket.
func (p *parser) items(end string) (list []expression) {
	for !p.is(end) {
		list = append(list, p.expression())
		if !p.is(",") {
			p.need(end)
			break
		}
	}
	return list
}

func (p *parser) dict() expression {
	var keys, values []expression
	for !p.is("}") {
		keys = append(keys, p.expression())
		p.need(":")
		values = append(values, p.expression())
		if !p.is(",") {
			p.need("}")
			break
		}
	}
	return func(s *state) Value {
		s.use(32 * len(keys))
		d := NewDict()
		for i, k := range keys {
			d.set(key(k(s)), values[i](s))
		}
		return d
	}
}

// key is the key of a mapping.
func key(v Value) string {
	t, ok := v.(Text)
	if !ok {
		fail("%s is a key of a mapping, where only strings are supported", kind(v))
	}
	return t.S
}
