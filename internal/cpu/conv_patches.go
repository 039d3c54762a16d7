package cpu

import "github.com/gollava/gollava/internal/backend"

// inPatches reports whether the windows of c are square patches that cover X and do not overlap, as those of a vision
// transformer's stem: then patches as rows are no larger than X.
func inPatches(c *backend.Conv) bool {
	p := c.Kernel[2]
	side := [3]int{1, p, p}
	return c.Groups == 1 && p > 1 && c.Kernel == side && c.Stride == side && c.Pad == [3]int{} &&
		c.In == [3]int{1, c.Out[1] * p, c.Out[2] * p} &&
		c.Dilation[1] == 1 && c.Dilation[2] == 1
}

// patches calls f with X, or with empty memory of its size, as rows of patches [B, Out, C·p·p].
func (d *Device) patches(c *backend.Conv, filled bool, f func(rows *backend.Buffer)) {
	rows := d.Alloc(backend.Float32, c.X.Len)
	if filled {
		d.Patches(rows, c.X, c.B, c.C, c.In[1], c.In[2], c.Kernel[2], false)
	}
	f(rows)
	if !filled {
		d.Patches(c.X, rows, c.B, c.C, c.In[1], c.In[2], c.Kernel[2], true)
	}
	d.Free(rows)
}

// convPatches is Conv for patches: Y = W·rowsᵀ for each image, on top of the bias if there is one.
func (d *Device) convPatches(c *backend.Conv, biased bool) {
	n, k := backend.Volume(c.Out), c.C*backend.Volume(c.Kernel)
	d.patches(c, true, func(rows *backend.Buffer) {
		d.MatMul(&backend.MatMul{A: c.W, B: rows, C: c.Y, M: c.O, N: n, K: k, BT: true, Batch: c.B,
			BStride: n * k, CStride: c.O * n,
			Accumulate: biased})
	})
}

// inputPatches is ConvInput for patches without a bias: rows = Yᵀ·W.
func (d *Device) inputPatches(c *backend.Conv) {
	n, k := backend.Volume(c.Out), c.C*backend.Volume(c.Kernel)
	d.patches(c, false, func(rows *backend.Buffer) {
		d.MatMul(&backend.MatMul{A: c.Y, B: c.W, C: rows, M: n, N: k, K: c.O, AT: true, Batch: c.B,
			AStride: c.O * n, CStride: n * k})
	})
}

// weightPatches is ConvWeight for patches: the sum of Y·rows over the images.
func (d *Device) weightPatches(c *backend.Conv) {
	n, k := backend.Volume(c.Out), c.C*backend.Volume(c.Kernel)
	d.patches(c, true, func(rows *backend.Buffer) {
		for b := range c.B {
			d.MatMul(&backend.MatMul{A: c.Y.Slice(b*c.O*n, c.O*n), B: rows.Slice(b*n*k, n*k), C: c.W, M: c.O,
				N: k, K: n, Batch: 1,
				Accumulate: b > 0})
		}
	})
}
