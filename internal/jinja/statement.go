package jinja

import "strings"

// statement is executed; what it returns says how to go on.
type statement func(*state) flow

type flow int

const (
	onward flow = iota
	breaking
	continuing
)

func execute(body []statement, s *state) flow {
	for _, x := range body {
		s.step()
		if f := x(s); f != onward {
			return f
		}
	}
	return onward
}

// statements reads up to a tag that belongs to a statement outside, such as else or endfor, and returns its name; its
// other tokens are still to be read.
func (p *parser) statements() (body []statement, end string) {
	defer p.deeper()()
	for len(p.pieces) > 0 {
		x := p.pieces[0]
		p.pieces, p.line = p.pieces[1:], x.line
		if x.kind == 't' {
			t := plain(x.text)
			body = append(body, func(s *state) flow { return s.write(t) })
			continue
		}
		p.toks = scan(x)
		if x.kind == '{' {
			e := p.whole()
			p.end()
			body = append(body, func(s *state) flow { return s.write(show(s, e(s))) })
			continue
		}
		name := p.name()
		if strings.HasPrefix(name, "end") || name == "else" || name == "elif" {
			return body, name
		}
		body = append(body, p.statement(name))
	}
	return body, ""
}

func (s *state) write(t Text) flow {
	s.use(len(t.S))
	s.out.add(t)
	return onward
}

// until reads a body that ends with a tag of this name.
func (p *parser) until(end string) []statement {
	p.end()
	line := p.line
	body, got := p.statements()
	if got != end {
		p.line = line
		p.fail("%s is missing (there is %q)", end, got)
	}
	return body
}

func (p *parser) statement(name string) statement {
	switch name {
	case "if":
		return p.branch()
	case "for":
		return p.loop()
	case "set":
		return p.set()
	case "macro":
		return p.macro()
	case "break", "continue":
		p.end()
		f := map[string]flow{"break": breaking, "continue": continuing}[name]
		return func(*state) flow { return f }
	case "generation":
		body := p.until("endgeneration")
		return func(s *state) flow { return execute(body, s) }
	case "filter":
		x := p.filter(captured)
		for p.is("|") {
			x = p.filter(x)
		}
		body := p.until("endfilter")
		return func(s *state) flow {
			t, f := s.capture(body)
			s.write(show(s, s.with("", t, x)))
			return f
		}
	}
	p.fail("the statement %s is not supported", name)
	return nil
}

// captured is the expression for the text that a body wrote, in a scope where it is the variable without a name.
func captured(s *state) Value {
	v, _ := s.scope.get("")
	return v
}

// capture returns what a body writes.
func (s *state) capture(body []statement) (Text, flow) {
	var b textBuilder
	f := execute(body, &state{s.run, &scope{vars: map[string]Value{}, up: s.scope}, &b})
	return b.text(), f
}

func (p *parser) branch() statement {
	type arm struct {
		when expression
		body []statement
	}
	var arms []arm
	line := p.line
	when := p.whole()
	for {
		p.end()
		body, end := p.statements()
		arms = append(arms, arm{when, body})
		switch end {
		case "elif":
			when = p.whole()
			continue
		case "else":
			arms = append(arms, arm{constant(true), p.until("endif")})
		case "endif":
		default:
			p.line = line
			p.fail("endif is missing")
		}
		p.end()
		return func(s *state) flow {
			for _, a := range arms {
				if truth(a.when(s)) {
					return execute(a.body, s)
				}
			}
			return onward
		}
	}
}

// target is a name, or several in a tuple, that get values.
func (p *parser) target() func(*state, Value) {
	var names []string
	bracket := p.is("(")
	for {
		names = append(names, p.name())
		if !p.is(",") {
			break
		}
	}
	if bracket {
		p.need(")")
	}
	return func(s *state, v Value) {
		if len(names) == 1 {
			s.scope.vars[names[0]] = v
			return
		}
		items := iterate(s, v)
		if len(items) != len(names) {
			fail("%d values for %d names", len(items), len(names))
		}
		for i, name := range names {
			s.scope.vars[name] = items[i]
		}
	}
}

