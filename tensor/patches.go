package tensor

import "github.com/gollava/gollava/internal/backend"

// PatchRows cuts images [B, C, H, W] into square patches of side p, in row-major order: [B, (H/p)·(W/p), C·p·p]. A
// patch is laid out as a convolution kernel [C, p, p], so that PatchRows(x).MatMulT(w) with w [D, C·p·p] is a
// convolution with kernel and stride p.
func PatchRows(images *Tensor, p int) *Tensor {
	images.want("PatchRows", Float32)
	B, C, H, W := images.Dims4()
	if p <= 0 || H%p != 0 || W%p != 0 {
		Fail("PatchRows", "images %v in patches of side %d: height and width must be multiples of it", images.shape, p)
	}
	out := placeOf(images).alloc(Float32, B, (H/p)*(W/p), C*p*p)
	out.buf().Device.Patches(out.buf(), images.buf(), B, C, H, W, p, false)
	record(out, "PatchRows", func(dy *gradient) {
		images.into(func(dx *backend.Buffer) { dx.Device.Patches(dx, dy.buf(), B, C, H, W, p, true) })
	}, nil, images)
	return out
}
