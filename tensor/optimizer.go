package tensor

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// AdamWConfig holds the numbers of one optimizer step; see [AdamW].
type AdamWConfig = backend.AdamW

// AdamWItem is a parameter with its optimizer state: M and V are float32 of Param's shape; Master is the float32 value
// of a bfloat16 Param, else nil. Grad nil means the parameter's own.
type AdamWItem struct{ Param, Master, Grad, M, V *Tensor }

// AdamW updates parameters in place, as torch.optim.AdamW: decoupled weight decay, bias-corrected moments. Source:
// Loshchilov and Hutter
// 2019. It panics if a parameter has no gradient or its state does not fit.
func AdamW(c AdamWConfig, items []AdamWItem) {
	if len(items) == 0 {
		return
	}
	if c.Step < 1 {
		Fail("AdamW", "step %d: the first is 1", c.Step)
	}
	raw := make([]backend.AdamWItem, len(items))
	for i, it := range items {
		g := it.Grad
		if g == nil {
			g = it.Param.grad
		}
		if g == nil {
			Fail("AdamW",
				"parameter %d, %v, has no gradient: call Backward first, or leave out what the loss does not depend on",
				i, it.Param.shape)
		}
		if (it.Param.dtype == BFloat16) != (it.Master != nil) {
			Fail("AdamW", "parameter %d, %v %v: a float32 master is needed for bfloat16 and only there", i,
				it.Param.dtype, it.Param.shape)
		}
		if it.M == nil || it.V == nil {
			Fail("AdamW", "parameter %d, %v: M and V are needed, zeros at first", i, it.Param.shape)
		}
		for _, t := range []*Tensor{g, it.M, it.V, it.Master} {
			if t != nil && (t.n != it.Param.n || t.dtype != Float32) {
				Fail("AdamW", "parameter %d, %v: its gradient or state is %v %v, needs float32 of the same shape", i,
					it.Param.shape, t.dtype, t.shape)
			}
			if t != nil && t.buf().Device != it.Param.buf().Device {
				Fail("AdamW", "parameter %d, %v, is on %v and its gradient or state on %v", i, it.Param.shape,
					it.Param.Device(), t.Device())
			}
		}
		raw[i] = backend.AdamWItem{Param: it.Param.buf(), Grad: g.buf(), M: it.M.buf(), V: it.V.buf(),
			Master: optional(it.Master)}
	}
	for from, to := 0, 0; from < len(raw); from = to {
		for d := raw[from].Param.Device; to < len(raw) && raw[to].Param.Device == d; to++ {
		}
		raw[from].Param.Device.AdamW(c, raw[from:to])
	}
}

// GlobalNorm is the L2 norm of all elements of ts (float32) together, summed in float64; nil tensors are skipped.
func GlobalNorm(ts []*Tensor) float64 {
	bufs := buffers("GlobalNorm", ts)
	if len(bufs) == 0 {
		return 0
	}
	return math.Sqrt(bufs[0].Device.SumSquares(bufs))
}

// AllFinite reports whether no element of ts (float32) is NaN or Inf, and if not the index in ts of the first tensor
// that holds one, else −1. nil tensors are skipped.
func AllFinite(ts []*Tensor) (ok bool, first int) {
	bufs := buffers("AllFinite", ts)
	if len(bufs) == 0 {
		return true, -1
	}
	ok, first = bufs[0].Device.AllFinite(bufs)
	if ok {
		return true, -1
	}
	for i, t := range ts {
		if t == nil {
			continue
		}
		if first == 0 {
			return false, i
		}
		first--
	}
	return false, -1
}

func buffers(op string, ts []*Tensor) []*backend.Buffer {
	var bufs []*backend.Buffer
	for _, t := range ts {
		if t != nil {
			t.want(op, Float32)
			if len(bufs) > 0 {
				t = t.on(place{Device: bufs[0].Device, arena: t.arena.open()})
			}
			bufs = append(bufs, t.buf())
		}
	}
	return bufs
}
