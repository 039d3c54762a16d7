package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// height is the number of rows of cols elements that make a task.
func height(cols int) int { return max(1, grain/max(cols, 1)) }

func (d *Device) Softmax(dst, x *backend.Buffer, rows, cols int) {
	y, u := dst.Float32(), x.Float32()
	if len(y) <= grain {
		softmax(y, u, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) { softmax(y[i*cols:j*cols], u[i*cols:j*cols], cols) })
}

func softmax(y, x []float32, cols int) {
	k := vectors()
	for i := 0; i < len(y); i += cols {
		row := y[i : i+cols]
		sum := k.expSub(row, x[i:i+cols], k.max(x[i:i+cols]))
		k.affine(row, row, 1/sum, 0)
	}
}

func (d *Device) SoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	o, u, g := dx.Float32(), y.Float32(), dy.Float32()
	if len(o) <= grain {
		softmaxGrad(o, u, g, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) { softmaxGrad(o[i*cols:j*cols], u[i*cols:j*cols], g[i*cols:j*cols], cols) })
}

func softmaxGrad(dx, y, dy []float32, cols int) {
	k := vectors()
	for i := 0; i < len(y); i += cols {
		y, dy := y[i:i+cols], dy[i:i+cols]
		k.softmaxGrad(dx[i:i+cols], y, dy, k.dot(y, dy))
	}
}

func (d *Device) LogSoftmax(dst, x *backend.Buffer, rows, cols int) {
	y, u := dst.Float32(), x.Float32()
	if len(y) <= grain {
		logSoftmax(y, u, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) { logSoftmax(y[i*cols:j*cols], u[i*cols:j*cols], cols) })
}

func logSoftmax(y, x []float32, cols int) {
	k := vectors()
	for i := 0; i < len(y); i += cols {
		row := x[i : i+cols]
		m := k.max(row)
		k.shift(y[i:i+cols], row, m, logarithm(k.expSum(row, m)))
	}
}

func logarithm(x float32) float32 { return float32(math.Log(float64(x))) }

func (d *Device) LogSoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	o, u, g := dx.Float32(), y.Float32(), dy.Float32()
	if len(o) <= grain {
		logSoftmaxGrad(o, u, g, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) {
		logSoftmaxGrad(o[i*cols:j*cols], u[i*cols:j*cols], g[i*cols:j*cols], cols)
	})
}

func logSoftmaxGrad(dx, y, dy []float32, cols int) {
	k := vectors()
	for i := 0; i < len(y); i += cols {
		dy := dy[i : i+cols]
		k.logSoftmaxGrad(dx[i:i+cols], y[i:i+cols], dy, k.sum(dy))
	}
}

func (d *Device) CrossEntropy(loss, lse, logits, labels *backend.Buffer, rows, cols int) {
	l, z, x, t := loss.Float32(), lse.Float32(), logits.Float32(), labels.Int32()
	if len(x) <= grain {
		crossEntropy(l, z, x, t, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) { crossEntropy(l[i:j], z[i:j], x[i*cols:j*cols], t[i:j], cols) })
}

func crossEntropy(loss, lse, x []float32, labels []int32, cols int) {
	k := vectors()
	for r, t := range labels {
		if loss[r], lse[r] = 0, 0; t < 0 {
			continue
		}
		row := x[r*cols : (r+1)*cols]
		m := k.max(row)
		rest := math.Log(float64(k.expSum(row, m)))
		lse[r] = float32(float64(m) + rest)
		loss[r] = float32(float64(m) - float64(row[t]) + rest)
	}
}

func (d *Device) CrossEntropyGrad(dx, logits, lse, labels *backend.Buffer, rows, cols int, scale float32) {
	o, z, x, t := dx.Float32(), lse.Float32(), logits.Float32(), labels.Int32()
	if len(x) <= grain {
		crossEntropyGrad(o, x, z, t, cols, scale)
		return
	}
	ranges(rows, height(cols), func(i, j int) {
		crossEntropyGrad(o[i*cols:j*cols], x[i*cols:j*cols], z[i:j], t[i:j], cols, scale)
	})
}

func crossEntropyGrad(dx, x, lse []float32, labels []int32, cols int, scale float32) {
	k := vectors()
	for r, t := range labels {
		if row := dx[r*cols : (r+1)*cols]; t < 0 {
			clear(row)
		} else {
			k.expScale(row, x[r*cols:(r+1)*cols], lse[r], scale)
			row[t] -= scale
		}
	}
}
