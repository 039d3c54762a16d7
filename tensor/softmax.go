package tensor

import "github.com/gollava/gollava/internal/backend"

// Softmax returns e^(t−max)/Σ over the last axis.
func (t *Tensor) Softmax() *Tensor {
	t.want("Softmax", Float32)
	rows, cols := t.last("Softmax")
	out := placeOf(t).like(t)
	out.buf().Device.Softmax(out.buf(), t.buf(), rows, cols)
	record(out, "Softmax", func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { dx.Device.SoftmaxGrad(dx, out.buf(), dx, rows, cols) })
	}, nil, t)
	return out
}

// LogSoftmax returns t − ln Σ eᵗ over the last axis.
func (t *Tensor) LogSoftmax() *Tensor {
	t.want("LogSoftmax", Float32)
	rows, cols := t.last("LogSoftmax")
	out := placeOf(t).like(t)
	out.buf().Device.LogSoftmax(out.buf(), t.buf(), rows, cols)
	record(out, "LogSoftmax", func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { dx.Device.LogSoftmaxGrad(dx, out.buf(), dx, rows, cols) })
	}, nil, t)
	return out
}
