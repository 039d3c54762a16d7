package jinja

import (
	"bytes"
	"encoding/json"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type filter func(s *state, args []Value, named map[string]Value) Value

// asMethod is a filter that a method of strings does too.
func asMethod(name string) filter {
	return func(s *state, args []Value, named map[string]Value) Value {
		t := show(s, args[0])
		s.use(len(t.S))
		return textMethods[name](s, t, args[1:], named)
	}
}

var filters = map[string]filter{
	"trim": asMethod("strip"), "upper": asMethod("upper"), "lower": asMethod("lower"), "title": asMethod("title"),
	"capitalize": asMethod("capitalize"),
	"length":     length, "count": length, "tojson": toJSON, "default": fallback, "d": fallback,
	"select": selecting(false, true), "reject": selecting(false, false),
	"selectattr": selecting(true, true), "rejectattr": selecting(true, false),
	"map": mapItems, "indent": indent,
	"string": func(s *state, args []Value, _ map[string]Value) Value { return show(s, args[0]) },
	"safe":   func(s *state, args []Value, _ map[string]Value) Value { return show(s, args[0]) },
	"escape": escape, "e": escape, "int": toInt, "float": toFloat,
	"list": func(s *state, args []Value, _ map[string]Value) Value {
		return &List{Items: slices.Clone(iterate(s, args[0]))}
	},
	"first": func(s *state, args []Value, _ map[string]Value) Value {
		return at(iterate(s, args[0]), 0)
	},
	"last": func(s *state, args []Value, _ map[string]Value) Value {
		items := iterate(s, args[0])
		return at(items, len(items)-1)
	},
	"join": func(s *state, args []Value, named map[string]Value) Value {
		list := args[0]
		if name := argument(args, named, 2, "attribute", nil); name != nil {
			list = mapItems(s, []Value{list}, map[string]Value{"attribute": name})
		}
		return joined(s, list, show(s, argument(args, named, 1, "d", Text{})))
	},
	"replace": func(s *state, args []Value, named map[string]Value) Value {
		return replaced(
			s,
			show(s, args[0]),
			text(argument(args, named, 1, "old", nil)),
			text(argument(args, named, 2, "new", nil)),
			whole(argument(args, named, 3, "count", -1)),
		)
	},
	"reverse": func(s *state, args []Value, _ map[string]Value) Value {
		return slice(s, args[0], [3]Value{nil, nil, -1})
	},
	"sort": func(s *state, args []Value, named map[string]Value) Value {
		var by func(Value) Value
		if name := argument(args, named, 3, "attribute", nil); name != nil {
			by = path(s, name)
		}
		return &List{Items: sorted(s, iterate(s, args[0]), by, truth(argument(args, named, 2, "case_sensitive", false)),
			truth(argument(args, named, 1, "reverse", false)))}
	},
	"unique": func(s *state, args []Value, named map[string]Value) Value {
		var out []Value
		fold := folding(nil, truth(argument(args, named, 1, "case_sensitive", false)))
		for _, v := range iterate(s, args[0]) {
			if !slices.ContainsFunc(out, func(x Value) bool { return s.equal(fold(x), fold(v)) }) {
				out = append(out, v)
			}
		}
		return &List{Items: out}
	},
	"items": func(s *state, args []Value, _ map[string]Value) Value {
		if _, ok := args[0].(undefined); ok {
			return &List{}
		}
		f, ok := method(args[0], "items").(function)
		if !ok {
			fail("items of %s", kind(args[0]))
		}
		return f(s, nil, nil)
	},
	"dictsort": func(s *state, args []Value, named map[string]Value) Value {
		f, ok := method(args[0], "items").(function)
		if !ok {
			fail("dictsort of %s", kind(args[0]))
		}
		by := 0
		if show(s, argument(args, named, 2, "by", plain("key"))).S == "value" {
			by = 1
		}
		return &List{Items: sorted(
			s,
			f(s, nil, nil).(*List).Items,
			func(v Value) Value { return v.(*List).Items[by] },
			truth(
				argument(args, named, 1, "case_sensitive", false),
			),
			truth(argument(args, named, 3, "reverse", false)),
		)}
	},
	"abs": func(s *state, args []Value, _ map[string]Value) Value {
		x, whole, ok := number(args[0])
		if !ok {
			fail("abs of %s", kind(args[0]))
		}
		return calculate("+", math.Abs(x), 0, whole)
	},
	"round": func(s *state, args []Value, named map[string]Value) Value {
		x, _, ok := number(args[0])
		if !ok {
			fail("round of %s", kind(args[0]))
		}
		return round(x, whole(argument(args, named, 1, "precision", 0)))
	},
	"sum": func(s *state, args []Value, _ map[string]Value) Value {
		sum := Value(0)
		for _, v := range iterate(s, args[0]) {
			sum = arithmetic(s, "+", sum, v)
		}
		return sum
	},
	"min": func(s *state, args []Value, _ map[string]Value) Value {
		return at(sorted(s, iterate(s, args[0]), nil, false, false), 0)
	},
	"max": func(s *state, args []Value, _ map[string]Value) Value {
		return at(sorted(s, iterate(s, args[0]), nil, false, true), 0)
	},
}

func at(items []Value, i int) Value {
	if i < 0 || i >= len(items) {
		return undefined{"an item of an empty list"}
	}
	return items[i]
}

func length(s *state, args []Value, _ map[string]Value) Value {
	switch v := args[0].(type) {
	case Text:
		return utf8.RuneCountInString(v.S)
	case *Dict:
		return len(v.keys)
	}
	return len(iterate(s, args[0]))
}

func fallback(_ *state, args []Value, named map[string]Value) Value {
	_, missing := args[0].(undefined)
	if missing || truth(argument(args, named, 2, "boolean", false)) && !truth(args[0]) {
		return argument(args, named, 1, "default_value", Text{})
	}
	return args[0]
}

// path returns the function that follows a dotted name.
func path(s *state, name Value) func(Value) Value {
	if n, ok := name.(int); ok {
		return func(v Value) Value { return item(s, v, n) }
	}
	parts := strings.Split(text(name).S, ".")
	return func(v Value) Value {
		for _, p := range parts {
			if _, ok := v.(undefined); ok {
				return v
			}
			v = attribute(s, v, p)
		}
		return v
	}
}

// selecting keeps items, or those with an attribute, for which a test comes out as wanted.
func selecting(attribute, want bool) filter {
	return func(s *state, args []Value, _ map[string]Value) Value {
		of, rest := func(v Value) Value { return v }, args[1:]
		if attribute {
			if len(rest) == 0 {
				fail("selectattr and rejectattr need the name of an attribute")
			}
			of, rest = path(s, rest[0]), rest[1:]
		}
		check := func(v Value) bool { return truth(v) }
		if len(rest) > 0 {
			f, ok := tests[text(rest[0]).S]
			if !ok {
				fail("the test %s is not supported", text(rest[0]).S)
			}
			check = func(v Value) bool { return f(s, v, rest[1:]) }
		}
		l := &List{}
		for _, v := range iterate(s, args[0]) {
			s.step()
			if check(of(v)) == want {
				l.Items = append(l.Items, v)
			}
		}
		return l
	}
}

// mapItems is the filter map: an attribute of each item, or a filter applied to each.
func mapItems(s *state, args []Value, named map[string]Value) Value {
	f := func(v Value) Value { return v }
	switch name := named["attribute"]; {
	case name != nil:
		get := path(s, name)
		f = func(v Value) Value {
			out := get(v)
			if _, ok := out.(undefined); ok {
				return argument(nil, named, 0, "default", out)
			}
			return out
		}
	case len(args) > 1:
		g, ok := s.filters[text(args[1]).S]
		if !ok {
			fail("the filter %s is not supported", text(args[1]).S)
		}
		f = func(v Value) Value { return g(s, append([]Value{v}, args[2:]...), named) }
	}
	l := &List{}
	for _, v := range iterate(s, args[0]) {
		s.step()
		s.use(16)
		l.Items = append(l.Items, f(v))
	}
	return l
}

func indent(s *state, args []Value, named map[string]Value) Value {
	t := show(s, args[0])
	by := argument(args, named, 1, "width", 4)
	pad, ok := by.(Text)
	if !ok {
		n := whole(by)
		s.use(n)
		pad = plain(strings.Repeat(" ", n))
	}
	first, blank := truth(argument(args, named, 2, "first", false)), truth(argument(args, named, 3, "blank", false))
	lines := t.split("\n", -1)
	s.use(len(t.S) + len(lines)*(len(pad.S)+48))
	for i, l := range lines {
		if (i > 0 || first) && (blank || l.S != "") {
			lines[i] = join(Text{}, []Text{pad, l})
		}
	}
	return join(plain("\n"), lines)
}

func escape(s *state, args []Value, _ map[string]Value) Value {
	t := show(s, args[0])
	s.use(6 * len(t.S))
	return t.derived(html.EscapeString(t.S))
}

func toInt(s *state, args []Value, named map[string]Value) Value {
	if x, _, ok := number(args[0]); ok && math.Abs(x) < 1<<53 {
		return int(math.Trunc(x))
	}
	if t, ok := args[0].(Text); ok {
		if n, err := strconv.Atoi(strings.TrimSpace(t.S)); err == nil {
			return n
		}
	}
	return argument(args, named, 1, "default", 0)
}

func toFloat(s *state, args []Value, named map[string]Value) Value {
	if x, _, ok := number(args[0]); ok {
		return x
	}
	if t, ok := args[0].(Text); ok {
		if x, err := strconv.ParseFloat(strings.TrimSpace(t.S), 64); err == nil {
			return x
		}
	}
	return argument(args, named, 1, "default", 0.0)
}

// toJSON writes JSON as Python's json.dumps does with ensure_ascii=False. Where a value has parts from outside, all of
// the text counts as written by who wrote the first of them.
func toJSON(s *state, args []Value, named map[string]Value) Value {
	var b strings.Builder
	by := 0
	pretty := argument(args, named, 1, "indent", nil)
	if pretty != nil {
		by = whole(pretty)
	}
	var origin *Text
	var write func(v Value, depth int)
	list := func(open, end string, n, depth int, each func(i int)) {
		b.WriteString(open)
		s.use(by * (depth + 1))
		for i := range n {
			s.use(by * (depth + 1))
			switch {
			case pretty != nil:
				b.WriteString(map[bool]string{true: ",", false: ""}[i > 0] + "\n" + strings.Repeat(" ", by*(depth+1)))
			case i > 0:
				b.WriteString(", ")
			}
			each(i)
		}
		if pretty != nil && n > 0 {
			b.WriteString("\n" + strings.Repeat(" ", by*depth))
		}
		b.WriteString(end)
	}
	word := func(t string) {
		var raw bytes.Buffer
		e := json.NewEncoder(&raw)
		e.SetEscapeHTML(false)
		if err := e.Encode(t); err != nil {
			fail("tojson: %v", err)
		}
		b.WriteString(
			strings.NewReplacer("\\u2028", "\u2028", "\\u2029", "\u2029").
				Replace(strings.TrimSuffix(raw.String(), "\n")),
		)
	}
	write = func(v Value, depth int) {
		s.step()
		s.use(16)
		if depth > maxDepth {
			fail("values are nested more than %d deep", maxDepth)
		}
		switch v := v.(type) {
		case nil:
			b.WriteString("null")
		case Text:
			if len(v.From) > 0 && origin == nil {
				origin = &v
			}
			s.use(2 * len(v.S))
			word(v.S)
		case bool:
			b.WriteString(strconv.FormatBool(v))
		case *List:
			list("[", "]", len(v.Items), depth, func(i int) { write(v.Items[i], depth+1) })
		case *Dict:
			list("{", "}", len(v.keys), depth, func(i int) {
				word(v.keys[i])
				b.WriteString(": ")
				write(v.values[v.keys[i]], depth+1)
			})
		case int, float64:
			b.WriteString(show(s, v).S)
		default:
			fail("%s has no JSON", kind(v))
		}
	}
	write(args[0], 0)
	if origin != nil {
		return origin.derived(b.String())
	}
	return plain(b.String())
}

type test func(s *state, v Value, args []Value) bool

func ofKind(names ...string) test {
	return func(_ *state, v Value, _ []Value) bool { return slices.Contains(names, kind(v)) }
}

func related(op string) test {
	return func(s *state, v Value, args []Value) bool { return relation(s, op, v, argument(args, nil, 0, "", nil)) }
}

func divisible(by int) test {
	return func(_ *state, v Value, args []Value) bool {
		n := by
		if n == 0 {
			n = whole(argument(args, nil, 0, "", nil))
		}
		if n == 0 {
			fail("divisibleby 0")
		}
		return whole(v)%n == 0
	}
}

var tests = map[string]test{
	"defined":   func(_ *state, v Value, _ []Value) bool { _, missing := v.(undefined); return !missing },
	"undefined": func(_ *state, v Value, _ []Value) bool { _, missing := v.(undefined); return missing },
	"none": ofKind(
		"none",
	), "string": ofKind("a string"), "boolean": ofKind("a truth value"), "mapping": ofKind("a mapping"),
	"number":   ofKind("a number", "a truth value"),
	"callable": ofKind("a function"), "sequence": ofKind("a string", "a list", "a mapping"),
	"iterable": ofKind("a string", "a list", "a mapping"),
	"integer":  func(_ *state, v Value, _ []Value) bool { _, ok := v.(int); return ok },
	"float":    func(_ *state, v Value, _ []Value) bool { _, ok := v.(float64); return ok },
	"true":     func(_ *state, v Value, _ []Value) bool { return v == Value(true) },
	"false":    func(_ *state, v Value, _ []Value) bool { return v == Value(false) },
	"equalto": related(
		"==",
	), "eq": related("=="), "==": related("=="), "ne": related("!="), "!=": related("!="), "sameas": related("=="),
	"lt": related("<"), "<": related("<"), "le": related("<="), "<=": related("<="), "lessthan": related("<"),
	"gt": related(
		">",
	), ">": related(">"), "ge": related(">="), ">=": related(">="), "greaterthan": related(">"), "in": related("in"),
	"even": divisible(
		2,
	), "odd": func(s *state, v Value, _ []Value) bool { return whole(v)%2 != 0 }, "divisibleby": divisible(0),
	"lower": func(_ *state, v Value, _ []Value) bool { t := text(v); return t.S == strings.ToLower(t.S) },
	"upper": func(_ *state, v Value, _ []Value) bool { t := text(v); return t.S == strings.ToUpper(t.S) },
}
