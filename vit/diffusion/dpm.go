package diffusion

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// level is a point of the path: x = α·x_0 + σ·ε, and λ = ln(α/σ), half the logarithm of the signal-to-noise ratio.
type level struct{ alpha, sigma, lambda float64 }

func levelOf(bar float64) level {
	a, s := math.Sqrt(bar), math.Sqrt(1-bar)
	return level{a, s, math.Log(a) - math.Log(s)}
}

// dpm is DPM-Solver++ in its multistep form. Source: Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of
// Diffusion Probabilistic Models", algorithm 2; diffusers' DPMSolverMultistepScheduler.
func (s *Schedule) dpm(steps int) ([]int, rule) {
	c := s.config
	ts := c.spaced(steps)
	if c.TimestepSpacing != "trailing" {
		ts = c.spaced(steps + 1)[:steps]
	}
	levels := make([]level, 0, steps+1)
	for _, t := range ts {
		levels = append(levels, levelOf(s.bar(t)))
	}
	last := levelOf(1)
	if c.FinalSigmasType == "sigma_min" {
		last = levelOf(s.bars[0])
	}
	levels = append(levels, last)
	var old []*tensor.Tensor // predicted x_0, the newest first
	return ts, func(k int, x, output *tensor.Tensor) *tensor.Tensor {
		from, to := levels[k], levels[k+1]
		x0, _ := c.predicted(from.alpha, from.sigma)
		old = remember(old, sum(term{x0[0], x}, term{x0[1], output}))
		n := min(c.SolverOrder, k+1)
		few := c.LowerOrderFinal && steps < 15
		switch {
		case k == steps-1 && (c.EulerAtFinal || few || c.FinalSigmasType == "zero"):
			n = 1
		case k == steps-2 && few:
			n = min(n, 2)
		}
		h := to.lambda - from.lambda
		e := math.Expm1(-h)
		terms := []term{{to.sigma / from.sigma, x}, {-to.alpha * e, old[0]}}
		if n == 1 {
			return sum(terms...)
		}
		r0 := (from.lambda - levels[k-1].lambda) / h
		slope := sum(term{1 / r0, old[0]}, term{-1 / r0, old[1]}) // of x_0, by λ/h
		switch {
		case n == 2 && c.SolverType == "midpoint":
			terms = append(terms, term{-to.alpha * e / 2, slope})
		case n == 2:
			terms = append(terms, term{to.alpha * (e/h + 1), slope})
		default:
			r1 := (levels[k-1].lambda - levels[k-2].lambda) / h
			before := sum(term{1 / r1, old[1]}, term{-1 / r1, old[2]})
			bend := sum(term{1, slope}, term{-1, before})
			terms = append(terms, term{to.alpha * (e/h + 1), sum(term{1, slope}, term{r0 / (r0 + r1), bend})},
				term{-to.alpha * ((e+h)/(h*h) - 0.5) / (r0 + r1), bend})
		}
		return sum(terms...)
	}
}
