package nn

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/tensor"
)

// quantization is the quantization_config of a checkpoint's config.json.
type quantization struct {
	Method     string `json:"quant_method"`
	Bits       int    `json:"bits"`
	GroupSize  int    `json:"group_size"`
	Checkpoint string `json:"checkpoint_format"` // of GPTQ: gptq, gptq_v2
	Version    string `json:"version"`           // of AWQ: gemm
}

// SupportedQuantization returns an error that says what is wrong with a config's quantization_config, nil if
// [OpenWeights] reads such checkpoints: bitsandbytes' of 4 and 8 bits, GPTQ's, and AWQ's in its gemm layout.
func SupportedQuantization(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var q quantization
	if err := json.Unmarshal(raw, &q); err != nil {
		return fmt.Errorf("quantization_config: %w", err)
	}
	switch {
	case q.Method == "bitsandbytes":
	case q.Method == "gptq":
		if !slices.Contains([]int{2, 3, 4, 8}, q.Bits) {
			return fmt.Errorf("quantization_config: bits %d is not supported (2, 3, 4 and 8 are)", q.Bits)
		}
		if q.Checkpoint != "" && q.Checkpoint != "gptq" && q.Checkpoint != "gptq_v2" {
			return fmt.Errorf("quantization_config: checkpoint_format %q is not supported (gptq and gptq_v2 are)",
				q.Checkpoint)
		}
	case q.Method == "awq":
		if q.Bits != 4 || q.Version != "" && !strings.EqualFold(q.Version, "gemm") {
			return fmt.Errorf("quantization_config: awq of %d bits in version %q is not supported (4 bits in gemm are)",
				q.Bits, q.Version)
		}
	default:
		return fmt.Errorf("quantization_config is not supported: quant_method %q (bitsandbytes, gptq and awq are)",
			q.Method)
	}
	return nil
}

// prequantized puts one tensor in the place of those in which bitsandbytes, GPTQ and AWQ keep a weight. What is
// quantised follows from the tensors, since the config's lists of modules to skip were read differently over time.
func (w *Weights) prequantized() error {
	for _, name := range w.Names() {
		stem, kind, ok := strings.Cut(name, ".quant_state.bitsandbytes__")
		var s *stored
		var err error
		switch {
		case ok:
			s, err = w.bitsandbytes4(stem, name, kind)
			name = stem
		case strings.HasSuffix(name, ".SCB"):
			s, err = w.int8(strings.TrimSuffix(name, "SCB") + "weight")
			name = strings.TrimSuffix(name, "SCB") + "weight"
		case strings.HasSuffix(name, ".qweight"):
			s, err = w.packed(strings.TrimSuffix(name, "qweight"))
			name = strings.TrimSuffix(name, "qweight") + "weight"
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", w.path, name, err)
		}
		w.stored[name] = s
	}
	return nil
}

// part is a tensor of dtype and size, taken out of the list. A shape of −1 is any length.
func (w *Weights) part(name string, dtypes string, n int) (*stored, error) {
	s := w.stored[name]
	if s == nil {
		return nil, fmt.Errorf("tensor %q is missing", name)
	}
	if !slices.Contains(strings.Fields(dtypes), s.dtype) || n >= 0 && elements(s.shape) != n {
		return nil, fmt.Errorf("tensor %q is %s %v: it must be %s with %d elements", name, s.dtype, s.shape, dtypes, n)
	}
	delete(w.stored, name)
	return s, nil
}

// parts is part for several tensors, after which err holds the first fault.
type parts struct {
	w   *Weights
	err error
}

func (p *parts) take(name, dtypes string, n int) *stored {
	if p.err != nil {
		return nil
	}
	s, err := p.w.part(name, dtypes, n)
	p.err = err
	return s
}

// values reads a tensor of floating-point numbers whole.
func (s *stored) values() ([]float32, error) {
	raw, err := s.all()
	if err != nil {
		return nil, err
	}
	n := elements(s.shape)
	out := make([]float32, n)
	if n == 0 {
		return out, nil
	}
	return out, convert(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), 4*n), tensor.Float32, raw, s.dtype)
}

// words reads a tensor of int32 whole.
func (s *stored) words() ([]int32, error) {
	raw, err := s.all()
	if err != nil {
		return nil, err
	}
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out, nil
}

