// Package blocks encodes and decodes weights that are stored as blocks of small integers with common scales: the
// formats of GGUF files (ggml's names) and those of bitsandbytes. It knows bytes only; package tensor makes
// storage types of them.
//
// Every function is the plain loop that the kernels of a device must equal. Decoding is exact: products and sums are
// rounded to float32 in the order that the reference implementations round them in.
package blocks

import "github.com/gollava/gollava/internal/misuse"

// Format describes how a tensor is cut into blocks and what bytes a block has. It is immutable and safe for concurrent
// use.
type Format struct {
	Name   string // ggml's or bitsandbytes' name, such as Q4_K or NF4
	ID     int    // the number of the type in a GGUF file; −1: GGUF has none
	Length int    // values in a block
	Size   int    // bytes of a block
	// blocks run over the ends of rows and the last may be short; otherwise a row is a whole number of blocks
	Flat bool

	encode func(dst []byte, x []float32) // whole blocks, or all of a flat tensor; nil: the format can only be read
	decode func(dst []float32, b []byte) // whole blocks
	part   func(dst []float32, b []byte, from, n int)
}

// All lists the formats that can be decoded.
var All = []*Format{Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, IQ4_NL, NF4, FP4, NF4D, FP4D, Q2_K, Q3_K, IQ4_XS,
	INT8}

// ByID is the format that a GGUF file calls by a number, or nil.
func ByID(id int) *Format {
	for _, f := range All {
		if f.ID == id && id >= 0 {
			return f
		}
	}
	return nil
}

// ByName is the format of that name, or nil.
func ByName(name string) *Format {
	for _, f := range All {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Bytes is the size of n values. It panics if they are no whole number of blocks, unless the format is flat.
func (f *Format) Bytes(n int) int {
	if n%f.Length == 0 {
		return n / f.Length * f.Size
	}
	if !f.Flat {
		panic(misuse.Errorf("blocks", "%d values are no whole number of %s blocks of %d", n, f.Name, f.Length))
	}
	return n/f.Length*f.Size + f.tail(n%f.Length)
}

// tail is the size of a short last block: that of a nested format keeps only the scales and codes that it needs.
func (f *Format) tail(n int) int {
	if f.Length == nested {
		return nestedHead + (n+flat-1)/flat + (n+1)/2
	}
	return f.Size
}

// CanEncode reports whether [Format.Encode] is defined; some formats can only be read.
func (f *Format) CanEncode() bool { return f.encode != nil }

// Encode writes x as blocks to dst, which holds f.Bytes(len(x)) bytes. Of a flat format x is the whole tensor; else any
// whole blocks. NaN and infinite values give blocks of undefined values.
func (f *Format) Encode(dst []byte, x []float32) {
	if len(dst) != f.Bytes(len(x)) {
		panic(misuse.Errorf("blocks", "%d bytes for %d values of %s, which take %d", len(dst), len(x), f.Name,
			f.Bytes(len(x))))
	}
	f.encode(dst, x)
}

// Decode writes values [from, from+len(dst)) of the tensor of n values that b holds.
func (f *Format) Decode(dst []float32, b []byte, from, n int) {
	if from < 0 || from+len(dst) > n || len(b) != f.Bytes(n) {
		panic(misuse.Errorf("blocks", "values [%d, %d) of %d bytes that hold %d values of %s", from, from+len(dst), len(b), n,
			f.Name))
	}
	if f.part != nil {
		f.part(dst, b, from, n)
		return
	}
	L := f.Length
	b = b[from/L*f.Size:]
	if skip := from % L; skip > 0 {
		k := f.one(dst, b, skip)
		dst, b = dst[k:], b[f.Size:]
	}
	whole := len(dst) / L * L
	f.decode(dst[:whole], b)
	if whole < len(dst) {
		f.one(dst[whole:], b[whole/L*f.Size:], 0)
	}
}

// one writes values from skip on of the first block of b, and returns how many there were room for.
func (f *Format) one(dst []float32, b []byte, skip int) int {
	var block [256]float32
	f.decode(block[:f.Length], b[:f.Size])
	return copy(dst, block[skip:f.Length])
}
