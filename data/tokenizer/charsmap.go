package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// charsmap is SentencePiece's compiled table of normalisation rules: a double-array trie (Aoe 1989, in the layout of
// darts-clone) from strings to places in a list of zero-terminated replacements.
type charsmap struct {
	units []uint32
	to    []byte
}

// newCharsmap reads a precompiled_charsmap; nil for an empty one.
func newCharsmap(b []byte) (*charsmap, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 {
		return nil, errShort
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	if size%4 != 0 || size == 0 || size > uint64(len(b)-4) {
		return nil, fmt.Errorf("its trie of %d bytes does not fit into %d", size, len(b)-4)
	}
	c := &charsmap{units: make([]uint32, size/4), to: b[4+size:]}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(b[4+4*i:])
	}
	if len(c.to) > 0 && c.to[len(c.to)-1] != 0 {
		return nil, errors.New("its replacements do not end in a zero byte")
	}
	return c, nil
}

// each calls f with the length and the place of every rule that s begins with, shortest first, until f says false.
func (c *charsmap) each(s string, f func(n int, value uint32) bool) {
	offset := func(u uint32) uint32 { return u >> 10 << (u >> 6 & 8) }
	at := offset(c.units[0])
	for i := 0; i < len(s); i++ {
		at ^= uint32(s[i])
		if at >= uint32(len(c.units)) {
			return
		}
		u := c.units[at]
		if u&(1<<31|0xFF) != uint32(s[i]) {
			return
		}
		at ^= offset(u)
		if u>>8&1 != 0 {
			if at >= uint32(len(c.units)) {
				return
			}
			if !f(i+1, c.units[at]&(1<<31-1)) {
				return
			}
		}
	}
}

func (c *charsmap) replacement(value uint32) (string, bool) {
	if value >= uint32(len(c.to)) {
		return "", false
	}
	s := c.to[value:]
	if k := bytes.IndexByte(s, 0); k >= 0 {
		s = s[:k]
	}
	return string(s), true
}

// longest returns the replacement of the longest rule that s begins with.
func (c *charsmap) longest(s string) (to string, n int) {
	place := uint32(0)
	c.each(s, func(k int, v uint32) bool { n, place = k, v; return true })
	if n == 0 {
		return "", 0
	}
	to, ok := c.replacement(place)
	if !ok {
		return "", 0
	}
	return to, n
}

// shortest returns the replacement of the shortest rule that s begins with, as Hugging Face's Precompiled does.
func (c *charsmap) shortest(s string) (to string, ok bool) {
	c.each(s, func(_ int, v uint32) bool {
		to, ok = c.replacement(v)
		return false
	})
	return to, ok
}
