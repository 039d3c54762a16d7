package gguf

import (
	"fmt"
	"math"
)

// Keys reads metadata by key. It remembers the first fault in Err, which names the file and the key, so that many reads
// need one check.
type Keys struct {
	*File
	Err error
}

// Fail remembers a fault of a key, unless there was one before.
func (k *Keys) Fail(key, format string, args ...any) {
	if k.Err == nil {
		k.Err = fmt.Errorf("%s: %s: %s", k.path, key, fmt.Sprintf(format, args...))
	}
}

// get is the value of a key that may be missing.
func (k *Keys) get(key string) (Value, bool) {
	v, ok := k.values[key]
	return v, ok && k.Err == nil
}

// Has reports whether a key is there.
func (k *Keys) Has(key string) bool { _, ok := k.values[key]; return ok }

// Need is a fault if a key is missing.
func (k *Keys) Need(key string) bool {
	if !k.Has(key) {
		k.Fail(key, "is missing")
	}
	return k.Has(key)
}

// Int is an integer of any type within [lo, hi], or otherwise if the key is missing.
func (k *Keys) Int(key string, otherwise, lo, hi int) int {
	v, ok := k.get(key)
	if !ok {
		return otherwise
	}
	n, whole := v.Uint()
	if !whole || n > math.MaxInt64 || int(n) < lo || int(n) > hi {
		k.Fail(key, "is %s: it must be an integer from %d to %d", v, lo, hi)
		return otherwise
	}
	return int(n)
}

// MustInt is Int of a key that must be there.
func (k *Keys) MustInt(key string, lo, hi int) int {
	k.Need(key)
	return k.Int(key, lo, lo, hi)
}

// Float is a finite floating-point number, or otherwise if the key is missing.
func (k *Keys) Float(key string, otherwise float64) float64 {
	v, ok := k.get(key)
	if !ok {
		return otherwise
	}
	f, isFloat := v.Float()
	if !isFloat || math.IsNaN(f) || math.IsInf(f, 0) {
		k.Fail(key, "is %s: it must be a finite floating-point number", v)
		return otherwise
	}
	return f
}

// Bool is a bool, or otherwise if the key is missing.
func (k *Keys) Bool(key string, otherwise bool) bool {
	v, ok := k.get(key)
	if !ok {
		return otherwise
	}
	b, isBool := v.Bool()
	if !isBool {
		k.Fail(key, "is %s: it must be a bool", v)
	}
	return b
}

// Text is a string, or "" if the key is missing.
func (k *Keys) Text(key string) string {
	v, ok := k.get(key)
	if !ok {
		return ""
	}
	s, isText := v.Text()
	if !isText {
		k.Fail(key, "is %s: it must be a string", v)
	}
	return s
}

// Texts is an array of strings, or nil if the key is missing.
func (k *Keys) Texts(key string) []string {
	v, ok := k.get(key)
	if !ok {
		return nil
	}
	s, isTexts := v.Texts()
	if !isTexts {
		k.Fail(key, "is %s: it must be an array of strings", v)
	}
	return s
}

// Ints is an array of integers, or nil if the key is missing.
func (k *Keys) Ints(key string) []int64 {
	v, ok := k.get(key)
	if !ok {
		return nil
	}
	s, isInts := v.Ints()
	if !isInts {
		k.Fail(key, "is %s: it must be an array of integers", v)
	}
	return s
}

// Floats is an array of finite floating-point numbers, or nil if the key is missing.
func (k *Keys) Floats(key string) []float64 {
	v, ok := k.get(key)
	if !ok {
		return nil
	}
	s, isFloats := v.Floats()
	if !isFloats {
		k.Fail(key, "is %s: it must be an array of floating-point numbers", v)
	}
	for i, f := range s {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			k.Fail(key, "element %d is %v: it must be finite", i, f)
			return nil
		}
	}
	return s
}
