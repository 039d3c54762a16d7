package gligen

import (
	"fmt"
	"math"
)

// Gates are the factors of the gated layers for each of n sampling steps: 1 for the first on·n, then falling linearly
// to 0 over decay·n, then 0. Source: scheduled sampling of Li et al. 2023, "GLIGEN", section 3.3 (τ is on, with decay
// 0), and the authors' alpha_generator. It returns an error unless on and decay are at least 0 and at most 1 together.
func Gates(n int, on, decay float64) ([]float64, error) {
	if !(on >= 0 && decay >= 0 && on+decay <= 1+1e-9) {
		return nil, fmt.Errorf("gates on for %v of the steps and falling for %v: both must be at least 0, and "+
			"at most 1 together", on, decay)
	}
	open, falling := int(on*float64(n)), int(decay*float64(n))
	out := make([]float64, max(n, 0))
	for k := range out {
		if k < open {
			out[k] = 1
		} else if k < open+falling {
			out[k] = 1 - float64(k-open+1)/float64(falling)
		}
		if math.Abs(out[k]) < 1e-15 {
			out[k] = 0
		}
	}
	return out, nil
}
