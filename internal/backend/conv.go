package backend

// Conv describes a convolution over up to three spatial axes (cross-correlation, as in every deep-learning
// library): of output channel o in group g = o/(O/Groups), at output position p,
//
//	Y[b, o, p] = Bias[o] + Σ W[o, c, t] · X[b, g·C/Groups + c, p·Stride + t·Dilation − Pad]
//
// over the group's input channels c < C/Groups and the taps t of the kernel; what lies outside of X is zero. The
// sizes of unused axes are 1, those of a picture stand in axes 1 and 2. Zeros behind X are implied by Out, which
// may be any size.
//
// W is Float32 or BFloat16 where it is read. NaN and Inf reach the outputs whose window they stand in, as in IEEE
// arithmetic, but a NaN or Inf in X or Y may reach every element of W's gradient that belongs to its channel.
type Conv struct {
	X    *Buffer // [B, C, In...]
	W    *Buffer // [O, C/Groups, Kernel...]
	Y    *Buffer // [B, O, Out...]
	Bias *Buffer // Float32 or BFloat16: [O] for Conv, [C] for ConvInput; or nil

	B, C, O, Groups                        int
	In, Out, Kernel, Stride, Pad, Dilation [3]int
}

// Convolutions computes one of the three operands of a convolution from the other two.
type Convolutions interface {
	Conv(c *Conv)       // Y of X and W
	ConvInput(c *Conv)  // X of Y and W: the gradient of X if Y holds that of Y, and so the transposed convolution
	ConvWeight(c *Conv) // W of X and Y: the gradient of W if Y holds that of Y
}

// Volume is the product of the sizes of three axes.
func Volume(n [3]int) int { return n[0] * n[1] * n[2] }
