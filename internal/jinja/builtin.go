package jinja

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// globals are the functions that a program may call.
func globals() map[string]Value {
	return map[string]Value{
		"range": function(numbers),
		"namespace": function(
			func(_ *state, args []Value, named map[string]Value) Value { return namespace{mapping(args, named)} },
		),
		"dict": function(
			func(_ *state, args []Value, named map[string]Value) Value { return mapping(args, named) },
		),
		"raise_exception": function(func(s *state, args []Value, _ map[string]Value) Value {
			panic(
				&Error{
					Message: show(s, argument(args, nil, 0, "message", plain("the program raises an exception"))).S,
					Raised:  true,
				},
			)
		}),
		"strftime_now": function(func(s *state, args []Value, _ map[string]Value) Value {
			return plain(strftime(show(s, argument(args, nil, 0, "format", plain(""))).S))
		}),
	}
}

func mapping(args []Value, named map[string]Value) *Dict {
	d := NewDict()
	for _, a := range args {
		of, ok := a.(*Dict)
		if !ok {
			fail("%s is no mapping", kind(a))
		}
		for _, k := range of.keys {
			d.set(k, of.values[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(named)) {
		d.set(k, named[k])
	}
	return d
}

func numbers(s *state, args []Value, _ map[string]Value) Value {
	n := [3]int{0, 0, 1}
	for i, a := range args {
		x, ok := a.(int)
		if !ok || i == 3 {
			fail("range takes one to three whole numbers")
		}
		n[i] = x
	}
	if len(args) == 1 {
		n[0], n[1] = 0, n[0]
	}
	if n[2] == 0 {
		fail("the step of a range is 0")
	}
	l := &List{}
	for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
		s.step()
		s.use(16)
		l.Items = append(l.Items, i)
	}
	return l
}

// argument is argument i, or the one of that name, or a default.
func argument(args []Value, named map[string]Value, i int, name string, otherwise Value) Value {
	if i < len(args) {
		return args[i]
	}
	if v, ok := named[name]; ok {
		return v
	}
	return otherwise
}

// text is a value that must be a string.
func text(v Value) Text {
	t, ok := v.(Text)
	if !ok {
		fail("%s is given where a string belongs", kind(v))
	}
	return t
}

func whole(v Value) int {
	n, ok := v.(int)
	if !ok {
		fail("%s is given where a whole number belongs", kind(v))
	}
	return n
}

// method returns a method of strings, mappings and lists, nil if there is none. Those that would change a value are not
// there, as in transformers' sandbox.
func method(v Value, name string) Value {
	switch v := v.(type) {
	case Text:
		if f := textMethods[name]; f != nil {
			return function(func(s *state, args []Value, named map[string]Value) Value {
				s.use(len(v.S))
				return f(s, v, args, named)
			})
		}
	case namespace:
		return method(v.Dict, name)
	case *Dict:
		switch name {
		case "items", "keys", "values":
			return function(func(s *state, _ []Value, _ map[string]Value) Value {
				s.use(64 * len(v.keys))
				l := &List{}
				for _, k := range v.keys {
					l.Items = append(l.Items, map[string]Value{"items": &List{[]Value{plain(k), v.values[k]}, true},
						"keys":   plain(k),
						"values": v.values[k]}[name])
				}
				return l
			})
		case "get":
			return function(func(_ *state, args []Value, named map[string]Value) Value {
				if x, ok := v.values[text(argument(args, named, 0, "key", nil)).S]; ok {
					return x
				}
				return argument(args, named, 1, "default", nil)
			})
		}
	case *List:
		switch name {
		case "count":
			return function(func(s *state, args []Value, _ map[string]Value) Value {
				n := 0
				for _, x := range v.Items {
					if s.equal(x, argument(args, nil, 0, "", nil)) {
						n++
					}
				}
				return n
			})
		case "index":
			return function(func(s *state, args []Value, _ map[string]Value) Value {
				wanted := argument(args, nil, 0, "", nil)
				i := slices.IndexFunc(v.Items, func(x Value) bool { return s.equal(x, wanted) })
				if i < 0 {
					fail("index: the list has no such item")
				}
				return i
			})
		}
	}
	return nil
}

// trimming removes characters at the ends: white space, or those of the first argument.
func trimming(left, right bool) func(*state, Text, []Value, map[string]Value) Value {
	return func(_ *state, t Text, args []Value, named map[string]Value) Value {
		in := space
		if set := argument(args, named, 0, "chars", nil); set != nil {
			in = func(r rune) bool { return strings.ContainsRune(text(set).S, r) }
		}
		var l, r func(string) string
		if left {
			l = func(s string) string { return strings.TrimLeftFunc(s, in) }
		}
		if right {
			r = func(s string) string { return strings.TrimRightFunc(s, in) }
		}
		return t.within(l, r)
	}
}

// space is Python's white space.
func space(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// mapped applies a function that keeps bytes apart where the length stays.
func mapped(f func(string) string) func(*state, Text, []Value, map[string]Value) Value {
	return func(_ *state, t Text, _ []Value, _ map[string]Value) Value {
		var b textBuilder
		at := 0
		for _, o := range append(slices.Clone(t.From), Origin{Start: len(t.S), End: len(t.S)}) {
			b.add(plain(f(t.S[at:o.Start])))
			b.add(Written(f(t.S[o.Start:o.End]), o.ID))
			at = o.End
		}
		return b.text()
	}
}

// affix tests an end of a string against a string or several.
func affix(test func(s, x string) bool) func(*state, Text, []Value, map[string]Value) Value {
	return func(s *state, t Text, args []Value, _ map[string]Value) Value {
		x := argument(args, nil, 0, "", nil)
		if l, ok := x.(*List); ok {
			return slices.ContainsFunc(l.Items, func(v Value) bool { return test(t.S, text(v).S) })
		}
		return test(t.S, text(x).S)
	}
}

// found is a place in a string in characters.
func found(index func(s, x string) int, must bool) func(*state, Text, []Value, map[string]Value) Value {
	return func(_ *state, t Text, args []Value, _ map[string]Value) Value {
		i := index(t.S, text(argument(args, nil, 0, "", nil)).S)
		if i < 0 {
			if must {
				fail("index: the string has no such part")
			}
			return -1
		}
		return utf8.RuneCountInString(t.S[:i])
	}
}

// every reports whether a string has characters and all are of a class.
func every(class func(rune) bool) func(*state, Text, []Value, map[string]Value) Value {
	return func(_ *state, t Text, _ []Value, _ map[string]Value) Value {
		return t.S != "" && !strings.ContainsFunc(t.S, func(r rune) bool { return !class(r) })
	}
}

func texts(s *state, parts []Text) Value {
	s.use(48 * len(parts))
	l := &List{}
	for _, p := range parts {
		l.Items = append(l.Items, p)
	}
	return l
}

var textMethods = map[string]func(*state, Text, []Value, map[string]Value) Value{
	"strip": trimming(true, true), "lstrip": trimming(true, false), "rstrip": trimming(false, true),
	"upper": mapped(strings.ToUpper), "lower": mapped(strings.ToLower),
	"capitalize": func(_ *state, t Text, _ []Value, _ map[string]Value) Value { return t.derived(capitalize(t.S)) },
	"title":      func(_ *state, t Text, _ []Value, _ map[string]Value) Value { return t.derived(title(t.S)) },
	"startswith": affix(strings.HasPrefix), "endswith": affix(strings.HasSuffix),
	"find": found(strings.Index, false), "rfind": found(strings.LastIndex, false), "index": found(strings.Index, true),
	"isdigit": every(unicode.IsDigit), "isalpha": every(unicode.IsLetter), "isspace": every(space),
	"isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }),
	"count": func(_ *state, t Text, args []Value, _ map[string]Value) Value {
		return strings.Count(t.S, text(argument(args, nil, 0, "", nil)).S)
	},
	"removeprefix": func(_ *state, t Text, args []Value, _ map[string]Value) Value {
		return t.slice(len(t.S)-len(strings.TrimPrefix(t.S, text(argument(args, nil, 0, "", nil)).S)), len(t.S))
	},
	"removesuffix": func(_ *state, t Text, args []Value, _ map[string]Value) Value {
		return t.slice(0, len(strings.TrimSuffix(t.S, text(argument(args, nil, 0, "", nil)).S)))
	},
	"split": func(s *state, t Text, args []Value, named map[string]Value) Value {
		sep, n := argument(args, named, 0, "sep", nil), whole(argument(args, named, 1, "maxsplit", -1))
		if sep == nil {
			if n >= 0 {
				fail("split at white space with a limit is not supported")
			}
			return texts(s, t.fields())
		}
		if text(sep).S == "" {
			fail("split at an empty string")
		}
		return texts(s, t.split(text(sep).S, n))
	},
	"rsplit": func(s *state, t Text, args []Value, named map[string]Value) Value {
		sep, n := text(argument(args, named, 0, "sep", nil)), whole(argument(args, named, 1, "maxsplit", -1))
		if sep.S == "" {
			fail("rsplit at an empty string")
		}
		parts := t.split(sep.S, -1)
		if k := len(parts) - n; n >= 0 && k > 1 {
			parts = append([]Text{join(sep, parts[:k])}, parts[k:]...)
		}
		return texts(s, parts)
	},
	"splitlines": func(s *state, t Text, _ []Value, _ map[string]Value) Value {
		parts := t.split("\n", -1)
		if n := len(parts); parts[n-1].S == "" {
			parts = parts[:n-1]
		}
		return texts(s, parts)
	},
	"join": func(s *state, t Text, args []Value, _ map[string]Value) Value {
		return joined(s, argument(args, nil, 0, "", nil), t)
	},
	"replace": func(s *state, t Text, args []Value, named map[string]Value) Value {
		return replaced(s, t, text(argument(args, named, 0, "old", nil)), text(argument(args, named, 1, "new", nil)),
			whole(argument(args, named, 2, "count", -1)))
	},
	"format": func(*state, Text, []Value, map[string]Value) Value {
		fail("the method format is not supported")
		return nil
	},
}

func replaced(s *state, t, old, with Text, n int) Value {
	if old.S == "" {
		fail("replace: what is replaced is empty")
	}
	parts := t.split(old.S, n)
	s.use(len(t.S) + len(parts)*(len(with.S)+48))
	return join(with, parts)
}

func joined(s *state, list Value, sep Text) Value {
	var parts []Text
	for _, v := range iterate(s, list) {
		t := show(s, v)
		s.use(len(t.S) + len(sep.S) + 48)
		parts = append(parts, t)
	}
	return join(sep, parts)
}

func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + strings.ToLower(s[n:])
}

func title(s string) string {
	letter := false
	return strings.Map(func(r rune) rune {
		was := letter
		if letter = unicode.IsLetter(r); was {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

// round rounds half to even, as Python's format does.
func round(x float64, digits int) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', max(0, min(digits, 300)), 64), 64)
	if err != nil {
		return math.Round(x)
	}
	return y
}

// folding is what values are compared by.
func folding(by func(Value) Value, sensitive bool) func(Value) Value {
	return func(v Value) Value {
		if by != nil {
			v = by(v)
		}
		if t, ok := v.(Text); ok && !sensitive {
			return plain(strings.ToLower(t.S))
		}
		return v
	}
}

// sorted orders values, strings without regard to case unless sensitive.
func sorted(s *state, items []Value, by func(Value) Value, sensitive, reverse bool) []Value {
	fold := folding(by, sensitive)
	out := slices.Clone(items)
	slices.SortStableFunc(out, func(a, b Value) int {
		c := s.compare(fold(a), fold(b))
		return cmp.Compare(c*map[bool]int{true: -1, false: 1}[reverse], 0)
	})
	return out
}
