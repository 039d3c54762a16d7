// Package pixelcase checks this module's pictures against folders of reference pictures: the tasks "pixels" (decoding, resizing,
// preprocessing, tiling) and "anyres" (the geometry of tiles).
//
// A folder holds case.json, whose task says what the rest is. For pixels that is an index with one picture a line and, for each,
// operations with the SHA-256 of their results, of which expected.safetensors keeps those bytes that are few or compared within a
// tolerance. For anyres it is a list of picture sizes with everything that follows from them.
package pixelcase

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
)

// files is case.json.
type files struct {
	Index     string // pixels: file with the images
	Tensors   string // pixels: file with results
	Mean, Std [3]float64
	Cases     string // anyres: file with the sizes
}

// tally collects the results of one kind of operation.
type tally struct {
	verify.Row
	compared int
	failed   int
	first    string // failure
	skipped  []string
}

// table is all tallies, in order of appearance.
type table struct{ kinds []*tally }

func (t *table) kind(what string) *tally {
	for _, k := range t.kinds {
		if k.What == what {
			return k
		}
	}
	k := &tally{Row: verify.Row{What: what}}
	t.kinds = append(t.kinds, k)
	return k
}

// add counts one result of the operation named by where.
func (k *tally) add(where string, d difference, tol tolerance) {
	k.compared++
	k.MaxAbs, k.MaxRel, k.Tolerance = max(k.MaxAbs, d.max), max(k.MaxRel, d.rel), max(k.Tolerance, tol.Max)
	if d.max > tol.Max || d.mean > tol.Mean {
		k.fail("%s: off by up to %.4g, %.3g on average, where %.4g and %.3g are allowed", where, d.max, d.mean, tol.Max, tol.Mean)
	}
}

// fail counts a result that could not be compared number by number, or was too far off.
func (k *tally) fail(format string, args ...any) {
	if k.failed++; k.first == "" {
		k.first = fmt.Sprintf(format, args...)
	}
}

func (k *tally) skip(format string, args ...any) {
	k.skipped = append(k.skipped, fmt.Sprintf(format, args...))
}

// report adds a row for each kind of operation: "decode PNG", "clip", "geometry tokens", …; those in levels of Pillow's
// own rounding end in "(lossy)". MaxAbs is the largest difference of any number, MaxRel the same over the largest
// number expected of that result.
func (t *table) report(r *verify.Report) {
	for _, k := range t.kinds {
		k.Pass = k.failed == 0
		k.Detail = fmt.Sprintf("%d compared", k.compared)
		if k.failed > 0 {
			k.Detail += fmt.Sprintf("; %d failed, the first: %s", k.failed, k.first)
		}
		if n := len(k.skipped); n > 0 {
			k.Detail += fmt.Sprintf("; %d skipped, the first: %s", n, k.skipped[0])
		}
		r.Add(k.Row)
	}
}
