//go:build amd64 && !purego

package cpu

import (
	"github.com/gollava/gollava/internal/backend"
)

// vectors returns the kernels of the active level.
func vectors() *kernels { return levels[vectorLevel()] }

var levels = [...]*kernels{generic: &goKernels, avx2: &avx2Kernels, avx512: &avx512Kernels}

var avx2Kernels = kernels{
	unary: [functions]func(dst, x []float32){
		backend.Identity:  same,
		backend.Exp:       unaryExpAVX2,
		backend.Log:       unaryLogAVX2,
		backend.Sqrt:      unarySqrtAVX2,
		backend.Rsqrt:     unaryRsqrtAVX2,
		backend.Tanh:      unaryTanhAVX2,
		backend.Sigmoid:   unarySigmoidAVX2,
		backend.ReLU:      unaryReLUAVX2,
		backend.SiLU:      unarySiLUAVX2,
		backend.GELU:      unaryGELUAVX2,
		backend.GELUTanh:  unaryGELUTanhAVX2,
		backend.QuickGELU: unaryQuickGELUAVX2,
	},
	unaryGrad: [functions]func(dx, x, y, dy []float32){
		backend.Identity:  func(dx, _, _, dy []float32) { copy(dx, dy) },
		backend.Exp:       gradExpAVX2,
		backend.Log:       gradLogAVX2,
		backend.Sqrt:      gradSqrtAVX2,
		backend.Rsqrt:     gradRsqrtAVX2,
		backend.Tanh:      gradTanhAVX2,
		backend.Sigmoid:   gradSigmoidAVX2,
		backend.ReLU:      gradReLUAVX2,
		backend.SiLU:      gradSiLUAVX2,
		backend.GELU:      gradGELUAVX2,
		backend.GELUTanh:  gradGELUTanhAVX2,
		backend.QuickGELU: gradQuickGELUAVX2,
	},

	binary: [4]func(dst, a, b []float32){backend.Add: binaryAddAVX2, backend.Sub: binarySubAVX2, backend.Mul: binaryMulAVX2, backend.Div: binaryDivAVX2},
	left:   [4]func(dst []float32, a float32, b []float32){backend.Add: leftAddAVX2, backend.Sub: leftSubAVX2, backend.Mul: leftMulAVX2, backend.Div: leftDivAVX2},
	right:  [4]func(dst, a []float32, b float32){backend.Add: rightAddAVX2, backend.Sub: rightSubAVX2, backend.Mul: rightMulAVX2, backend.Div: rightDivAVX2},
	affine: affineAVX2,
	axpy:   axpyAVX2,
	axpby:  axpbyAVX2,

	swiglu:     swigluAVX2,
	swigluGrad: swigluGradAVX2,
	dropout: func(dst, x []float32, p float32, key, first uint64) {
		dropoutAVX2(dst, x, p*(1<<24), 1/(1-p), key+(first+1)*0x9e3779b97f4a7c15)
	},

	sum:        sumAVX2,
	max:        maxAVX2,
	dot:        dotAVX2,
	deviation:  deviationAVX2,
	sumSquares: sumSquaresAVX2,
	finite:     func(x []float32) bool { return zerosAVX2(x) == 0 },

	expSub:         expSubAVX2,
	expSum:         expSumAVX2,
	expScale:       expScaleAVX2,
	shift:          shiftAVX2,
	softmaxGrad:    softmaxGradAVX2,
	logSoftmaxGrad: logSoftmaxGradAVX2,

	normalize: func(dst, x, w, b []float32, m, r float32) {
		if b == nil {
			scaledAVX2(dst, x, w, m, r)
		} else {
			biasedAVX2(dst, x, w, b, m, r)
		}
	},
	normSums: normSumsAVX2,
	normGrad: normGradAVX2,
	normCols: func(dw, db, x, dy []float32, m, r float32) {
		switch {
		case db == nil:
			colsScaleAVX2(dw, x, dy, m, r)
		case dw == nil:
			binaryAddAVX2(db, db, dy)
		default:
			colsBothAVX2(dw, db, x, dy, m, r)
		}
	},

	rope:     ropeAVX2,
	ropeBack: ropeBackAVX2,
	adamw:    func(p, g, m, v []float32, c adamwStep) { adamwAVX2(p, g, m, v, &c.gradScale) },

	transpose: transpose8,
	narrow: func(dst []uint16, x []float32) {
		castNarrowAVX2(dst, x)
		n := len(dst) &^ 15
		narrowGo(dst[n:], x[n:])
	},
	widen: func(dst []float32, x []uint16) {
		castWidenAVX2(dst, x)
		n := len(dst) &^ 15
		goKernels.widen(dst[n:], x[n:])
	},
	fromInt: castIntAVX2,
}

