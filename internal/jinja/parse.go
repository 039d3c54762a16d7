package jinja

import (
	"fmt"
	"slices"
)

// expression gives a value.
type expression func(*state) Value

// parser turns pieces into statements. It descends into what is nested, within maxDepth.
type parser struct {
	pieces []piece
	toks   []token // of the tag at hand
	line   int
	depth  int
}

func (p *parser) fail(format string, args ...any) {
	panic(&Error{Line: p.line, Message: fmt.Sprintf(format, args...)})
}

// deeper guards a function that calls itself: defer p.deeper()().
func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("the program is nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

func (p *parser) peek() token {
	if len(p.toks) == 0 {
		return token{}
	}
	return p.toks[0]
}

func (p *parser) next() token {
	t := p.peek()
	if len(p.toks) > 0 {
		p.toks = p.toks[1:]
	}
	return t
}

// is reports whether the next token is one of these operators or names, and takes it.
func (p *parser) is(texts ...string) bool {
	if t := p.peek(); (t.kind == 'o' || t.kind == 'n') && slices.Contains(texts, t.text) {
		p.toks = p.toks[1:]
		return true
	}
	return false
}

func (p *parser) need(text string) {
	if !p.is(text) {
		p.fail("%q is expected before %q", text, p.peek().text)
	}
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != 'n' {
		p.fail("a name is expected before %q", t.text)
	}
	return t.text
}

func (p *parser) end() {
	if len(p.toks) > 0 {
		p.fail("unexpected %q", p.toks[0].text)
	}
}

// at makes errors of an expression name the line.
func (p *parser) at(e expression) expression {
	line := p.line
	return func(s *state) Value {
		s.step()
		defer func() {
			if r := recover(); r != nil {
				if e, ok := r.(*Error); ok && e.Line == 0 {
					e.Line = line
				}
				panic(r)
			}
		}()
		return e(s)
	}
}

// whole is an expression, with line, that may be a tuple without brackets.
func (p *parser) whole() expression { return p.at(p.tuple()) }

func (p *parser) tuple() expression {
	first := p.expression()
	if !p.is(",") {
		return first
	}
	items := []expression{first}
	for t := p.peek(); t.kind != 0 && t.text != ")" && t.text != "="; t = p.peek() {
		items = append(items, p.expression())
		if !p.is(",") {
			break
		}
	}
	return listOf(items, true)
}

func listOf(items []expression, tuple bool) expression {
	return func(s *state) Value {
		s.use(16 * len(items))
		l := &List{make([]Value, len(items)), tuple}
		for i, e := range items {
			l.Items[i] = e(s)
		}
		return l
	}
}

// expression is a condition or a conditional expression.
func (p *parser) expression() expression {
	defer p.deeper()()
	value := p.or()
	for p.is("if") {
		when, yes := p.or(), value
		no := expression(func(*state) Value { return undefined{"the else of an if"} })
		if p.is("else") {
			no = p.expression()
		}
		value = func(s *state) Value {
			if truth(when(s)) {
				return yes(s)
			}
			return no(s)
		}
	}
	return value
}

func (p *parser) or() expression {
	x := p.and()
	for p.is("or") {
		a, b := x, p.and()
		x = func(s *state) Value {
			if v := a(s); truth(v) {
				return v
			}
			return b(s)
		}
	}
	return x
}

func (p *parser) and() expression {
	x := p.not()
	for p.is("and") {
		a, b := x, p.not()
		x = func(s *state) Value {
			if v := a(s); !truth(v) {
				return v
			}
			return b(s)
		}
	}
	return x
}

func (p *parser) not() expression {
	if p.is("not") {
		defer p.deeper()()
		x := p.not()
		return func(s *state) Value { return !truth(x(s)) }
	}
	return p.comparison()
}

func (p *parser) comparison() expression {
	type link struct {
		op string
		x  expression
	}
	first := p.infix(0)
	var links []link
	for {
		t, op := p.peek(), ""
		switch {
		case t.kind == 'o' && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, t.text),
			t.kind == 'n' && t.text == "in":
			op = p.next().text
		case t.kind == 'n' && t.text == "not" && len(p.toks) > 1 && p.toks[1].text == "in":
			p.next()
			op = "not " + p.next().text
		}
		if op == "" {
			break
		}
		links = append(links, link{op, p.infix(0)})
	}
	if len(links) == 0 {
		return first
	}
	return func(s *state) Value {
		a := first(s)
		for _, l := range links {
			s.step()
			b := l.x(s)
			if !relation(s, l.op, a, b) {
				return false
			}
			a = b
		}
		return true
	}
}

// precedence lists the binary operators from loose to tight.
var precedence = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}

func (p *parser) infix(level int) expression {
	if level == len(precedence) {
		return p.unary(true)
	}
	x := p.infix(level + 1)
	for t := p.peek(); t.kind == 'o' && slices.Contains(precedence[level], t.text); t = p.peek() {
		p.next()
		a, b := x, p.infix(level+1)
		x = func(s *state) Value {
			s.step()
			l := a(s)
			return arithmetic(s, t.text, l, b(s))
		}
	}
	return x
}

func (p *parser) unary(filters bool) expression {
	var x expression
	switch {
	case p.is("-"):
		defer p.deeper()()
		y := p.unary(false)
		x = func(s *state) Value { return arithmetic(s, "-", 0, y(s)) }
	case p.is("+"):
		defer p.deeper()()
		x = p.unary(false)
	default:
		x = p.primary()
	}
	return p.postfix(x, filters)
}

func (p *parser) postfix(x expression, filters bool) expression {
	for {
		of := x
		switch {
		case p.is("."):
			t := p.next()
			if t.kind != 'n' && t.kind != 'i' {
				p.fail("a name is expected behind a dot")
			}
			x = func(s *state) Value { return attribute(s, of(s), t.text) }
		case p.is("["):
			x = p.subscript(of)
		case p.is("("):
			args := p.arguments()
			x = func(s *state) Value {
				f, ok := of(s).(function)
				if !ok {
					fail("%s cannot be called", kind(of(s)))
				}
				list, named := args(s)
				return f(s, list, named)
			}
		case filters && p.is("|"):
			x = p.filter(of)
		case filters && p.is("is"):
			x = p.test(of)
		default:
			return x
		}
	}
}

// filter is the rest of an expression with a filter, behind the bar.
func (p *parser) filter(of expression) expression {
	name := p.name()
	f, ok := filters[name]
	if !ok {
		p.fail("the filter %s is not supported", name)
	}
	args := noArguments
	if p.is("(") {
		args = p.arguments()
	}
	return func(s *state) Value {
		s.step()
		v := of(s)
		list, named := args(s)
		return f(s, append([]Value{v}, list...), named)
	}
}

// test is the rest of an expression with a test, behind is.
func (p *parser) test(of expression) expression {
	want := !p.is("not")
	name := p.name()
	f, ok := tests[name]
	if !ok {
		p.fail("the test %s is not supported", name)
	}
	args := noArguments
	switch t := p.peek(); {
	case p.is("("):
		args = p.arguments()
	case t.kind == 's', t.kind == 'i', t.kind == 'f', t.text == "[", t.text == "{",
		t.kind == 'n' && !slices.Contains([]string{"else", "or", "and", "is", "if", "not", "in"}, t.text):
		x := p.postfix(p.primary(), false)
		args = func(s *state) ([]Value, map[string]Value) { return []Value{x(s)}, nil }
	}
	return func(s *state) Value {
		s.step()
		v := of(s)
		list, _ := args(s)
		return f(s, v, list) == want
	}
}
