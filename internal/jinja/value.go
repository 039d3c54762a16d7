package jinja

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Value is what expressions give: nil (none), bool, int, float64, [Text], *[List], *[Dict], or an internal type.
type Value any

// Text is a string whose bytes remember who wrote them.
type Text struct {
	S    string
	From []Origin // ascending, apart; the program wrote the bytes between them
}

// Origin says that bytes of a text came in as a value.
type Origin struct {
	Start, End int // bytes
	ID         int // as given to Written
}

// Written is a text that comes in from outside. Negative ids are the program's own.
func Written(s string, id int) Text {
	if s == "" {
		return Text{}
	}
	return Text{s, []Origin{{0, len(s), id}}}
}

// plain is a text that the program wrote.
func plain(s string) Text { return Text{S: s} }

// slice is the text from byte i to j.
func (t Text) slice(i, j int) Text {
	out := Text{S: t.S[i:j]}
	for _, o := range t.From {
		if a, b := max(o.Start, i), min(o.End, j); a < b {
			out.From = append(out.From, Origin{a - i, b - i, o.ID})
		}
	}
	return out
}

// derived is a text computed from t in a way that does not keep bytes apart: all of it comes from where t first came.
func (t Text) derived(s string) Text {
	if len(t.From) == 0 {
		return plain(s)
	}
	return Written(s, t.From[0].ID)
}

// within is the part of t that a trimming function left.
func (t Text) within(left, right func(string) string) Text {
	i := 0
	if left != nil {
		i = len(t.S) - len(left(t.S))
	}
	j := len(t.S)
	if right != nil {
		j = max(i, len(right(t.S)))
	}
	return t.slice(i, j)
}

// split cuts t at every sep, n times at most if n >= 0.
func (t Text) split(sep string, n int) []Text {
	var out []Text
	at := 0
	for n < 0 || len(out) < n {
		i := strings.Index(t.S[at:], sep)
		if i < 0 {
			break
		}
		out = append(out, t.slice(at, at+i))
		at += i + len(sep)
	}
	return append(out, t.slice(at, len(t.S)))
}

// fields cuts t at white space.
func (t Text) fields() (out []Text) {
	at := 0
	for _, f := range strings.Fields(t.S) {
		i := at + strings.Index(t.S[at:], f)
		out = append(out, t.slice(i, i+len(f)))
		at = i + len(f)
	}
	return out
}

// textBuilder joins texts.
type textBuilder struct {
	b    strings.Builder
	from []Origin
}

func (b *textBuilder) add(t Text) {
	n := b.b.Len()
	b.b.WriteString(t.S)
	for _, o := range t.From {
		if k := len(b.from); k > 0 && b.from[k-1].End == n+o.Start && b.from[k-1].ID == o.ID {
			b.from[k-1].End = n + o.End
			continue
		}
		b.from = append(b.from, Origin{n + o.Start, n + o.End, o.ID})
	}
}

func (b *textBuilder) text() Text { return Text{b.b.String(), b.from} }

func join(sep Text, parts []Text) Text {
	var b textBuilder
	for i, p := range parts {
		if i > 0 {
			b.add(sep)
		}
		b.add(p)
	}
	return b.text()
}

// List is a list or tuple.
type List struct {
	Items []Value
	tuple bool
}

// Dict is a mapping by strings in the order of their insertion.
type Dict struct {
	keys   []string
	values map[string]Value
}

// NewDict returns the mapping of keys and values in turn. It panics on an odd number, or if a key is no string.
func NewDict(pairs ...any) *Dict {
	d := &Dict{values: map[string]Value{}}
	for i := 0; i < len(pairs); i += 2 {
		d.set(pairs[i].(string), pairs[i+1])
	}
	return d
}

func (d *Dict) set(key string, v Value) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = v
}

// undefined is what a name or key that is not there gives.
type undefined struct{ name string }

// function is what can be called; named arguments come by name.
type function func(s *state, args []Value, named map[string]Value) Value

// namespace is a mapping whose entries the program may set.
type namespace struct{ *Dict }

func truth(v Value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.S != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// number is an int, float or bool as a float.
func number(v Value) (x float64, whole, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true, true
		}
		return 0, true, true
	case int:
		return float64(v), true, true
	case float64:
		return v, false, true
	}
	return 0, false, false
}

func (r *run) equal(a, b Value) bool {
	r.step() // lists may share parts, and look far larger than they are
	x, _, isX := number(a)
	y, _, isY := number(b)
	if isX || isY {
		return isX && isY && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case Text:
		t, ok := b.(Text)
		return ok && a.S == t.S
	case *List:
		l, ok := b.(*List)
		return ok && slices.EqualFunc(a.Items, l.Items, r.equal)
	case *Dict:
		d, ok := b.(*Dict)
		return ok && maps.EqualFunc(a.values, d.values, r.equal)
	}
	return false
}

// compare orders numbers, texts and lists.
func (r *run) compare(a, b Value) int {
	r.step()
	x, _, isX := number(a)
	y, _, isY := number(b)
	if isX && isY {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	if s, ok := a.(Text); ok {
		if t, ok := b.(Text); ok {
			return strings.Compare(s.S, t.S)
		}
	}
	if s, ok := a.(*List); ok {
		if t, ok := b.(*List); ok {
			return slices.CompareFunc(s.Items, t.Items, r.compare)
		}
	}
	fail("%s and %s cannot be compared", kind(a), kind(b))
	return 0
}

func kind(v Value) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case undefined:
		return fmt.Sprintf("%q, which is undefined,", v.name)
	case bool:
		return "a truth value"
	case int, float64:
		return "a number"
	case Text:
		return "a string"
	case *List:
		return "a list"
	case *Dict, namespace, *loop:
		return "a mapping"
	}
	return "a function"
}

// show is Python's str.
func show(s *state, v Value) Text {
	if t, ok := v.(Text); ok {
		return t
	}
	var b textBuilder
	represent(s, &b, v, 0)
	return b.text()
}

// represent is Python's repr but for what is undefined, which is empty.
func represent(s *state, b *textBuilder, v Value, depth int) {
	s.step()
	if depth > maxDepth {
		fail("values are nested more than %d deep", maxDepth)
	}
	word := func(w string) { b.add(plain(w)) }
	switch v := v.(type) {
	case nil:
		word("None")
	case undefined:
	case bool:
		word(map[bool]string{true: "True", false: "False"}[v])
	case int:
		word(strconv.Itoa(v))
	case float64:
		word(float(v))
	case Text:
		q := "'"
		if strings.Contains(v.S, "'") && !strings.Contains(v.S, `"`) {
			q = `"`
		}
		escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, q, `\`+q)
		b.add(v.derived(q + escape.Replace(v.S) + q))
	case *List:
		open, end := "[", "]"
		if v.tuple {
			open, end = "(", ")"
			if len(v.Items) == 1 {
				end = ",)"
			}
		}
		word(open)
		for i, x := range v.Items {
			if i > 0 {
				word(", ")
			}
			represent(s, b, x, depth+1)
		}
		word(end)
	case *Dict:
		word("{")
		for i, k := range v.keys {
			if i > 0 {
				word(", ")
			}
			represent(s, b, plain(k), depth+1)
			word(": ")
			represent(s, b, v.values[k], depth+1)
		}
		word("}")
	default:
		fail("%s cannot be written", kind(v))
	}
}

// float is Python's repr of a float.
func float(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return map[bool]string{true: "inf", false: "-inf"}[x > 0]
	case x == math.Trunc(x) && math.Abs(x) < 1e16:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