func (p *parser) set() statement {
	var assign func(*state, Value)
	if len(p.toks) > 2 && p.toks[1].text == "." {
		name := p.name()
		p.next()
		field := p.name()
		assign = func(s *state, v Value) {
			n, _ := s.scope.get(name)
			space, ok := n.(namespace)
			if !ok {
				fail("%s is not a namespace: nothing can be set in it", name)
			}
			space.set(field, v)
		}
	} else {
		assign = p.target()
	}
	if p.is("=") {
		x := p.whole()
		p.end()
		return func(s *state) flow { assign(s, x(s)); return onward }
	}
	x := expression(captured)
	for p.is("|") {
		x = p.filter(x)
	}
	body := p.until("endset")
	return func(s *state) flow {
		t, f := s.capture(body)
		assign(s, s.with("", t, x))
		return f
	}
}

// with evaluates an expression with one more variable.
func (s *state) with(name string, v Value, x expression) Value {
	in := s.inner()
	in.scope.vars[name] = v
	return x(in)
}

// loop is the variable of that name.
type loop struct {
	items []Value
	at    int
	last  Value // of changed
	depth int
}

func (p *parser) loop() statement {
	assign := p.target()
	p.need("in")
	of := p.at(p.or())
	var when expression
	if p.is("if") {
		when = p.whole()
	}
	if p.is("recursive") {
		p.fail("recursive loops are not supported")
	}
	p.end()
	line := p.line
	body, end := p.statements()
	var otherwise []statement
	if end == "else" {
		otherwise = p.until("endfor")
		end = "endfor"
	}
	if end != "endfor" {
		p.line = line
		p.fail("endfor is missing")
	}
	p.end()
	return func(s *state) flow {
		items := iterate(s, of(s))
		if when != nil {
			var kept []Value
			for _, v := range items {
				in := s.inner()
				assign(in, v)
				if truth(when(in)) {
					kept = append(kept, v)
				}
			}
			items = kept
		}
		l := &loop{items: items, depth: 1}
		if up, ok := s.scope.get("loop"); ok {
			if up, ok := up.(*loop); ok {
				l.depth = up.depth + 1
			}
		}
		for i, v := range items {
			s.step()
			l.at = i
			in := s.inner()
			in.scope.vars["loop"] = l
			assign(in, v)
			if execute(body, in) == breaking {
				break
			}
		}
		if len(items) == 0 {
			return execute(otherwise, s.inner())
		}
		return onward
	}
}

func (p *parser) macro() statement {
	name := p.name()
	p.need("(")
	var params []string
	defaults := map[string]expression{}
	for !p.is(")") {
		param := p.name()
		params = append(params, param)
		if p.is("=") {
			defaults[param] = p.expression()
		}
		if !p.is(",") {
			p.need(")")
			break
		}
	}
	body := p.until("endmacro")
	p.end()
	return func(s *state) flow {
		outer := s.scope
		outer.vars[name] = function(func(s *state, args []Value, named map[string]Value) Value {
			if s.depth++; s.depth > maxDepth {
				fail("macros call one another more than %d deep", maxDepth)
			}
			defer func() { s.depth-- }()
			if len(args) > len(params) {
				fail("%s takes %d arguments and got %d", name, len(params), len(args))
			}
			var b textBuilder
			in := &state{s.run, &scope{vars: map[string]Value{}, up: outer}, &b}
			for i, param := range params {
				v, ok := named[param]
				switch {
				case i < len(args):
					v = args[i]
				case ok:
				case defaults[param] != nil:
					v = defaults[param](in)
				default:
					v = undefined{param}
				}
				in.scope.vars[param] = v
			}
			execute(body, in)
			return b.text()
		})
		return onward
	}
}