var avx512Kernels = kernels{
	unary: [functions]func(dst, x []float32){
		backend.Identity:  same,
		backend.Exp:       unaryExpAVX512,
		backend.Log:       unaryLogAVX512,
		backend.Sqrt:      unarySqrtAVX512,
		backend.Rsqrt:     unaryRsqrtAVX512,
		backend.Tanh:      unaryTanhAVX512,
		backend.Sigmoid:   unarySigmoidAVX512,
		backend.ReLU:      unaryReLUAVX512,
		backend.SiLU:      unarySiLUAVX512,
		backend.GELU:      unaryGELUAVX512,
		backend.GELUTanh:  unaryGELUTanhAVX512,
		backend.QuickGELU: unaryQuickGELUAVX512,
	},
	unaryGrad: [functions]func(dx, x, y, dy []float32){
		backend.Identity:  func(dx, _, _, dy []float32) { copy(dx, dy) },
		backend.Exp:       gradExpAVX512,
		backend.Log:       gradLogAVX512,
		backend.Sqrt:      gradSqrtAVX512,
		backend.Rsqrt:     gradRsqrtAVX512,
		backend.Tanh:      gradTanhAVX512,
		backend.Sigmoid:   gradSigmoidAVX512,
		backend.ReLU:      gradReLUAVX512,
		backend.SiLU:      gradSiLUAVX512,
		backend.GELU:      gradGELUAVX512,
		backend.GELUTanh:  gradGELUTanhAVX512,
		backend.QuickGELU: gradQuickGELUAVX512,
	},

	binary: [4]func(dst, a, b []float32){backend.Add: binaryAddAVX512, backend.Sub: binarySubAVX512, backend.Mul: binaryMulAVX512, backend.Div: binaryDivAVX512},
	left:   [4]func(dst []float32, a float32, b []float32){backend.Add: leftAddAVX512, backend.Sub: leftSubAVX512, backend.Mul: leftMulAVX512, backend.Div: leftDivAVX512},
	right:  [4]func(dst, a []float32, b float32){backend.Add: rightAddAVX512, backend.Sub: rightSubAVX512, backend.Mul: rightMulAVX512, backend.Div: rightDivAVX512},
	affine: affineAVX512,
	axpy:   axpyAVX512,
	axpby:  axpbyAVX512,

	swiglu:     swigluAVX512,
	swigluGrad: swigluGradAVX512,
	dropout: func(dst, x []float32, p float32, key, first uint64) {
		dropoutAVX512(dst, x, p*(1<<24), 1/(1-p), key+(first+1)*0x9e3779b97f4a7c15)
	},

	sum:        sumAVX512,
	max:        maxAVX512,
	dot:        dotAVX512,
	deviation:  deviationAVX512,
	sumSquares: sumSquaresAVX512,
	finite:     func(x []float32) bool { return zerosAVX512(x) == 0 },

	expSub:         expSubAVX512,
	expSum:         expSumAVX512,
	expScale:       expScaleAVX512,
	shift:          shiftAVX512,
	softmaxGrad:    softmaxGradAVX512,
	logSoftmaxGrad: logSoftmaxGradAVX512,

	normalize: func(dst, x, w, b []float32, m, r float32) {
		if b == nil {
			scaledAVX512(dst, x, w, m, r)
		} else {
			biasedAVX512(dst, x, w, b, m, r)
		}
	},
	normSums: normSumsAVX512,
	normGrad: normGradAVX512,
	normCols: func(dw, db, x, dy []float32, m, r float32) {
		switch {
		case db == nil:
			colsScaleAVX512(dw, x, dy, m, r)
		case dw == nil:
			binaryAddAVX512(db, db, dy)
		default:
			colsBothAVX512(dw, db, x, dy, m, r)
		}
	},

	rope:     ropeAVX512,
	ropeBack: ropeBackAVX512,
	adamw:    func(p, g, m, v []float32, c adamwStep) { adamwAVX512(p, g, m, v, &c.gradScale) },

	transpose: transpose8,
	narrow: func(dst []uint16, x []float32) {
		castNarrowAVX512(dst, x)
		n := len(dst) &^ 15
		narrowGo(dst[n:], x[n:])
	},
	widen: func(dst []float32, x []uint16) {
		castWidenAVX512(dst, x)
		n := len(dst) &^ 15
		goKernels.widen(dst[n:], x[n:])
	},
	fromInt: castIntAVX512,
}

func same(dst, x []float32) { copy(dst, x) }