// int8 is a weight of LLM.int8. It stays in blocks if its rows are whole blocks, and is float32 otherwise.
func (w *Weights) int8(name string) (*stored, error) {
	s := w.stored[name]
	if s == nil || s.dtype != "I8" || len(s.shape) != 2 {
		return nil, fmt.Errorf("it has an SCB, but is no I8 matrix")
	}
	p := parts{w: w}
	format := w.stored[name+"_format"]
	if format != nil {
		format = p.take(name+"_format", "U8", 1)
	}
	scales, codes := p.take(strings.TrimSuffix(name, "weight")+"SCB", "F32", s.shape[0]), p.take(name, "I8", -1)
	if p.err != nil {
		return nil, p.err
	}
	if format != nil {
		raw, err := format.all()
		if err != nil {
			return nil, err
		}
		if raw[0] != 0 {
			return nil, fmt.Errorf("weight_format %d, an old layout of GPUs, is not supported (0, row by row, is): "+
				"save it anew with a newer bitsandbytes", raw[0])
		}
	}
	read := func() (raw []byte, scb []float32, err error) {
		if scb, err = scales.values(); err == nil {
			raw, err = codes.all()
		}
		return raw, scb, err
	}
	if tensor.Fits(tensor.INT8, s.shape) {
		return &stored{file: s.file, dtype: blocks.INT8.Name, shape: s.shape, whole: func() ([]byte, error) {
			raw, scb, err := read()
			if err != nil {
				return nil, err
			}
			return blocks.PackInt8(raw, scb), nil
		}}, nil
	}
	return widened(s, func(dst []float32) error {
		raw, scb, err := read()
		if err == nil {
			blocks.DecodeInt8(dst, raw, scb)
		}
		return err
	}, s.shape), nil
}

// widened is a float32 tensor that decode computes when it is read.
func widened(from *stored, decode func(dst []float32) error, shape []int) *stored {
	return &stored{file: from.file, dtype: "F32", shape: shape, whole: func() ([]byte, error) {
		x := make([]float32, elements(shape))
		if err := decode(x); err != nil || len(x) == 0 {
			return nil, err
		}
		return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x)), nil
	}}
}

// quantizationAt reads what a checkpoint's folder says about its quantisation: in config.json, or in
// quantize_config.json.
func quantizationAt(path string) (q quantization, err error) {
	dir := path
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		dir = filepath.Dir(path)
	}
	var config struct {
		Quantization json.RawMessage `json:"quantization_config"`
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return q, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if raw = config.Quantization; raw == nil {
		if raw, err = os.ReadFile(filepath.Join(dir, "quantize_config.json")); err != nil {
			return q, fmt.Errorf("neither config.json nor quantize_config.json in %s says how it is quantised", dir)
		}
		q.Method = "gptq" // the only one that had this file
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return q, fmt.Errorf("quantization_config: %w", err)
	}
	full, _ := json.Marshal(q)
	return q, SupportedQuantization(full)
}

// packed is a weight of GPTQ or AWQ, whose tensors' names begin with stem.
func (w *Weights) packed(stem string) (*stored, error) {
	q, err := quantizationAt(w.path)
	if err != nil {
		return nil, err
	}
	s := w.stored[stem+"qweight"]
	if s.dtype != "I32" || len(s.shape) != 2 || q.Bits < 2 {
		return nil, fmt.Errorf("qweight is %s %v with %d bits: it must be an I32 matrix", s.dtype, s.shape, q.Bits)
	}
	in, out := s.shape[0]*32/q.Bits, s.shape[1]
	if q.Method == "awq" {
		in, out = s.shape[0], s.shape[1]*8
	}
	size := q.GroupSize
	if size <= 0 {
		size = in
	}
	groups := (in + max(size, 1) - 1) / max(size, 1)
	p := parts{w: w}
	weight, zeros := p.take(stem+"qweight", "I32", -1), p.take(stem+"qzeros", "I32", groups*out*q.Bits/32)
	scales := p.take(stem+"scales", "F16 F32 BF16", groups*out)
	var index *stored
	if w.stored[stem+"g_idx"] != nil {
		index = p.take(stem+"g_idx", "I32", in)
	}
	if p.err != nil {
		return nil, p.err
	}
	return widened(weight, func(dst []float32) error {
		b := blocks.Packed{In: in, Out: out, Bits: q.Bits, AWQ: q.Method == "awq", ZerosAsIs: q.Checkpoint == "gptq_v2",
			Group: make([]int32, in)}
		var err error
		if b.Weight, err = weight.words(); err != nil {
			return err
		}
		if b.Zeros, err = zeros.words(); err != nil {
			return err
		}
		if b.Scales, err = scales.values(); err != nil {
			return err
		}
		for i := range b.Group {
			b.Group[i] = int32(i / size)
		}
		if index != nil {
			if b.Group, err = index.words(); err != nil {
				return err
			}
		}
		for i, g := range b.Group {
			if g < 0 || int(g) >= groups {
				return fmt.Errorf("g_idx of input %d is %d: there are %d groups", i, g, groups)
			}
		}
		b.Decode(dst)
		return nil
	}, []int{out, in}), nil
}

// quantState is the JSON that bitsandbytes keeps beside a weight of 4 bits.
type quantState struct {
	Type       string  `json:"quant_type"`
	BlockSize  int     `json:"blocksize"`
	Shape      []int   `json:"shape"`
	BlockSize8 int     `json:"nested_blocksize"`
	Offset     float64 `json:"nested_offset"`
}

