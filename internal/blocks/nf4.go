package blocks

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// The 4-bit formats of bitsandbytes (Dettmers et al. 2023, QLoRA). A tensor is flattened and cut into blocks of 64,
// whatever its rows are; the values are table[code]·absmax. Here a block is its absmax as float32 and 32 bytes of
// codes, the first of two in the high half.
//
// NF4D and FP4D have double quantisation: of 256 blocks, the differences of absmax from an offset are codes of eight
// bits with a scale of their own. Such a group of 16,384 values is offset, scale, a byte for each block, and the codes;
// the last group has only the blocks that it needs.
var (
	NF4 = &Format{Name: "NF4", ID: -1, Length: flat, Size: 4 + flat/2, Flat: true, encode: encode4(&NormalFloat),
		decode: decode4(&NormalFloat)}
	FP4 = &Format{Name: "FP4", ID: -1, Length: flat, Size: 4 + flat/2, Flat: true, encode: encode4(&Float4),
		decode: decode4(&Float4)}
	NF4D = &Format{Name: "NF4D", ID: -1, Length: nested, Size: nestedHead + 256 + nested/2, Flat: true,
		encode: encodeNested(&NormalFloat), part: decodeNested(&NormalFloat)}
	FP4D = &Format{Name: "FP4D", ID: -1, Length: nested, Size: nestedHead + 256 + nested/2, Flat: true,
		encode: encodeNested(&Float4), part: decodeNested(&Float4)}
)

const (
	flat       = 64         // values in a block
	nested     = 256 * flat // values in a group of a format with double quantisation
	nestedHead = 8
)

// NormalFloat is the table of NF4: quantiles of a normal distribution.
var NormalFloat = [16]float32{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
	-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
	0.33791524171829224, 0.44070982933044434,
	0.5626170039176941, 0.7229568362236023, 1}

// Float4 is the table of FP4. Bit 3 of the index is the sign.
var Float4 = [16]float32{0, 1. / 192, 2. / 3, 1, 1. / 3, 1. / 2, 1. / 6, 1. / 4, 0, -1. / 192, -2. / 3, -1, -1. / 3,
	-1. / 2, -1. / 6, -1. / 4}

// Scale8 is the sorted table of 256 values that double quantisation codes scales with: between powers of ten, the
// midpoints of 2ⁱ equal steps, of both signs; 0; and 1.
var Scale8 = sync.OnceValue(func() *[256]float32 {
	table := []float32{0, 1}
	for i, power := range []float32{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1} {
		n := 1 << i
		first := float32(0.1)
		step := float64((1 - first) / float32(n))
		at := func(k int) float32 { // torch.linspace(0.1, 1, n+1): from both ends, each by one fused multiply-add
			if k < (n+1)/2 {
				return float32(float64(first) + step*float64(k))
			}
			return float32(1 - step*float64(n-k))
		}
		for k := range n {
			m := power * ((at(k) + at(k+1)) / 2)
			table = append(table, m, -m)
		}
	}
	slices.Sort(table)
	return (*[256]float32)(table)
})

func decode4(table *[16]float32) func(dst []float32, b []byte) {
	return func(dst []float32, b []byte) {
		for ; len(dst) > 0; dst, b = dst[flat:], b[4+flat/2:] {
			unpack4(dst[:flat], b[4:], 0, table, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	}
}

// unpack4 writes the values whose codes begin at number from of b.
func unpack4(dst []float32, b []byte, from int, table *[16]float32, absmax float32) {
	for i := range dst {
		c := b[(from+i)/2]
		if (from+i)%2 == 0 {
			c >>= 4
		}
		dst[i] = table[c&15] * absmax
	}
}

func encode4(table *[16]float32) func(dst []byte, x []float32) {
	f := &Format{Name: "4 bits", Length: flat, Size: 4 + flat/2, Flat: true}
	return func(dst []byte, x []float32) { copy(dst, Split(table, x, flat, false).Pack(f, len(x))) }
}

// coder finds the nearest entry of a table; a tie goes to the smaller. Borders are midpoints in float32.
func coder(table *[16]float32) func(float32) byte {
	order := make([]byte, 16)
	for i := range order {
		order[i] = byte(i)
	}
	slices.SortStableFunc(order, func(a, b byte) int {
		switch {
		case table[a] < table[b]:
			return -1
		case table[a] > table[b]:
			return 1
		}
		return 0
	})
	var border [15]float32
	for i := range border {
		border[i] = (table[order[i]] + table[order[i+1]]) / 2
	}
	return func(x float32) byte {
		i := 0
		for i < 15 && x > border[i] {
			i++
		}
		return order[i]
	}
}

// group is one group of a nested format.
type group struct {
	offset, scale float32
	absmax, codes []byte
}

// groupAt is group g of a tensor of n values.
func groupAt(b []byte, g, n int) group {
	b = b[g*(nestedHead+256+nested/2):]
	count := min(nested, n-g*nested)
	k := nestedHead + (count+flat-1)/flat
	f := func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	return group{f(b), f(b[4:]), b[nestedHead:k], b[k : k+(count+1)/2]}
}

// peak is the absmax of block i: product and sum are each rounded.
func (g *group) peak(i int) float32 { return float32(Scale8()[g.absmax[i]]*g.scale) + g.offset }

func decodeNested(table *[16]float32) func(dst []float32, b []byte, from, n int) {
	return func(dst []float32, b []byte, from, n int) {
		for len(dst) > 0 {
			g := groupAt(b, from/nested, n)
			for at := from % nested; at < nested && len(dst) > 0; {
				k := min(flat-at%flat, len(dst))
				unpack4(dst[:k], g.codes, at, table, g.peak(at/flat))
				dst, at, from = dst[k:], at+k, from+k
			}
		}
	}
}

// encodeNested codes the whole tensor: the offset is the mean of all absmax.
func encodeNested(table *[16]float32) func(dst []byte, x []float32) {
	f := &Format{Name: "4 bits", Length: nested, Size: nestedHead + 256 + nested/2, Flat: true}
	return func(dst []byte, x []float32) { copy(dst, Split(table, x, flat, true).Pack(f, len(x))) }
}

// nearest8 is the index of the entry of Scale8 that is nearest to x, the smaller on a tie.
func nearest8(x float32) byte {
	t := Scale8()
	i, _ := slices.BinarySearch(t[:], x)
	if i == 256 || i > 0 && float64(x)-float64(t[i-1]) <= float64(t[i])-float64(x) {
		i--
	}
	return byte(i)
}
