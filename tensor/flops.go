package tensor

import (
	"sync/atomic"

	"github.com/gollava/gollava/internal/backend"
)

var flops atomic.Uint64

// FLOPs counts the floating-point operations of all matrix products, convolutions and attentions of this process so
// far, forward and backward: 2·M·N·K for a product, masked positions of an attention and padding of a convolution
// included.
func FLOPs() uint64 { return flops.Load() }

func matMul(d backend.Device, p *backend.MatMul) {
	flops.Add(2 * uint64(p.M) * uint64(p.N) * uint64(p.K) * uint64(p.Batch))
	d.MatMul(p)
}

// attentionFLOPs counts n products as large as q·kᵀ.
func attentionFLOPs(a *backend.Attention, n uint64) {
	flops.Add(n * 2 * uint64(a.B) * uint64(a.H) * uint64(a.T) * uint64(a.Keys) * uint64(a.D))
}
