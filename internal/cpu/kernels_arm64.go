//go:build !purego

package cpu

import "github.com/gollava/gollava/internal/backend"

// vectors returns the kernels of the active level.
func vectors() *kernels {
	if active == generic {
		return &goKernels
	}
	return &neonKernels
}

var neonKernels = kernels{
	unary: [functions]func(dst, x []float32){
		backend.Identity:  func(dst, x []float32) { copy(dst, x) },
		backend.Exp:       unaryExpNEON,
		backend.Log:       unaryLogNEON,
		backend.Sqrt:      unarySqrtNEON,
		backend.Rsqrt:     unaryRsqrtNEON,
		backend.Tanh:      unaryTanhNEON,
		backend.Sigmoid:   unarySigmoidNEON,
		backend.ReLU:      unaryReLUNEON,
		backend.SiLU:      unarySiLUNEON,
		backend.GELU:      unaryGELUNEON,
		backend.GELUTanh:  unaryGELUTanhNEON,
		backend.QuickGELU: unaryQuickGELUNEON,
	},
	unaryGrad: [functions]func(dx, x, y, dy []float32){
		backend.Identity:  func(dx, _, _, dy []float32) { copy(dx, dy) },
		backend.Exp:       gradExpNEON,
		backend.Log:       gradLogNEON,
		backend.Sqrt:      gradSqrtNEON,
		backend.Rsqrt:     gradRsqrtNEON,
		backend.Tanh:      gradTanhNEON,
		backend.Sigmoid:   gradSigmoidNEON,
		backend.ReLU:      gradReLUNEON,
		backend.SiLU:      gradSiLUNEON,
		backend.GELU:      gradGELUNEON,
		backend.GELUTanh:  gradGELUTanhNEON,
		backend.QuickGELU: gradQuickGELUNEON,
	},

	binary: [4]func(dst, a, b []float32){
		backend.Add: binaryAddNEON, backend.Sub: binarySubNEON, backend.Mul: binaryMulNEON, backend.Div: binaryDivNEON},
	left: [4]func(dst []float32, a float32, b []float32){
		backend.Add: leftAddNEON, backend.Sub: leftSubNEON, backend.Mul: leftMulNEON, backend.Div: leftDivNEON},
	right: [4]func(dst, a []float32, b float32){
		backend.Add: rightAddNEON, backend.Sub: rightSubNEON, backend.Mul: rightMulNEON, backend.Div: rightDivNEON},
	affine: affineNEON,
	axpy:   axpyNEON,
	axpby:  axpbyNEON,

	swiglu:     swigluNEON,
	swigluGrad: swigluGradNEON,
	dropout:    goKernels.dropout, // NEON multiplies no 64-bit integers

	sum:        sumNEON,
	max:        maxNEON,
	dot:        dotNEON,
	deviation:  deviationNEON,
	sumSquares: sumSquaresNEON,
	finite:     func(x []float32) bool { return zerosNEON(x) == 0 },

	expSub:         expSubNEON,
	expSum:         expSumNEON,
	expScale:       expScaleNEON,
	shift:          shiftNEON,
	softmaxGrad:    softmaxGradNEON,
	logSoftmaxGrad: logSoftmaxGradNEON,

	normalize: func(dst, x, w, b []float32, m, r float32) {
		if b == nil {
			scaledNEON(dst, x, w, m, r)
		} else {
			biasedNEON(dst, x, w, b, m, r)
		}
	},
	normSums: normSumsNEON,
	normGrad: normGradNEON,
	normCols: func(dw, db, x, dy []float32, m, r float32) {
		if db != nil {
			binaryAddNEON(db, db, dy)
		}
		if dw != nil {
			colsScaleNEON(dw, x, dy, m, r)
		}
	},

	rope:     ropeNEON,
	ropeBack: ropeBackNEON,
	adamw:    func(p, g, m, v []float32, c adamwStep) { adamwNEON(p, g, m, v, &c.gradScale) },

	transpose: transpose8NEON,
	narrow: func(dst []uint16, x []float32) {
		castNarrowNEON(dst, x)
		n := len(dst) &^ 7
		narrowGo(dst[n:], x[n:])
	},
	widen: func(dst []float32, x []uint16) {
		n := widenRow(dst, x[:len(dst)])
		goKernels.widen(dst[n:], x[n:])
	},
	fromInt: castIntNEON,
}
