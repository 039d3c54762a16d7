package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func relation(s *state, op string, a, b Value) bool {
	switch op {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "in":
		return contains(s, b, a)
	case "not in":
		return !contains(s, b, a)
	}
	c := s.compare(a, b)
	return op[0] == '<' && c < 0 || op[0] == '>' && c > 0 || len(op) == 2 && c == 0
}

// contains reports whether x is in v.
func contains(s *state, v, x Value) bool {
	switch v := v.(type) {
	case Text:
		t, ok := x.(Text)
		if !ok {
			fail("%s is searched for in a string", kind(x))
		}
		return strings.Contains(v.S, t.S)
	case *Dict:
		t, ok := x.(Text)
		return ok && v.values[t.S] != nil || ok && slices.Contains(v.keys, t.S)
	case namespace:
		return contains(s, v.Dict, x)
	}
	return slices.ContainsFunc(iterate(s, v), func(y Value) bool { return s.equal(x, y) })
}

func arithmetic(s *state, op string, a, b Value) Value {
	if op == "~" {
		return concat(s, show(s, a), show(s, b))
	}
	x, wholeX, isX := number(a)
	y, wholeY, isY := number(b)
	if isX && isY {
		return calculate(op, x, y, wholeX && wholeY)
	}
	t, isText := a.(Text)
	u, isText2 := b.(Text)
	l, isList := a.(*List)
	m, isList2 := b.(*List)
	switch {
	case op == "+" && isText && isText2:
		return concat(s, t, u)
	case op == "+" && isList && isList2:
		s.use(16 * (len(l.Items) + len(m.Items)))
		return &List{Items: slices.Concat(l.Items, m.Items)}
	case op == "*" && isText && isY && wholeY:
		n := max(0, int(y))
		if n > 0 && len(t.S) > maxBytes/n {
			s.use(maxBytes + 1)
		}
		s.use(n * (len(t.S) + 1))
		return join(Text{}, slices.Repeat([]Text{t}, n))
	}
	fail("%s %s %s cannot be computed", kind(a), op, kind(b))
	return nil
}

func concat(s *state, a, b Text) Text {
	s.use(len(a.S) + len(b.S))
	return join(Text{}, []Text{a, b})
}

func calculate(op string, x, y float64, whole bool) Value {
	var z float64
	switch op {
	case "+":
		z = x + y
	case "-":
		z = x - y
	case "*":
		z = x * y
	case "**":
		z = math.Pow(x, y)
		whole = whole && y >= 0
	default:
		if y == 0 {
			fail("division by zero")
		}
		switch op {
		case "/":
			return x / y
		case "//":
			z = math.Floor(x / y)
		case "%":
			z = x - y*math.Floor(x/y)
		}
	}
	if !whole {
		return z
	}
	if math.Abs(z) > 1<<53 {
		fail("a whole number is too large")
	}
	return int(z)
}

// iterate is what a loop over a value sees.
func iterate(s *state, v Value) []Value {
	switch v := v.(type) {
	case undefined:
		return nil
	case *List:
		return v.Items
	case *Dict:
		s.use(16 * len(v.keys))
		var out []Value
		for _, k := range v.keys {
			out = append(out, plain(k))
		}
		return out
	case Text:
		s.use(32 * len(v.S))
		var out []Value
		for i := 0; i < len(v.S); {
			_, n := utf8.DecodeRuneInString(v.S[i:]) // 1 where the bytes are no UTF-8
			out = append(out, v.slice(i, i+n))
			i += n
		}
		return out
	}
	fail("%s cannot be looped over", kind(v))
	return nil
}

// attribute is v.name: a method, else an item.
func attribute(s *state, v Value, name string) Value {
	switch x := v.(type) {
	case undefined:
		fail("%q is undefined: it has no %s", x.name, name)
	case *loop:
		return x.attribute(s, name)
	}
	if m := method(v, name); m != nil {
		return m
	}
	if n, err := strconv.Atoi(name); err == nil {
		return item(s, v, n)
	}
	return lookup(v, name)
}

// lookup is the entry of a mapping.
func lookup(v Value, name string) Value {
	switch x := v.(type) {
	case *Dict:
		if v, ok := x.values[name]; ok {
			return v
		}
	case namespace:
		return lookup(x.Dict, name)
	}
	return undefined{name}
}

// item is v[i].
func item(s *state, v, i Value) Value {
	if u, ok := v.(undefined); ok {
		fail("%q is undefined: it has no items", u.name)
	}
	if t, ok := i.(Text); ok {
		if out := lookup(v, t.S); out != (Value)(undefined{t.S}) {
			return out
		}
		return attribute(s, v, t.S)
	}
	n, ok := i.(int)
	if !ok {
		return undefined{"an item"}
	}
	switch v.(type) {
	case *List, Text:
		items := iterate(s, v)
		if n < 0 {
			n += len(items)
		}
		if n >= 0 && n < len(items) {
			return items[n]
		}
	}
	return undefined{strconv.Itoa(n)}
}

// slice is v[from:to:step].
func slice(s *state, v Value, bounds [3]Value) Value {
	items := iterate(s, v)
	n, step := len(items), 1
	whole := func(v Value) int {
		n, ok := v.(int)
		if !ok {
			fail("%s is a bound of a slice", kind(v))
		}
		return n
	}
	if bounds[2] != nil {
		if step = whole(bounds[2]); step == 0 {
			fail("the step of a slice is 0")
		}
	}
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	clip := func(v Value, otherwise int) int {
		if v == nil {
			return otherwise
		}
		i := whole(v)
		if i < 0 {
			i += n
		}
		return max(low, min(i, high))
	}
	from, to := clip(bounds[0], low), clip(bounds[1], high)
	if step < 0 {
		from, to = clip(bounds[0], high), clip(bounds[1], low)
	}
	var out []Value
	for i := from; (step > 0 && i < to) || (step < 0 && i > to); i += step {
		out = append(out, items[i])
		if step > n || step < -n {
			break
		}
	}
	s.use(16 * len(out))
	if _, ok := v.(Text); ok {
		parts := make([]Text, len(out))
		for i, x := range out {
			parts[i] = x.(Text)
		}
		return join(Text{}, parts)
	}
	return &List{Items: out}
}

func (l *loop) attribute(s *state, name string) Value {
	n := len(l.items)
	switch name {
	case "index":
		return l.at + 1
	case "index0":
		return l.at
	case "revindex":
		return n - l.at
	case "revindex0":
		return n - l.at - 1
	case "first":
		return l.at == 0
	case "last":
		return l.at == n-1
	case "length":
		return n
	case "depth":
		return l.depth
	case "depth0":
		return l.depth - 1
	case "previtem":
		if l.at > 0 {
			return l.items[l.at-1]
		}
	case "nextitem":
		if l.at < n-1 {
			return l.items[l.at+1]
		}
	case "cycle":
		return function(func(_ *state, args []Value, _ map[string]Value) Value {
			if len(args) == 0 {
				fail("cycle without arguments")
			}
			return args[l.at%len(args)]
		})
	case "changed":
		return function(func(s *state, args []Value, _ map[string]Value) Value {
			now := &List{Items: args}
			same := l.last != nil && s.equal(l.last, now)
			l.last = now
			return !same
		})
	}
	return undefined{name}
}
