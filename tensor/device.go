package tensor

import (
	"runtime"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// host is the device that leaves live on until [Tensor.To] copies them to another.
var host backend.Device = cpu.New()

// Unit names the instructions that operations on the host are computed with, such as "amd64/avx2": with the same unit,
// sizes and numbers, results are the same to the bit; another one rounds differently.
func Unit() string { return host.Unit() }

// Units are the units that this process can compute with, [Unit] first, each slower than the one before.
func Units() []string { return cpu.Units() }

// UseUnit makes one of [Units] the present one, so that several processes compute the same bits. It is for the start of
// a program: nothing may compute meanwhile.
func UseUnit(unit string) error { return cpu.Use(unit) }

// FastBFloat16 reports whether the host multiplies bfloat16 faster than float32: with a matrix unit (Intel's AMX), or
// with AVX512-BF16 on AMD. Elsewhere the instructions for float32 do it, and [Tensor.SetAutocast] saves nothing.
func FastBFloat16() bool {
	level, extras, _ := strings.Cut(strings.TrimPrefix(Unit(), runtime.GOARCH+"/"), "+")
	return level == "amx" || slices.Contains(strings.Split(extras, "+"), "bf16")
}

// Device holds the memory of tensors and computes with them. Its zero value is the host's processor; devices are
// compared with ==. It is safe for concurrent use.
//
// A tensor's device belongs to its memory: a model is moved by moving its parameters, and no layer names a device. An
// operation whose operands are on the host and on another device moves the former to the latter, so that ids, masks and
// tables may stay where they were made. Operands on two devices besides the host are misuse.
type Device struct{ backend backend.Device } // nil: host

// NewDevice is the device that executes on d. It is for the packages of this module that implement one.
func NewDevice(d backend.Device) Device {
	if d == host {
		return Device{}
	}
	return Device{d}
}

// String is the device's name, such as "cpu".
func (d Device) String() string { return d.device().Name() }

func (d Device) device() backend.Device {
	if d.backend == nil {
		return host
	}
	return d.backend
}

// Device is where t's memory is.
func (t *Tensor) Device() Device {
	t.check("Device")
	return NewDevice(t.buf().Device)
}

// To returns t on device d: t itself if it is there, else a copy of the same dtype. Gradients flow back to t's device.
// The copy of a leaf that belongs to no scope is a leaf.
func (t *Tensor) To(d Device) *Tensor {
	t.check("To")
	return t.on(place{Device: d.device(), arena: t.arena.open()})
}

// Host returns t in memory of the host, where [Tensor.Data], [Tensor.IntData] and [Tensor.Bytes] read it: t itself if
// it is there, else a copy, of which writes do not reach t.
func (t *Tensor) Host() *Tensor {
	if t != nil && t.st != nil && t.buf().Device.Host() {
		return t
	}
	return t.To(Device{})
}

// on is t in memory of at's device, as a result that belongs to at's scope. A nil tensor stays nil.
func (t *Tensor) on(at place) *Tensor {
	if t == nil || t.buf().Device == at.Device {
		return t
	}
	out := at.alloc(t.dtype, t.shape...)
	out.rounds, out.casts = t.rounds, t.casts
	transfer(out.buf(), t.buf())
	recorded := record(out, "To", func(dy *gradient) {
		t.into(func(dst *backend.Buffer) { transfer(dst, dy.buf()) })
	}, nil, t)
	if !recorded && !t.st.pooled && at.arena == nil {
		out.st.pooled = false // a leaf, as t is
	}
	return out
}

// beside is t, which is read only, on the device of to.
func (t *Tensor) beside(to *Tensor) *Tensor {
	at := to.buf().Device
	if t.buf().Device == at {
		return t
	}
	return t.Detach().on(place{Device: at, arena: t.arena.open()})
}

// apart is for operations of several operands, some of which may be nil: where they compute, and whether an operand has
// to be moved there first, with on.
func apart(op string, ts ...*Tensor) (at place, moved bool) {
	ts[0].check(op)
	for _, t := range ts[1:] {
		if t != nil {
			t.check(op)
		}
	}
	at = placeOf(ts...)
	for _, t := range ts {
		if t == nil {
			continue
		}
		if d := t.buf().Device; d != at.Device {
			if !d.Host() {
				Fail(op, "operands on %s and on %s: To moves a tensor", at.Name(), d.Name())
			}
			moved = true
		}
	}
	return at, moved
}

// transfer copies between buffers of equal dtype and length, on any devices.
func transfer(dst, src *backend.Buffer) {
	switch {
	case dst.Device == src.Device, src.Device.Host():
		dst.Device.Copy(dst, src)
	case dst.Device.Host():
		src.Device.Copy(dst, src)
	default:
		between := host.Alloc(src.DType, src.Len)
		src.Device.Copy(between, src)
		dst.Device.Copy(dst, between)
		host.Free(between)
	}
}
