package imaging

import "encoding/binary"

// peekBits is how many bits the lookup table of a Huffman tree sees at once.
const peekBits = 9

// huffman is a Huffman code of T.81, annex C.
type huffman struct {
	look [1 << peekBits]uint16 // length<<8 | symbol of the code that these bits begin with; 0 where it is longer
	// limit[n]: first 16-bit number above all codes of n bits, when those are written leftmost
	limit  [18]int32
	offset [17]int32 // of the symbols of n bits, less their first code
	symbol []byte
}

// huffmanTables reads a DHT segment.
func (d *jpegDecoder) huffmanTables(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 || body[0]>>4 > 1 || body[0]&15 > 3 {
			return fail(Corrupt, "a Huffman table that is none")
		}
		class, id, counts := body[0]>>4, body[0]&15, body[1:17]
		total := 0
		for _, n := range counts {
			total += int(n)
		}
		if total > 256 || len(body) < 17+total {
			return fail(Corrupt, "a Huffman table of %d symbols in %d bytes", total, len(body)-17)
		}
		t := &huffman{symbol: body[17 : 17+total]}
		code, k := int32(0), int32(0)
		for n := 1; n <= 16; n++ {
			t.offset[n] = k - code
			for range counts[n-1] {
				if n <= peekBits {
					for i := range int32(1) << (peekBits - n) {
						if at := code<<(peekBits-n) + i; at < int32(len(t.look)) {
							t.look[at] = uint16(n)<<8 | uint16(t.symbol[k])
						}
					}
				}
				code, k = code+1, k+1
			}
			if code > 1<<n {
				return fail(Corrupt, "a Huffman table with too many codes of %d bits", n)
			}
			t.limit[n] = code << (16 - n)
			code <<= 1
		}
		t.limit[17] = 1 << 30
		d.trees[class][id], body = t, body[17+total:]
	}
	return nil
}

// bitReader reads the entropy-coded bits of a scan, without the zero byte that follows each 0xff.
type bitReader struct {
	data []byte
	at   int    // next byte; stays at the marker that ends the scan
	acc  uint64 // the last n bits are still to be read
	n    uint
	pad  uint // how many of all bits ever put into acc were zeros made up after the end
	eob  int  // blocks still to come without coefficients, of a progressive scan
	bad  bool // a code was met that the tree does not have
}

// fill makes n at least 32, with zeros where the scan is at its end.
func (r *bitReader) fill() {
	if r.n <= 32 && len(r.data)-r.at >= 4 {
		v := binary.BigEndian.Uint32(r.data[r.at:])
		if x := ^v; (x-0x01010101)&v&0x80808080 == 0 { // none of the four bytes is 0xff
			r.acc, r.n, r.at = r.acc<<32|uint64(v), r.n+32, r.at+4
			return
		}
	}
	for r.n <= 32 {
		var b byte
		switch {
		case r.at >= len(r.data):
			r.pad += 8
		case r.data[r.at] != 0xff:
			b = r.data[r.at]
			r.at++
		case r.at+1 < len(r.data) && r.data[r.at+1] == 0:
			b = 0xff
			r.at += 2
		case r.at+1 < len(r.data) && r.data[r.at+1] == 0xff: // fill byte
			r.at++
			continue
		default:
			r.pad += 8
		}
		r.acc, r.n = r.acc<<8|uint64(b), r.n+8
	}
}

// check returns an error where bits were read that are not there, or stand for nothing.
func (r *bitReader) check() error {
	switch {
	case r.n >= r.pad && !r.bad:
		return nil
	case r.at >= len(r.data)-1:
		return fail(Truncated, "the data ends within a scan")
	case r.n < r.pad:
		return fail(Corrupt, "marker %#02x within a scan", r.data[r.at+1])
	}
	return fail(Corrupt, "a Huffman code that the table does not have, near byte %d", r.at)
}

// bits reads k ≤ 16 bits.
func (r *bitReader) bits(k uint) int32 {
	if r.n < k {
		r.fill()
	}
	r.n -= k
	return int32(r.acc >> (r.n & 63) & (1<<k - 1))
}

// next reads a symbol; a code that the tree does not have reads as 0 and sets bad.
func (r *bitReader) next(t *huffman) byte {
	if r.n < 16 {
		r.fill()
	}
	if e := t.look[r.acc>>((r.n-peekBits)&63)&(1<<peekBits-1)]; e != 0 {
		r.n -= uint(e >> 8)
		return byte(e)
	}
	return r.nextLong(t)
}

func (r *bitReader) nextLong(t *huffman) byte {
	code := int32(r.acc >> ((r.n - 16) & 63) & 0xffff)
	n := peekBits + 1
	for n <= 16 && code >= t.limit[n] {
		n++
	}
	r.n -= uint(min(n, 16))
	if n <= 16 {
		if i := code>>(16-n) + t.offset[n]; i >= 0 && int(i) < len(t.symbol) {
			return t.symbol[i]
		}
	}
	r.bad = true
	return 0
}

// extend is T.81's EXTEND: the value that k bits v stand for.
func extend(v int32, k uint) int32 {
	if k > 0 && v < 1<<(k-1) {
		v += -1<<k + 1
	}
	return v
}
