package nn

import "github.com/gollava/gollava/tensor"

// Autocast says whether products with m's weights are computed in bfloat16 with float32 sums, as under
// torch.autocast(dtype=torch.bfloat16): see [tensor.Tensor.SetAutocast] for what stays float32, and
// [tensor.FastBFloat16] for where it pays. It returns a function that brings back what was set before. Nothing may
// compute with m meanwhile.
func Autocast(m any, on bool) (restore func()) {
	var changed []*tensor.Tensor
	for _, p := range Params(m) {
		if p.Autocast() != on {
			p.SetAutocast(on)
			changed = append(changed, p)
		}
	}
	return func() {
		for _, p := range changed {
			p.SetAutocast(!on)
		}
	}
}
