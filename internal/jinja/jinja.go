// Package jinja renders chat templates: the part of Jinja that model checkpoints use.
//
// The settings and functions are those that transformers gives to them: trim_blocks, lstrip_blocks, loop controls,
// raise_exception, tojson without ASCII escapes.
//
//	p, err := jinja.Parse("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
//	out, err := p.Render(map[string]jinja.Value{"messages": messages})
//
// A program comes with a checkpoint and is not trusted: it can read what it is given and nothing else, there is no way
// to a file or to Go, and steps, memory, output and nesting are bounded. The same values give the same text at any
// time: strftime_now returns a constant date.
//
// Strings carry where their bytes come from ([Text]), so that the caller knows which part of the output the program
// wrote and which part came in with the messages.
//
// Source: Jinja 3.1, jinja2/lexer.py, parser.py, filters.py and sandbox.py; transformers, utils/chat_template_utils.py.
package jinja

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of a program and of one rendering.
const (
	maxProgram = 1 << 20  // bytes of a program
	maxTokens  = 1 << 14  // of one tag
	maxDepth   = 100      // nesting of expressions, statements and macro calls
	maxSteps   = 2 << 20  // evaluated expressions and statements
	maxBytes   = 64 << 20 // bytes of all strings and 16 a list item that are made on the way
)

// today is what strftime_now tells: the date that the programs of Llama 3.1 fall back to where there is no clock.
var today = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

// Program is a parsed template. It is immutable and safe for concurrent use.
type Program struct{ body []statement }

// Error says where a program is wrong, or what it refuses.
type Error struct {
	Line    int    // of the program, from 1; 0: not known
	Message string // what is wrong
	Raised  bool   // the program itself called raise_exception with Message
}

func (e *Error) Error() string {
	switch {
	case e.Raised:
		return e.Message
	case e.Line > 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return e.Message
}

// Parse reads a program. The error is an *[Error].
func Parse(program string) (p *Program, err error) {
	if len(program) > maxProgram {
		return nil, &Error{Message: fmt.Sprintf("the program has %d bytes, more than %d", len(program), maxProgram)}
	}
	defer catch(&err)
	c := parser{pieces: split(program)}
	body, end := c.statements()
	if end != "" {
		c.fail("%s without its beginning", end)
	}
	return &Program{body}, nil
}

// Render runs the program with the given variables. The error is an *[Error].
func (p *Program) Render(vars map[string]Value) (out Text, err error) {
	defer catch(&err)
	r := &run{steps: maxSteps, bytes: maxBytes, filters: filters}
	globals := &scope{vars: globals()}
	for name, v := range vars {
		globals.vars[name] = v
	}
	var b textBuilder
	execute(p.body, &state{run: r, scope: &scope{vars: map[string]Value{}, up: globals}, out: &b})
	return b.text(), nil
}

// catch makes an error of an *Error that was thrown.
func catch(err *error) {
	switch e := recover().(type) {
	case nil:
	case *Error:
		*err = e
	default:
		panic(e)
	}
}

// run counts what one rendering may still use.
type run struct {
	steps, bytes, depth int
	filters             map[string]filter
}

func (r *run) step() {
	if r.steps--; r.steps < 0 {
		fail("the program takes more than %d steps", maxSteps)
	}
}

func (r *run) use(n int) {
	if n < 0 || n > r.bytes {
		fail("the program takes more than %d bytes", maxBytes)
	}
	r.bytes -= n
}

// state is where an expression is evaluated.
type state struct {
	*run
	scope *scope
	out   *textBuilder
}

func (s *state) inner() *state {
	return &state{s.run, &scope{vars: map[string]Value{}, up: s.scope}, s.out}
}

type scope struct {
	vars map[string]Value
	up   *scope
}

func (s *scope) get(name string) (Value, bool) {
	for ; s != nil; s = s.up {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func fail(format string, args ...any) {
	panic(&Error{Message: fmt.Sprintf(format, args...)})
}

// strftime formats today as Python's strftime does.
func strftime(format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		layout, ok := directives[format[i]]
		if !ok {
			fail("strftime_now does not know %%%c", format[i])
		}
		b.WriteString(today.Format(layout))
	}
	return b.String()
}

var directives = map[byte]string{
	'Y': "2006",
	'm': "01",
	'd': "02",
	'b': "Jan",
	'B': "January",
	'a': "Mon",
	'A': "Monday",
	'H': "15",
	'M': "04",
	'S': "05",
	'y': "06",
	'j': "002",
	'p': "PM",
	'I': "03",
	'%': "%",
	'e': "_2",
	'F': "2006-01-02",
	'T': "15:04:05",
}
