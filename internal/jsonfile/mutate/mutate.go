// Package mutate makes broken variants of JSON texts for tests of what reads them.
package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Values are what each place of a document is replaced by: all of JSON's kinds, and numbers at the edges.
var Values = []any{nil, -1, 0, 1 << 40, 1e300, 0.5, "", "text", true, []any{}, []any{nil}, map[string]any{},
	map[string]any{"a": nil}}

// place is a value in a document, at any depth.
type place struct {
	path string
	old  any
	set  func(any)
	drop func() // nil: it cannot be left out
}

// places lists those of a document, outer ones first; of a list they are the first few elements' only.
func places(root *any) []place {
	var list []place
	var walk func(p place)
	walk = func(p place) {
		list = append(list, p)
		switch v := p.old.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(place{p.path + "." + k, v[k], func(x any) { v[k] = x }, func() { delete(v, k) }})
			}
		case []any:
			for i := range min(len(v), 2) {
				walk(place{fmt.Sprintf("%s[%d]", p.path, i), v[i], func(x any) { v[i] = x }, nil})
			}
		}
	}
	walk(place{"", *root, func(x any) { *root = x }, nil})
	return list
}

// parsed reads a document, which must be valid.
func parsed(document []byte) (root any) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber() // numbers stay as they are written
	if err := d.Decode(&root); err != nil {
		panic(fmt.Sprintf("mutate: %v", err)) // the test's own document
	}
	return root
}

// All yields every variant of a document in which one value, at any depth, is replaced by one of [Values] or left out,
// with the place and what was done. The document must be valid; of a list it goes into the first few elements only.
func All(document []byte) iter.Seq2[string, []byte] {
	root := parsed(document)
	return func(yield func(string, []byte) bool) {
		for _, p := range places(&root) {
			for _, x := range Values {
				p.set(x)
				text, _ := json.Marshal(x)
				if b, err := json.Marshal(root); err == nil && !yield(p.path+" = "+string(text), b) {
					return
				}
			}
			if p.set(p.old); p.drop == nil {
				continue
			}
			p.drop()
			if b, err := json.Marshal(root); err == nil && !yield(p.path+" left out", b) {
				return
			}
			p.set(p.old)
		}
	}
}

// Variant changes a document as a program says: each three bytes of it name a place, and what stands there instead,
// which is one of [Values], nothing, or raw as it is. The result of raw bytes need not be JSON.
func Variant(document, program, raw []byte) []byte {
	const mark = "mutate:raw"
	root := parsed(document)
	for ; len(program) >= 3; program = program[3:] {
		all := places(&root)
		p := all[(int(program[0])<<8|int(program[1]))%len(all)]
		switch what := int(program[2]) % (len(Values) + 2); {
		case what < len(Values):
			p.set(copied(Values[what]))
		case what == len(Values) && p.drop != nil:
			p.drop()
		default:
			p.set(mark)
		}
	}
	b, err := json.Marshal(root)
	if err != nil {
		return document
	}
	return bytes.ReplaceAll(b, []byte(`"`+mark+`"`), raw)
}

// copied is a value that later mutations may change.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return maps.Clone(v)
	case []any:
		return slices.Clone(v)
	}
	return v
}
