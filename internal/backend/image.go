package backend

// Taps are the terms of a linear map along one axis: output i is Σ Weight[i·K+k]·x[Index[i·K+k]] over k < K.
// Whether a NaN or Inf counts where its weight is 0 is left open.
type Taps struct {
	K      int
	Index  *Buffer // Int32 [outputs, K], elements of the input
	Weight *Buffer // [outputs, K]
}

// Resample describes a linear map of pictures that is one along the rows and one along the columns: interpolation,
// and averages of windows.
type Resample struct {
	X          *Buffer // [N, In[0], In[1]]
	Y          *Buffer // [N, Out[0], Out[1]]
	N          int
	In, Out    [2]int
	Rows, Cols Taps // of the first axis, with Out[0] outputs, and of the second, with Out[1]
}

// MaxPool describes the largest elements of windows: Y[n, p] is the maximum of X[n, p·Stride + t·Dilation − Pad]
// over the taps t of the kernel that stand inside of X, of which there is one at least. NaN wins.
type MaxPool struct {
	X, Y *Buffer // [N, In...], [N, Out...]
	At   *Buffer // Int32 [N, Out...]: which element of the picture it is; the first of equals or of NaNs
	N    int

	In, Out, Kernel, Stride, Pad, Dilation [2]int
}

// Outside says what a GridSample reads beyond the edge of a picture.
type Outside uint8

const (
	Zeros   Outside = iota // 0
	Border                 // the element at the edge
	Reflect                // the picture's mirror image
)

// GridSample describes pictures read at points of a grid: Y[n, c, p] is X[n, c] at the place Grid[n, p] = (x, y),
// of which −1 and 1 are the picture's edges, or with AlignCorners the centres of its first and last elements. What
// lies between elements is interpolated from four of them, or with Nearest is the nearest one, the even one of
// two.
type GridSample struct {
	X       *Buffer // [N, C, H, W]
	Grid    *Buffer // [N, P, 2]
	Y       *Buffer // [N, C, P]
	N, C, P int
	H, W    int

	Nearest, AlignCorners bool
	Outside               Outside
}

// Images works on pictures stored channel by channel.
type Images interface {
	Resample(r *Resample)     // Y of X
	ResampleGrad(r *Resample) // X of Y by the transposed map: the gradient of X if Y holds that of Y

	MaxPool(p *MaxPool)     // Y and At of X
	MaxPoolGrad(p *MaxPool) // X of Y and At: the gradient of X if Y holds that of Y

	GridSample(g *GridSample) // Y of X and Grid
	// GridSampleGrad fills dx, like X, and dGrid, like Grid, if Y holds the gradient of Y; either may be nil.
	// Where Outside moves a place to the edge, its gradient is 0; with Nearest all of dGrid is.
	GridSampleGrad(g *GridSample, dx, dGrid *Buffer)

	// GroupNorm sets dst = (x−mean)·rstd·w[c] + b[c] for x [batch, channels, inner], with mean and variance of
	// each of the groups into which the channels of an image fall, and rstd = 1/√(var+eps): mean and rstd are
	// [batch, groups]. w and b are Float32 or BFloat16 [channels]; either may be nil.
	GroupNorm(dst, mean, rstd, x, w, b *Buffer, batch, channels, inner, groups int, eps float32)
	// GroupNormGrad fills dx, dw and db ([channels]); each may be nil. dx may be dy.
	GroupNormGrad(dx, dw, db, x, w, mean, rstd, dy *Buffer, batch, channels, inner, groups int)
}
