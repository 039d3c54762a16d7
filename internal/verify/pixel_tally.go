package verify

import (
	"encoding/binary"
	"fmt"
	"math"
)

// levels is how far results may be off, in levels of 8 bits.
type levels struct{ Max, Mean float64 }

// difference is how far a result is off.
type difference struct{ max, rel, mean float64 }

type number interface{ ~int | ~byte | ~float32 }

// differenceOf compares two lists of the same length. NaN is infinitely far from anything.
func differenceOf[T number](got, want []T) (d difference) {
	largest := 0.0
	for i, w := range want {
		x := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(x) {
			x = math.Inf(1)
		}
		d.max, d.mean = max(d.max, x), d.mean+x
		largest = max(largest, math.Abs(float64(w)))
	}
	if n := len(want); n > 0 {
		d.mean /= float64(n)
	}
	if d.rel = d.max; largest > 0 {
		d.rel /= largest
	}
	return d
}

func asFloats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func rawFloats(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

// pixelTally collects the results of one kind of operation.
type pixelTally struct {
	Row
	compared int
	failed   int
	first    string // failure
	skipped  []string
}

// pixelTable is all tallies, in order of appearance.
type pixelTable struct{ kinds []*pixelTally }

func (t *pixelTable) kind(what string) *pixelTally {
	for _, k := range t.kinds {
		if k.What == what {
			return k
		}
	}
	k := &pixelTally{Row: Row{What: what}}
	t.kinds = append(t.kinds, k)
	return k
}

// add counts one result of the operation named by where.
func (k *pixelTally) add(where string, d difference, tol levels) {
	k.compared++
	k.MaxAbs, k.MaxRel, k.Tolerance = max(k.MaxAbs, d.max), max(k.MaxRel, d.rel), max(k.Tolerance, tol.Max)
	if d.max > tol.Max || d.mean > tol.Mean {
		k.fail("%s: off by up to %.4g, %.3g on average, where %.4g and %.3g are allowed", where, d.max, d.mean, tol.Max,
			tol.Mean)
	}
}

// fail counts a result that could not be compared number by number, or was too far off.
func (k *pixelTally) fail(format string, args ...any) {
	if k.failed++; k.first == "" {
		k.first = fmt.Sprintf(format, args...)
	}
}

func (k *pixelTally) skip(format string, args ...any) {
	k.skipped = append(k.skipped, fmt.Sprintf(format, args...))
}

// report adds a row for each kind of operation: "decode PNG", "clip", "geometry tokens", …; those in levels of
// Pillow's own rounding end in "(lossy)". MaxAbs is the largest difference of any number, MaxRel the same over the
// largest number expected of that result.
func (t *pixelTable) report(r *Report) {
	for _, k := range t.kinds {
		k.Pass = k.failed == 0
		k.Detail = fmt.Sprintf("%d compared", k.compared)
		if k.failed > 0 {
			k.Detail += fmt.Sprintf("; %d failed, the first: %s", k.failed, k.first)
		}
		if n := len(k.skipped); n > 0 {
			k.Detail += fmt.Sprintf("; %d skipped, the first: %s", n, k.skipped[0])
		}
		r.add(k.Row)
	}
}
