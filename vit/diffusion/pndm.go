package diffusion

import "github.com/gollava/gollava/tensor"

// order is that of PNDM's rules.
const order = 4

// adams are the coefficients of the linear multistep rules over the last outputs, the newest first.
var adams = [order][]float64{
	{1},
	{3. / 2, -1. / 2},
	{23. / 12, -16. / 12, 5. / 12},
	{55. / 24, -59. / 24, 37. / 24, -9. / 24},
}

// pndm is the pseudo numerical method: Runge-Kutta steps until four outputs are known, then linear multistep rules; or,
// with skip_prk_steps, multistep rules of growing order whose first step is taken twice. Source: Liu et al. 2022,
// "Pseudo Numerical Methods for Diffusion Models on Manifolds"; diffusers' PNDMScheduler.
func (s *Schedule) pndm(steps int) ([]int, rule) {
	spaced, stride := s.config.spaced(steps), s.config.NumTrainTimesteps/steps
	if !s.config.SkipPRKSteps {
		return s.rungeKutta(spaced, stride)
	}
	ts := append([]int{spaced[0], spaced[1]}, spaced[1:]...) // the second timestep comes twice
	var first *tensor.Tensor                                 // x of the first step
	var old []*tensor.Tensor                                 // outputs, the newest first
	return ts, func(k int, x, output *tensor.Tensor) *tensor.Tensor {
		if k == 1 { // the first step again, by the mean of the outputs at both of its ends
			mean := sum(term{0.5, output}, term{0.5, old[0]})
			return s.move(first, mean, s.bar(ts[1]+stride), s.bar(ts[1]), false)
		}
		if k == 0 {
			first = x.Clone()
		}
		old = remember(old, output)
		return s.move(x, multistep(old), s.bar(ts[k]), s.bar(ts[k]-stride), false)
	}
}

// rungeKutta takes three steps with four outputs each, two of them at half a stride, and multistep rules afterwards.
func (s *Schedule) rungeKutta(spaced []int, stride int) ([]int, rule) {
	var ts []int
	for i, t := range spaced[:order-1] {
		next := spaced[i+1]
		ts = append(ts, t, next+stride/2, next+stride/2, next)
	}
	runge := len(ts)
	ts = append(ts, spaced[order-1:]...)
	var start, mean *tensor.Tensor // x and the weighted mean of the outputs of the step
	var old []*tensor.Tensor
	return ts, func(k int, x, output *tensor.Tensor) *tensor.Tensor {
		if k >= runge {
			old = remember(old, output)
			return s.move(x, multistep(old), s.bar(ts[k]), s.bar(ts[k]-stride), false)
		}
		to := ts[k]
		if k%2 == 0 {
			to -= stride / 2
		}
		switch k % 4 {
		case 0:
			start, mean, old = x.Clone(), sum(term{1. / 6, output}).Clone(), remember(old, output)
		case 1, 2:
			mean = sum(term{1, mean}, term{1. / 3, output}).Clone()
		case 3:
			output = sum(term{1, mean}, term{1. / 6, output})
		}
		return s.move(start, output, s.bar(ts[k-k%4]), s.bar(to), false)
	}
}

// remember puts a copy of output, which no scope recycles, before the last ones.
func remember(old []*tensor.Tensor, output *tensor.Tensor) []*tensor.Tensor {
	old = append([]*tensor.Tensor{output.Clone()}, old...)
	return old[:min(len(old), order)]
}

// multistep is the output of the Adams-Bashforth rule of as high an order as there are outputs.
func multistep(old []*tensor.Tensor) *tensor.Tensor {
	var terms []term
	for i, c := range adams[len(old)-1] {
		terms = append(terms, term{c, old[i]})
	}
	return sum(terms...)
}
