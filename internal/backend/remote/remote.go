//go:build unix

// Package remote is a device whose memory the program cannot address, as that of an accelerator: for tests that what is
// above the devices reaches memory through them alone.
package remote

import (
	"reflect"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/misuse"
)

// space is the size of the device's address space in bytes. Pages that are never touched cost nothing.
const space = 4 << 30

// Device implements backend.Device by another one. Its addresses are those of pages that may be neither read nor
// written, so that any access past the device ends the program. New and freed memory is filled with ones, which are NaN
// and the id −1.
type Device struct {
	inner  backend.Device
	front  []byte // what addresses point to
	memory []byte // what is stored there

	mu   sync.Mutex
	next int           // the first byte never used
	free map[int][]int // offsets by capacity

	Moved struct{ In, Out int } // bytes that have been copied from and to the host
}

var _ backend.Device = (*Device)(nil)

// New returns a device that computes as inner, a device of the host, does. Close gives its memory back.
func New(inner backend.Device) (*Device, error) {
	d := &Device{inner: inner, free: map[int][]int{}}
	var err error
	flags := unix.MAP_ANON | unix.MAP_PRIVATE | unix.MAP_NORESERVE
	if d.front, err = unix.Mmap(-1, 0, space, unix.PROT_NONE, flags); err != nil {
		return nil, err
	}
	if d.memory, err = unix.Mmap(-1, 0, space, unix.PROT_READ|unix.PROT_WRITE, flags); err != nil {
		unix.Munmap(d.front)
		return nil, err
	}
	return d, nil
}

// Close ends the device. Its tensors must not be used any more.
func (d *Device) Close() {
	unix.Munmap(d.front)
	unix.Munmap(d.memory)
}

func (d *Device) Name() string { return "remote" }
func (d *Device) Unit() string { return d.inner.Unit() }
func (d *Device) Host() bool   { return false }

// Alloc takes memory that was freed, or else new one. Memory that is never freed stays taken until Close.
func (d *Device) Alloc(dt backend.DType, n int) *backend.Buffer {
	capacity := (dt.Bytes(n) + 63) &^ 63
	capacity = max(capacity, 64)
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.next
	if list := d.free[capacity]; len(list) > 0 {
		at, d.free[capacity] = list[len(list)-1], list[:len(list)-1]
	} else if d.next += capacity; d.next > space {
		panic(misuse.Errorf("remote", "out of memory: %d bytes are taken", at))
	}
	d.poison(at, capacity)
	b := backend.NewBuffer(d, dt, n, unsafe.Pointer(&d.front[at]))
	b.Capacity = capacity
	return b
}

// Free keeps b's memory for the next Alloc of its size.
func (d *Device) Free(b *backend.Buffer) {
	if b.Capacity == 0 {
		return
	}
	if b.Len < 0 {
		panic(misuse.Errorf("remote", "a buffer was freed twice"))
	}
	at := d.offset(b)
	b.Len = -1
	d.mu.Lock()
	defer d.mu.Unlock()
	d.poison(at, b.Capacity)
	d.free[b.Capacity] = append(d.free[b.Capacity], at)
}

func (d *Device) poison(at, n int) {
	for i := range d.memory[at : at+n] {
		d.memory[at+i] = 0xff
	}
}

func (d *Device) offset(b *backend.Buffer) int {
	return int(uintptr(b.Pointer()) - uintptr(unsafe.Pointer(&d.front[0])))
}

// at is b as the device inside sees it.
func (d *Device) at(b *backend.Buffer) *backend.Buffer {
	switch {
	case b == nil:
		return nil
	case b.Device != d:
		panic(misuse.Errorf("remote", "an operand on %s", b.Device.Name()))
	case b.Len < 0:
		panic(misuse.Errorf("remote", "memory of a buffer that was freed"))
	}
	at := min(d.offset(b), space-1) // a buffer without elements may begin at the end
	return backend.NewBuffer(d.inner, b.DType, b.Len, unsafe.Pointer(&d.memory[at]))
}

func (d *Device) all(list []*backend.Buffer) []*backend.Buffer {
	out := make([]*backend.Buffer, len(list))
	for i, b := range list {
		out[i] = d.at(b)
	}
	return out
}

// operands is the description of an operation with its buffers as the device inside sees them.
func operands[T any](d *Device, p *T) *T {
	out := *p
	d.translate(reflect.ValueOf(&out).Elem())
	return &out
}

func (d *Device) translate(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[*backend.Buffer]():
			f.Set(reflect.ValueOf(d.at(f.Interface().(*backend.Buffer))))
		case f.Kind() == reflect.Struct:
			d.translate(f)
		}
	}
}

// Copy copies within the device, from the host or to the host.
func (d *Device) Copy(dst, src *backend.Buffer) {
	d.mu.Lock()
	if src.Device != d {
		d.Moved.In += src.Bytes()
	}
	if dst.Device != d {
		d.Moved.Out += src.Bytes()
	}
	d.mu.Unlock()
	if src.Device == d {
		src = d.at(src)
	}
	if dst.Device == d {
		dst = d.at(dst)
	}
	d.inner.Copy(dst, src)
}
