package tensor

import "github.com/gollava/gollava/internal/backend"

// Outside says what [GridSample] reads beyond the edge of a picture.
type Outside = backend.Outside

const (
	Zeros      = backend.Zeros   // 0
	Border     = backend.Border  // the pixel at the edge
	Reflection = backend.Reflect // the picture's mirror image
)

// GridSampleConfig says how points are read. The zero value is torch's default: bilinear, zeros outside.
type GridSampleConfig struct {
	Nearest      bool // the nearest pixel in place of four
	Outside      Outside
	AlignCorners bool // −1 and 1 are the centres of the corner pixels, and not the edges of the picture
}

// GridSample reads x [B, C, H, W] at the points grid [B, h, w, 2] of its picture, (x, y) in [−1, 1] from left to
// right and from top to bottom: [B, C, h, w]. Gradients flow to both, but with Nearest not to the grid. A list of
// n points is a grid of n×1. Source: Jaderberg et al. 2015, torch.nn.functional.grid_sample.
func GridSample(x, grid *Tensor, c GridSampleConfig) *Tensor {
	const op = "GridSample"
	x.want(op, Float32)
	grid.want(op, Float32)
	if len(x.shape) != 4 || len(grid.shape) != 4 || grid.shape[0] != x.shape[0] || grid.shape[3] != 2 ||
		x.shape[2] < 1 || x.shape[3] < 1 {
		Fail(op, "x %v, grid %v: needs x [B, C, H, W] of at least one pixel and grid [B, h, w, 2]", x.shape, grid.shape)
	}
	if c.Outside > Reflection {
		Fail(op, "there is no Outside %d", c.Outside)
	}
	B, C, H, W := x.Dims4()
	h, w := grid.shape[1], grid.shape[2]
	if at, moved := apart(op, x, grid); moved {
		return GridSample(x.on(at), grid.on(at), c)
	}
	v := backend.GridSample{X: x.buf(), Grid: grid.buf(), N: B, C: C, P: h * w, H: H, W: W, Nearest: c.Nearest,
		AlignCorners: c.AlignCorners, Outside: c.Outside}
	d := placeOf(x, grid)
	out := d.alloc(Float32, B, C, h, w)
	v.Y = out.buf()
	d.GridSample(&v)
	record(out, op, func(dy *gradient) {
		g := v
		g.Y = dy.buf()
		x.into(func(dx *backend.Buffer) { d.GridSampleGrad(&g, dx, nil) })
		grid.into(func(dGrid *backend.Buffer) { d.GridSampleGrad(&g, nil, dGrid) })
	}, nil, x, grid)
	return out
}
