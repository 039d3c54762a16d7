package jsonrecord

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Object calls f with the members of a JSON object. It is quick and reads what is well-formed and plain; false means
// that there is anything else (an escape in a key too), or that f said so, and that the slow way must look, which
// says what is wrong.
func Object(b []byte, f func(key, value []byte) bool) bool {
	return list(b, '{', '}', f)
}

// Array calls f with the elements of a JSON array; false is as for [Object].
func Array(b []byte, f func(value []byte) bool) bool {
	return list(b, '[', ']', func(_, value []byte) bool { return f(value) })
}

func list(b []byte, open, end byte, f func(key, value []byte) bool) bool {
	i := blank(b, 0)
	if i >= len(b) || b[i] != open {
		return false
	}
	if i = blank(b, i+1); i < len(b) && b[i] == end {
		return blank(b, i+1) == len(b)
	}
	for {
		var key []byte
		if open == '{' {
			to := pass(b, i)
			if to < 0 || b[i] != '"' || bytes.IndexByte(b[i:to], '\\') >= 0 {
				return false
			}
			key = b[i+1 : to-1]
			if i = blank(b, to); i >= len(b) || b[i] != ':' {
				return false
			}
			i = blank(b, i+1)
		}
		to := pass(b, i)
		if to < 0 || !f(key, b[i:to]) {
			return false
		}
		switch i = blank(b, to); {
		case i >= len(b):
			return false
		case b[i] == end:
			return blank(b, i+1) == len(b)
		case b[i] != ',':
			return false
		}
		i = blank(b, i+1)
	}
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// pass returns where the value at b[i] ends, or -1. What is inside of lists and objects is looked at only by those
// who read it.
func pass(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		for j := i + 1; j < len(b); j++ {
			switch {
			case b[j] == '"':
				return j + 1
			case b[j] == '\\':
				j++
			case b[j] < 0x20:
				return -1
			}
		}
		return -1
	case c == '{' || c == '[':
		depth := 0
		for j := i; j < len(b); j++ {
			switch b[j] {
			case '"':
				if j = pass(b, j) - 1; j < 0 {
					return -1
				}
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return j + 1
				}
			}
		}
		return -1
	}
	j := i
	for j < len(b) && bytes.IndexByte([]byte(" \n\t\r,:]}"), b[j]) < 0 {
		j++
	}
	if !json.Valid(b[i:j]) {
		return -1
	}
	return j
}

// Text reads a string value, not ok if it is none.
func Text(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) {
		return string(b[1 : len(b)-1]), true
	}
	var s string
	err := json.Unmarshal(b, &s)
	return s, err == nil
}

// TextOrNumber reads a string, or a number as it is written: an [ID].
func TextOrNumber(b []byte) (ID, bool) {
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		return ID(b), true
	}
	s, ok := Text(b)
	return ID(s), ok
}
