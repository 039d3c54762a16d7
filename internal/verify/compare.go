package verify

import (
	"fmt"
	"math"
	"slices"
)

// compare measures got against want. Where there is nothing to compare, or another number of them, it is infinitely far
// off.
func compare(what string, got, want []float64) Row {
	r := Row{What: what, Detail: fmt.Sprintf("%d numbers", len(want))}
	if len(got) != len(want) || len(want) == 0 {
		r.MaxAbs, r.MaxRel = math.Inf(1), math.Inf(1)
		if r.Detail = fmt.Sprintf("%d numbers instead of %d", len(got), len(want)); len(got) == len(want) {
			r.Detail = "no numbers to compare"
		}
		return r
	}
	at := 0
	for i, w := range want {
		d := math.Abs(got[i] - w)
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > r.MaxAbs {
			r.MaxAbs, at = d, i
		}
		if w != 0 {
			r.MaxRel = max(r.MaxRel, d/math.Abs(w))
		}
	}
	if r.MaxAbs > 0 {
		r.Detail += fmt.Sprintf("; farthest off at %d: %.7g instead of %.7g", at, got[at], want[at])
	}
	return r
}

// absolute passes if every number is within tol.
func absolute(what string, got, want []float64, tol float64) Row {
	r := compare(what, got, want)
	r.Tolerance, r.Pass = tol, r.MaxAbs <= tol && !math.IsInf(r.MaxAbs, 1)
	return r
}

// relative passes if every number is finite and within tol of its own size.
func relative(what string, got, want []float64, tol float64) Row {
	r := compare(what, got, want)
	r.Tolerance, r.Relative, r.Pass = tol, true, !math.IsInf(r.MaxAbs, 1)
	for i := range min(len(got), len(want)) {
		r.Pass = r.Pass && math.Abs(got[i]-want[i]) <= tol*math.Abs(want[i])
	}
	return r
}

// norm passes if ‖got−want‖₂ ≤ tol·‖want‖₂ + floor. Its MaxRel is ‖got−want‖₂ / (‖want‖₂ + floor/tol), which is to be
// at most tol. Infinite numbers never pass.
func norm(what string, got, want []float64, tol, floor float64) Row {
	r := compare(what, got, want)
	r.Tolerance, r.Relative = tol, true
	if len(got) != len(want) || len(want) == 0 {
		return r
	}
	d, w := 0.0, 0.0
	for i := range want {
		d += (got[i] - want[i]) * (got[i] - want[i])
		w += want[i] * want[i]
	}
	d, w = math.Sqrt(d), math.Sqrt(w)
	r.Pass = d <= tol*w+floor && !math.IsInf(r.MaxAbs, 1)
	if tol > 0 && floor > 0 {
		w += floor / tol
	}
	if r.MaxRel = d; w > 0 {
		r.MaxRel = d / w
	}
	return r
}

// sameIDs passes if the rows of token ids, of which there must be some, are equal.
func sameIDs(what string, got, want [][]int32) Row {
	r := Row{What: what, Pass: len(got) == len(want) && len(want) > 0, Detail: fmt.Sprintf("%d rows of ids", len(want))}
	if len(got) != len(want) {
		r.Detail = fmt.Sprintf("%d rows of ids instead of %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if r.Pass && !slices.Equal(got[i], want[i]) {
			r.Pass, r.MaxAbs = false, 1
			r.Detail = fmt.Sprintf("row %d: ids %v instead of %v", i, got[i], want[i])
		}
	}
	return r
}

// failed is a row for something that could not be compared at all.
func failed(what string, err error) Row { return Row{What: what, Detail: err.Error()} }