// bitsandbytes4 is a weight of 4 bits. It stays in blocks if they can hold it exactly, and is float32 otherwise.
func (w *Weights) bitsandbytes4(name, stateName, kind string) (*stored, error) {
	p := parts{w: w}
	raw := w.stored[stateName]
	if raw.dtype != "U8" || elements(raw.shape) > 1<<20 {
		return nil, fmt.Errorf("quant_state is %s %v: it must be JSON in U8", raw.dtype, raw.shape)
	}
	text, err := p.take(stateName, "U8", -1).all()
	if err != nil {
		return nil, err
	}
	var q quantState
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, fmt.Errorf("quant_state: %w", err)
	}
	n, err := q.check(kind)
	if err != nil {
		return nil, err
	}
	count := (n + q.BlockSize - 1) / q.BlockSize
	codes := w.stored[name]
	if codes == nil || codes.size() < int64(n+1)/2 || codes.size() > int64(n+1)/2+7 {
		return nil,
			fmt.Errorf("its packed codes are missing or of another size than the shape %v in quant_state asks for",
				q.Shape)
	}
	delete(w.stored, name)
	table := p.take(name+".quant_map", "F32", 16)
	var absmax, codes8, scales8, table8 *stored
	if q.BlockSize8 > 0 {
		codes8, table8 = p.take(name+".absmax", "U8", count), p.take(name+".nested_quant_map", "F32", 256)
		scales8 = p.take(name+".nested_absmax", "F32", (count+q.BlockSize8-1)/q.BlockSize8)
	} else {
		absmax = p.take(name+".absmax", "F32", count)
	}
	if p.err != nil {
		return nil, p.err
	}
	read := func() (*blocks.Parts, error) {
		b := &blocks.Parts{BlockSize: q.BlockSize, BlockSize8: q.BlockSize8, Offset: float32(q.Offset)}
		var t []float32
		var err error
		b.Codes, err = codes.all()
		for _, x := range []struct {
			from *stored
			to   *[]float32
		}{{table, &t}, {absmax, &b.Absmax}, {scales8, &b.Scales8}, {table8, &b.Table8}} {
			if err == nil && x.from != nil {
				*x.to, err = x.from.values()
			}
		}
		if err == nil && codes8 != nil {
			b.Codes8, err = codes8.all()
		}
		if err != nil {
			return nil, err
		}
		b.Table = [16]float32(t)
		return b, nil
	}
	tables := func() (*blocks.Parts, error) { // without what is large
		b := &blocks.Parts{BlockSize: q.BlockSize, BlockSize8: q.BlockSize8}
		t, err := table.values()
		if err == nil && table8 != nil {
			b.Codes8 = []byte{}
			b.Table8, err = table8.values()
		}
		if err != nil {
			return nil, err
		}
		b.Table = [16]float32(t)
		return b, nil
	}
	if f := blockFormat(tables); f != nil {
		return &stored{file: codes.file, dtype: f.Name, shape: q.Shape, whole: func() ([]byte, error) {
			b, err := read()
			if err != nil {
				return nil, err
			}
			return b.Pack(f, n), nil
		}}, nil
	}
	return widened(codes, func(dst []float32) error {
		b, err := read()
		if err == nil {
			b.Decode(dst)
		}
		return err
	}, q.Shape), nil
}

// check returns the number of elements.
func (q *quantState) check(kind string) (n int, err error) {
	n = 1
	for _, d := range q.Shape {
		if d <= 0 || d > math.MaxInt32 || n > math.MaxInt/d/4 {
			return 0, fmt.Errorf("quant_state: shape %v", q.Shape)
		}
		n *= d
	}
	switch {
	case len(q.Shape) != 2:
		return 0, fmt.Errorf("quant_state: shape %v is no matrix", q.Shape)
	case q.Type != kind || kind != "nf4" && kind != "fp4":
		return 0, fmt.Errorf("quant_state: quant_type %q in the tensor of %q (nf4 and fp4 are known)", q.Type, kind)
	case q.BlockSize < 2 || q.BlockSize > 1<<20 || q.BlockSize%2 != 0:
		return 0, fmt.Errorf("quant_state: blocksize %d", q.BlockSize)
	case q.BlockSize8 < 0 || q.BlockSize8 > 1<<20 || q.Offset != q.Offset:
		return 0, fmt.Errorf("quant_state: nested_blocksize %d, nested_offset %v", q.BlockSize8, q.Offset)
	}
	return n, nil
}

// blockFormat is the format whose blocks hold the parts exactly, nil if there is none: the tables in the file must be
// the usual ones.
func blockFormat(read func() (*blocks.Parts, error)) *blocks.Format {
	b, err := read()
	if err != nil {
		return nil // reading will say so
	}
	tries := []*blocks.Format{blocks.NF4D, blocks.NF4}
	if b.Table == blocks.Float4 {
		tries = []*blocks.Format{blocks.FP4D, blocks.FP4}
	} else if b.Table != blocks.NormalFloat {
		return nil
	}
	for _, f := range tries {
		if b.Fits(f) {
			return f
		}
	}
	return nil
}
