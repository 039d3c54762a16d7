package nn

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/tensor"
)

// job is a stored tensor on its way into memory of the same shape.
type job struct {
	name string
	from *stored
	to   *tensor.Tensor
}

// width is the number of bytes of one element of the dtypes that can be read and are not stored in blocks.
var width = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "U8": 1, "I8": 1,
	"BOOL": 1}

// native is the tensor dtype whose memory is what lies in the file.
func native(dtype string, dt tensor.DType) bool {
	return dt.Quantized() && dtype == dt.String() || dtype == "F32" && dt == tensor.Float32 ||
		dtype == "BF16" && dt == tensor.BFloat16 || dtype == "I32" && dt == tensor.Int32
}

func isFloat(dtype string) bool {
	return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16" || blocks.ByName(dtype) != nil
}

func convertible(dtype string, dt tensor.DType) error {
	if (width[dtype] != 0 || blocks.ByName(dtype) != nil) && isFloat(dtype) == (dt != tensor.Int32) {
		return nil
	}
	return fmt.Errorf("dtype %s cannot be read as %v", dtype, dt)
}

// piece is the number of bytes of a file that are read and converted at once.
const piece = 4 << 20

// unit is what a piece of a tensor is a multiple of: elements and bytes.
func unit(dtype string) (length, size int64) {
	if f := blocks.ByName(dtype); f != nil {
		return int64(f.Length), int64(f.Size)
	}
	return 1, int64(width[dtype])
}

// fetch reads and converts all jobs. Beyond the destinations it needs one piece per processor, or the largest tensor
// that it quantises as float32.
func fetch(jobs []job) error {
	var direct, quantise []job
	largest := 0
	for _, j := range jobs {
		if dt := j.to.DType(); dt.Quantized() && !native(j.from.dtype, dt) {
			quantise, largest = append(quantise, j), max(largest, j.to.Len())
		} else {
			direct = append(direct, j)
		}
	}
	if err := fetchDirect(direct); err != nil {
		return err
	}
	memory := make([]float32, largest)
	for _, j := range quantise {
		wide := tensor.Wrap(memory[:j.to.Len()], j.to.Shape()...)
		if err := fetchDirect([]job{{j.name, j.from, wide}}); err != nil {
			return err
		}
		j.to.CopyFrom(wide)
	}
	return nil
}

// fetchDirect reads and converts jobs whose destinations are not to be quantised, in pieces on all processors.
func fetchDirect(jobs []job) error {
	type part struct {
		job
		off int64
	}
	var parts []part
	for _, j := range jobs {
		if j.from.whole != nil {
			parts = append(parts, part{j, 0})
			continue
		}
		_, size := unit(j.from.dtype)
		for off := int64(0); off < j.from.size(); off += piece / size * size {
			parts = append(parts, part{j, off})
		}
	}
	var (
		wait   sync.WaitGroup
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	for range min(runtime.GOMAXPROCS(0), len(parts)) {
		wait.Go(func() {
			var buf []byte
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				if err := parts[i].read(parts[i].off, &buf); err != nil {
					err = fmt.Errorf("%s: tensor %q: %w", parts[i].from.file, parts[i].name, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// read moves one piece, which begins at byte off of the file's tensor.
func (j job) read(off int64, buf *[]byte) error {
	s, dst, dt := j.from, j.to.Bytes(), j.to.DType()
	if s.whole != nil {
		p, err := s.whole()
		if err != nil {
			return err
		}
		return convert(dst, dt, p, s.dtype)
	}
	length, size := unit(s.dtype)
	n := min(piece/size*size, s.size()-off)
	if native(s.dtype, dt) {
		return s.read(dst[off:off+n], off)
	}
	dst = dst[dt.Bytes(int(off/size*length)):][:dt.Bytes(int(n/size*length))]
	if *buf == nil {
		*buf = make([]byte, piece)
	}
	if err := s.read((*buf)[:n], off); err != nil {
		return err
	}
	return convert(dst, dt, (*buf)[:n], s.dtype)
}

// as views bytes as elements. p is empty or aligned, as memory of its own from Go's heap is.
func as[T any](p []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(p))), len(p)/int(unsafe.Sizeof(t)))
}

// convert writes the elements of src to dst.
func convert(dst []byte, dt tensor.DType, src []byte, dtype string) error {
	if native(dtype, dt) {
		copy(dst, src)
		return nil
	}
	if dt == tensor.Int32 {
		return integers(as[int32](dst), src, dtype)
	}
	if f := blocks.ByName(dtype); f != nil {
		return decode(dst, dt, src, f)
	}
	if dt == tensor.BFloat16 {
		d := as[uint16](dst)
		switch dtype {
		case "F32":
			for i, v := range as[float32](src) {
				d[i] = narrow(v)
			}
		case "F16":
			for i, v := range as[uint16](src) {
				d[i] = narrow(half(v))
			}
		case "F64":
			for i, v := range as[float64](src) {
				d[i] = narrow(float32(v))
			}
		}
		return nil
	}
	d := as[float32](dst)
	switch dtype {
	case "BF16":
		for i, v := range as[uint16](src) {
			d[i] = math.Float32frombits(uint32(v) << 16)
		}
	case "F16":
		for i, v := range as[uint16](src) {
			d[i] = half(v)
		}
	case "F64":
		for i, v := range as[float64](src) {
			d[i] = float32(v)
		}
	}
	return nil
}

// decode widens blocks. A flat format's source is the whole tensor, which dst has the length of.
func decode(dst []byte, dt tensor.DType, src []byte, f *blocks.Format) error {
	if dt == tensor.Float32 {
		d := as[float32](dst)
		f.Decode(d, src, 0, len(d))
		return nil
	}
	d, wide := as[uint16](dst), make([]float32, min(len(dst)/2, 64<<10))
	for from := 0; from < len(d); from += len(wide) {
		w := wide[:min(len(wide), len(d)-from)]
		f.Decode(w, src, from, len(d))
		for i, v := range w {
			d[from+i] = narrow(v)
		}
	}
	return nil
}

func integers(dst []int32, src []byte, dtype string) error {
	switch dtype {
	case "I64":
		for i, v := range as[int64](src) {
			if dst[i] = int32(v); int64(dst[i]) != v {
				return fmt.Errorf("element %d does not fit int32", v)
			}
		}
	case "I16":
		for i, v := range as[int16](src) {
			dst[i] = int32(v)
		}
	case "I8":
		for i, v := range as[int8](src) {
			dst[i] = int32(v)
		}
	case "U8", "BOOL":
		for i, v := range src {
			dst[i] = int32(v)
		}
	}
	return nil
}

// narrow rounds to bfloat16, to nearest even; NaN stays NaN.
func narrow(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// half widens IEEE 754 binary16. The exponent and mantissa are moved into float32's places and rescaled by a
// multiplication, which also normalises subnormals.
func half(h uint16) float32 {
	b := uint32(h&0x7fff) << 13
	if b >= 0x7c00<<13 { // infinity or NaN
		b |= 0xff << 23
	} else {
		b = math.Float32bits(math.Float32frombits(b) * 0x1p112)
	}
	return math.Float32frombits(b | uint32(h&0x8000)<<16)
}
