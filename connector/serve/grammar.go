package serve

import "unicode/utf8"

// A grammar is matched byte by byte with all its possibilities at once: a state is a set of stacks of what is still
// to come. Stacks share their tails, so that a step costs a few allocations for each possibility, of which JSON has
// few.

// node is a piece of a grammar.
type node struct {
	kind nodeKind
	set  *[256]bool // class: the bytes that may come
	list []*node    // sequence, choice
	body *node      // repeat, and what a reference stands for, which may be set later
}

type nodeKind uint8

const (
	class     nodeKind = iota // one byte of a set
	sequence                  // one after another
	choice                    // one of several
	repeat                    // any number of times
	reference                 // what body says, by then
)

// stack is what is still to come, first things first.
type stack struct {
	top  *node
	next *stack
}

// grammar is a state of matching. It implements [Constraint].
type grammar struct {
	start *node
	now   []*stack // every top is a class; nil stands for the end of the text
	tail  []byte   // the beginning of a character that is not complete
}

// mostWork bounds what one step may expand. A schema that needs more at its beginning is refused; one that does so
// later ends there.
const mostWork = 1 << 14

func newGrammar(start *node) *grammar {
	e := expander{left: mostWork}
	e.expand(start, nil)
	return &grammar{start: start, now: e.out}
}

// Fresh is the grammar at its beginning.
func (g *grammar) Fresh() Constraint { return newGrammar(g.start) }

// expander collects the stacks of a state.
type expander struct {
	out  []*stack
	left int // work that may still be done; below 0: it was too much
}

// expand adds the stacks that begin with n, then rest, with classes on top.
func (e *expander) expand(n *node, rest *stack) {
	if e.left--; e.left < 0 {
		e.out = nil // a loop that consumes nothing, or a schema beyond reason
		return
	}
	switch n.kind {
	case class:
		e.out = append(e.out, &stack{n, rest})
	case reference:
		e.expand(n.body, rest)
	case choice:
		for _, c := range n.list {
			if e.left >= 0 {
				e.expand(c, rest)
			}
		}
	case repeat:
		e.expand(n.body, &stack{n, rest})
		e.settle(rest)
	case sequence:
		if len(n.list) == 0 {
			e.settle(rest)
			return
		}
		for i := len(n.list) - 1; i > 0; i-- {
			rest = &stack{n.list[i], rest}
		}
		e.expand(n.list[0], rest)
	}
}

// settle adds the stacks of rest, whose top may be anything, or the end.
func (e *expander) settle(rest *stack) {
	switch {
	case e.left < 0:
	case rest == nil:
		e.out = append(e.out, nil)
	default:
		e.expand(rest.top, rest.next)
	}
}

// step returns the state after b.
func step(now []*stack, b byte) []*stack {
	e := expander{left: mostWork}
	for _, s := range now {
		if s != nil && s.top.set[b] {
			e.settle(s.next)
		}
	}
	return e.out
}

func (g *grammar) run(text []byte) []*stack {
	now := g.now
	for _, b := range text {
		if now = step(now, b); len(now) == 0 {
			return nil
		}
	}
	return now
}

// Accepts reports whether text may follow. Bytes that make no character are refused at once, but may end in the
// middle of one.
func (g *grammar) Accepts(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	whole := append(append([]byte(nil), g.tail...), text...)
	for len(whole) > 0 {
		r, n := utf8.DecodeRune(whole)
		if r == utf8.RuneError && n <= 1 {
			if utf8.FullRune(whole) {
				return false
			}
			break
		}
		whole = whole[n:]
	}
	return g.run(text) != nil
}

// Advance accepts text.
func (g *grammar) Advance(text []byte) {
	g.now = g.run(text)
	whole := append(g.tail, text...)
	for len(whole) > 0 && utf8.FullRune(whole) {
		_, n := utf8.DecodeRune(whole)
		whole = whole[n:]
	}
	g.tail = append([]byte(nil), whole...)
}

// Complete reports whether the text may end here.
func (g *grammar) Complete() bool {
	for _, s := range g.now {
		if s == nil {
			return true
		}
	}
	return false
}

// bytesOf is the class of the bytes of s.
func bytesOf(s string) *node {
	var set [256]bool
	for i := range len(s) {
		set[s[i]] = true
	}
	return &node{kind: class, set: &set}
}

// between is the class of the bytes from low to high.
func between(low, high byte) *node {
	var set [256]bool
	for b := int(low); b <= int(high); b++ {
		set[b] = true
	}
	return &node{kind: class, set: &set}
}

// text is s itself.
func text(s string) *node {
	n := &node{kind: sequence}
	for i := range len(s) {
		n.list = append(n.list, bytesOf(s[i:i+1]))
	}
	return n
}

func then(list ...*node) *node   { return &node{kind: sequence, list: list} }
func either(list ...*node) *node { return &node{kind: choice, list: list} }
func any0(n *node) *node         { return &node{kind: repeat, body: n} }
func maybe(n *node) *node        { return either(n, then()) }
