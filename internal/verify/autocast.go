package verify

import "github.com/gollava/gollava/nn"

// What products in bfloat16 may change, in parts of a result's norm. Rounding to eight bits changes a number by up to
// 2⁻⁹ of it, 2⁻⁹/√3 on average (root mean square), the product of two rounded numbers by √2 times that, 0.16 %, and so
// a sum of many products by as much in parts of its norm. Products one after another add their shares as independent
// errors do, n of them √n times one share: 1.1 % after 50 of them, as in a model of a few layers. Where large numbers
// cancel, as in a norm, in logits and most of all in the gradients of attention, a share grows: in the cases recorded
// so far outputs are up to 2.5 % off and gradients, which come back through as many products, up to 9.4 %, or 15.2 %
// where attention multiplies in bfloat16, too: that one, of the keys' projection in testdata/llava_next, is 22 % off
// under torch.autocast. A wrong product is off by about as much as its result.
const (
	castOut      = 0.04
	castGradient = 0.2
	castFloor    = 0.01 // of the norm of all gradients together
)

// set is the case of a model; with autocast without what repeats a computation many times.
func (r *Report) set(c modelCase) {
	if r.autocast {
		c.Generation, c.Sampling, c.Runs = nil, nil, nil
	}
	r.modelCase = c
}

// castWeights makes products with m's weights ones of bfloat16, if the case is checked so.
func (r *Report) castWeights(m any) {
	if !r.autocast {
		return
	}
	nn.Autocast(m, true)
	for range nn.Params(m) {
		r.cast = true
	}
}

// within compares numbers, each of which may be tol off; with autocast all together as much as that rounds.
func (r *Report) within(what string, got, want []float64, tol float64) {
	if r.autocast {
		r.add(norm(what, got, want, castOut, 0))
	} else {
		r.add(absolute(what, got, want, tol))
	}
}

// share is the tolerance of a number in parts of it.
func (r *Report) share(tol float64) float64 {
	if r.autocast {
		return castOut
	}
	return tol
}

// gradient is the tolerance of a gradient, and its floor in parts of the norm of all gradients.
func (r *Report) gradient() (tol, floor float64) {
	if r.autocast {
		return castGradient, castFloor
	}
	return r.Tolerance.Grad, r.Tolerance.GradFloor
}
