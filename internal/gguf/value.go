package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Value is a metadata value: a number, a bool, a string, or an array of these. It refers to the file's mapping until it
// is read.
type Value struct {
	Kind Kind
	Elem Kind // of an array
	Len  int  // elements of an array

	raw []byte
}

// value reads a value of a kind.
func (r *reader) value(kind Kind, key string) (v Value, err error) {
	v = Value{Kind: kind}
	switch n := kind.size(); {
	case n > 0:
		if v.raw, err = r.take(uint64(n), "value of "+key); err == nil && kind == Bool {
			err = bools(v.raw, key)
		}
	case kind == String:
		v.raw, err = r.text("value of " + key)
	case kind == Array:
		return v, r.array(&v, key)
	default:
		err = fmt.Errorf("key %q has a value of %s, which does not exist", key, kind)
	}
	return v, err
}

func (r *reader) array(v *Value, key string) error {
	elem, err := r.u32("elements of " + key)
	if err != nil {
		return err
	}
	n, err := r.u64("length of " + key)
	if err != nil {
		return err
	}
	v.Elem = Kind(elem)
	size, left := v.Elem.size(), uint64(len(r.b)-r.at)
	least := uint64(max(size, 8)) // a string is at least its length
	if size > 0 {
		least = uint64(size)
	}
	switch {
	case size == 0 && v.Elem != String:
		return fmt.Errorf("key %q is an array of %s, which is not supported", key, v.Elem)
	case n > left/least:
		return fmt.Errorf("key %q is an array of %d × %s at byte %d, but only %d bytes are left", key, n, v.Elem, r.at,
			left)
	}
	v.Len = int(n)
	if size > 0 {
		if v.raw, err = r.take(n*uint64(size), "value of "+key); err == nil && v.Elem == Bool {
			err = bools(v.raw, key)
		}
		return err
	}
	from := r.at
	for range n {
		if _, err := r.text("a string of " + key); err != nil {
			return err
		}
	}
	v.raw = r.b[from:r.at]
	return nil
}

func bools(raw []byte, key string) error {
	for _, b := range raw {
		if b > 1 {
			return fmt.Errorf("key %q: a bool of %d", key, b)
		}
	}
	return nil
}

// number is the bits of element i of numbers of kind k, widened.
func number(raw []byte, k Kind, i int) (u uint64, s int64, f float64) {
	n := k.size()
	p := raw[i*n : (i+1)*n]
	switch n {
	case 1:
		u = uint64(p[0])
	case 2:
		u = uint64(binary.LittleEndian.Uint16(p))
	case 4:
		u = uint64(binary.LittleEndian.Uint32(p))
	case 8:
		u = binary.LittleEndian.Uint64(p)
	}
	s = int64(u<<(64-8*n)) >> (64 - 8*n)
	switch k {
	case Float32:
		f = float64(math.Float32frombits(uint32(u)))
	case Float64:
		f = math.Float64frombits(u)
	}
	return u, s, f
}

func (k Kind) signed() bool { return k == Int8 || k == Int16 || k == Int32 || k == Int64 }
func (k Kind) integer() bool {
	return k.signed() || k == Uint8 || k == Uint16 || k == Uint32 || k == Uint64
}

// Uint is the value of an integer that is not negative; false for another value.
func (v Value) Uint() (uint64, bool) {
	if !v.Kind.integer() {
		return 0, false
	}
	u, s, _ := number(v.raw, v.Kind, 0)
	if v.Kind.signed() {
		return uint64(s), s >= 0
	}
	return u, true
}

// Float is the value of a floating-point number.
func (v Value) Float() (float64, bool) {
	if v.Kind != Float32 && v.Kind != Float64 {
		return 0, false
	}
	_, _, f := number(v.raw, v.Kind, 0)
	return f, true
}

// Bool is the value of a bool.
func (v Value) Bool() (value, ok bool) { return v.Kind == Bool && v.raw[0] == 1, v.Kind == Bool }

// Text is the value of a string.
func (v Value) Text() (string, bool) { return string(v.raw), v.Kind == String }

// Texts are the elements of an array of strings.
func (v Value) Texts() ([]string, bool) {
	if v.Kind != Array || v.Elem != String {
		return nil, false
	}
	out, at := make([]string, v.Len), 0
	for i := range out {
		n := int(binary.LittleEndian.Uint64(v.raw[at:]))
		out[i] = string(v.raw[at+8:][:n])
		at += 8 + n
	}
	return out, true
}

// Ints are the elements of an array of integers; false if it is another array or one does not fit.
func (v Value) Ints() ([]int64, bool) {
	if v.Kind != Array || !v.Elem.integer() {
		return nil, false
	}
	out := make([]int64, v.Len)
	for i := range out {
		u, s, _ := number(v.raw, v.Elem, i)
		if out[i] = s; !v.Elem.signed() {
			if out[i] = int64(u); u > math.MaxInt64 {
				return nil, false
			}
		}
	}
	return out, true
}

// Floats are the elements of an array of floating-point numbers.
func (v Value) Floats() ([]float64, bool) {
	if v.Kind != Array || v.Elem != Float32 && v.Elem != Float64 {
		return nil, false
	}
	out := make([]float64, v.Len)
	for i := range out {
		_, _, out[i] = number(v.raw, v.Elem, i)
	}
	return out, true
}

// Any is the value as Go has it: uint64, int64, float64 (of either size), bool, string, or a slice of them.
func (v Value) Any() any {
	if v.Kind != Array {
		return v.element(v.Kind, 0)
	}
	if s, ok := v.Texts(); ok {
		out := make([]any, len(s))
		for i := range s {
			out[i] = s[i]
		}
		return out
	}
	out := make([]any, v.Len)
	for i := range out {
		out[i] = v.element(v.Elem, i)
	}
	return out
}

func (v Value) element(k Kind, i int) any {
	if k == String {
		return string(v.raw)
	}
	u, s, f := number(v.raw, k, i)
	switch {
	case k == Bool:
		return u == 1
	case k == Float32 || k == Float64:
		return f
	case k.signed():
		return s
	}
	return u
}

// String describes the value for messages: its kind, and what it is if that is short.
func (v Value) String() string {
	switch {
	case v.Kind == Array:
		return fmt.Sprintf("an array of %d %s", v.Len, v.Elem)
	case v.Kind == String && len(v.raw) > 64:
		return fmt.Sprintf("a string of %d bytes", len(v.raw))
	case v.Kind == String:
		return fmt.Sprintf("the string %q", v.raw)
	}
	return fmt.Sprintf("%v (%s)", v.Any(), v.Kind)
}
