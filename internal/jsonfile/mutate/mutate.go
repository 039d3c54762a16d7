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

// A Document is a JSON text taken apart. It is not safe for concurrent use.
type Document struct {
	text []byte
	root any
}

// Read reads a document, which must be valid.
func Read(text []byte) *Document {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // numbers stay as they are written
	x := &Document{text: text}
	if err := d.Decode(&x.root); err != nil {
		panic(fmt.Sprintf("mutate: %v", err)) // the test's own document
	}
	return x
}

// place is a value in a document, at any depth.
type place struct {
	within    any // the map or list that holds it; nil: it is the root
	key       string
	index     int
	old       any
	container int // the number of the place that is within; −1: none
}

// places lists those of a document, outer ones first; of a list they are the first few elements' only.
func (d *Document) places() (list []place) {
	var walk func(p place)
	walk = func(p place) {
		at := len(list)
		list = append(list, p)
		switch v := p.old.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(place{v, k, 0, v[k], at})
			}
		case []any:
			for i := range min(len(v), 2) {
				walk(place{v, "", i, v[i], at})
			}
		}
	}
	walk(place{old: d.root, container: -1})
	return list
}

// path names place i of a list of them.
func path(list []place, i int) string {
	p := list[i]
	switch p.within.(type) {
	case map[string]any:
		return path(list, p.container) + "." + p.key
	case []any:
		return fmt.Sprintf("%s[%d]", path(list, p.container), p.index)
	}
	return ""
}

// set puts a value at a place.
func (d *Document) set(p place, x any) {
	switch v := p.within.(type) {
	case map[string]any:
		v[p.key] = x
	case []any:
		v[p.index] = x
	default:
		d.root = x
	}
}

// drop leaves a place out, if it is a member of an object.
func (p place) drop() bool {
	v, ok := p.within.(map[string]any)
	if ok {
		delete(v, p.key)
	}
	return ok
}

// All yields every variant of a document in which one value, at any depth, is replaced by one of [Values] or left out,
// with the place and what was done. The document must be valid; of a list it goes into the first few elements only.
func All(document []byte) iter.Seq2[string, []byte] {
	d := Read(document)
	return func(yield func(string, []byte) bool) {
		list := d.places()
		for i, p := range list {
			where := path(list, i)
			for _, x := range Values {
				d.set(p, x)
				text, _ := json.Marshal(x)
				if b, err := json.Marshal(d.root); err == nil && !yield(where+" = "+string(text), b) {
					return
				}
			}
			if p.drop() {
				if b, err := json.Marshal(d.root); err == nil && !yield(where+" left out", b) {
					return
				}
			}
			d.set(p, p.old)
		}
	}
}

// Variant changes a document as a program says: each three bytes of it name a place, and what stands there instead,
// which is one of [Values], nothing, or raw as it is. The result of raw bytes need not be JSON. The document itself
// stays as it is.
func (d *Document) Variant(program, raw []byte) []byte {
	const mark = "mutate:raw"
	var done []place
	for ; len(program) >= 3; program = program[3:] {
		all := d.places()
		p := all[(int(program[0])<<8|int(program[1]))%len(all)]
		done = append(done, p)
		switch what := int(program[2]) % (len(Values) + 2); {
		case what < len(Values):
			d.set(p, copied(Values[what]))
		case what == len(Values) && p.drop():
		default:
			d.set(p, mark)
		}
	}
	b, err := json.Marshal(d.root)
	for _, p := range slices.Backward(done) {
		d.set(p, p.old)
	}
	if err != nil {
		return d.text
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
