package nn

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// Weights are the tensors of a checkpoint on the disk, by name. Nothing is in memory until it is read.
// Reading tensors is safe for concurrent use; renaming them and Close are not.
type Weights struct {
	path   string
	stored map[string]*stored
	close  func() error
}

// stored is a tensor on the disk.
type stored struct {
	file  string
	dtype string // as safetensors spells it, or the name of a block format
	shape []int

	read   func(p []byte, off int64) error // reads bytes from offset off on; or
	whole  func() ([]byte, error)          // all bytes, for a tensor that does not lie in the file in one piece
	mapped func() ([]byte, error)          // the bytes in a read-only mapping; nil: there is none
}

func (s *stored) size() int64 {
	if f := blocks.ByName(s.dtype); f != nil {
		return int64(f.Bytes(elements(s.shape)))
	}
	n, _ := safetensors.Size(s.dtype, s.shape) // the readers have checked it
	return n
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// OpenWeights opens the checkpoint at path: a folder that holds model.safetensors or the shards of
// model.safetensors.index.json, else pytorch_model.bin or its shards; an index; or one file of any name, safetensors,
// torch.save's or GGUF (or a part of a split GGUF model, whose other parts are opened too). Of torch.save's nothing
// runs: a file that asks for more than tensors is refused. The prefixes with which programs that wrap a model store it
// (module., _orig_mod.) are taken off if every name has one. What bitsandbytes, GPTQ or AWQ keep of a weight in several
// tensors becomes one of the weight's name. Its errors name the file and what is wrong with it. Close it after loading.
func OpenWeights(path string) (*Weights, error) {
	w, err := openWeights(path)
	if err != nil {
		return nil, err
	}
	w.unwrap()
	if err := w.prequantized(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// WithWeights opens the checkpoint at path for load and closes it afterwards. alias is [LoadOptions].Alias: tensors
// that share the file's mapping need it for as long as they live, so that it stays open unless load fails.
func WithWeights(path string, alias bool, load func(w *Weights) error) error {
	w, err := OpenWeights(path)
	if err != nil {
		return err
	}
	if err = load(w); err != nil || !alias {
		w.Close()
	}
	return err
}

// unwrap takes off what DistributedDataParallel (module.) and torch.compile (_orig_mod.) put before all names.
func (w *Weights) unwrap() {
	for _, prefix := range []string{"module.", "_orig_mod.", "module."} {
		next := map[string]*stored{}
		for name, s := range w.stored {
			if tail, ok := strings.CutPrefix(name, prefix); ok && tail != "" {
				next[tail] = s
			}
		}
		if len(next) == len(w.stored) {
			w.stored = next
		}
	}
}

func openWeights(path string) (*Weights, error) {
	if gguf.IsFile(path) {
		return openGGUF(path)
	}
	torch, owner, err := torchFiles(path)
	if len(torch) > 0 && err == nil {
		return openTorch(path, torch, owner)
	}
	var set *safetensors.Set
	if err == nil {
		set, err = safetensors.OpenDir(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open weights: %w", err)
	case err != nil:
		return nil, err
	}
	w := &Weights{path: path, stored: map[string]*stored{}, close: set.Close}
	for _, name := range set.Names() {
		f := set.File(name)
		info, _ := f.Info(name)
		w.stored[name] = &stored{file: f.Path(), dtype: info.DType, shape: info.Shape,
			read:   func(p []byte, off int64) error { return f.ReadAt(info, p, off) },
			mapped: func() ([]byte, error) { return f.Bytes(name) }}
	}
	return w, nil
}

// Path is what the weights were opened by.
func (w *Weights) Path() string { return w.path }

// Close closes the files. Tensors that alias them ([LoadOptions].Alias) must not be used any more.
func (w *Weights) Close() error { return w.close() }

// Names lists the tensors, sorted.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.stored)) }

// Has reports whether there is a tensor of that name.
func (w *Weights) Has(name string) bool { return w.stored[name] != nil }

// Shape is a tensor's shape, or nil if there is none of that name.
func (w *Weights) Shape(name string) []int {
	if s := w.stored[name]; s != nil {
		return append([]int{}, s.shape...)
	}
	return nil
}

// DType is how a tensor is stored, as the safetensors format spells it (F32, F16, BF16, I64, …) or a block format's
// name (Q4_K, …), or "" if there is none of that name.
func (w *Weights) DType(name string) string {
	if s := w.stored[name]; s != nil {
		return s.dtype
	}
	return ""
}

// Read reads a tensor as dt: any floating-point storage as float32 or bfloat16, integers as int32 if they fit. It is no
// parameter.
func (w *Weights) Read(name string, dt tensor.DType) (*tensor.Tensor, error) {
	s := w.stored[name]
	if s == nil {
		return nil, fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if err := convertible(s.dtype, dt); err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", s.file, name, err)
	}
	if dt.Quantized() && !tensor.Fits(dt, s.shape) {
		return nil, fmt.Errorf("%s: tensor %q %v: rows of %v must be multiples of %d", s.file, name, s.shape, dt,
			dt.Blocks().Length)
	}
	t := tensor.NewOf(dt, s.shape...)
	return t, fetch([]job{{name, s, t}})
}

// equal reports whether two tensors have the same elements, stored alike.
func (w *Weights) equal(a, b string) (bool, error) {
	s, t := w.stored[a], w.stored[b]
	if s.dtype != t.dtype || !slices.Equal(s.shape, t.shape) {
		return false, nil
	}
	if s.whole != nil || t.whole != nil {
		x, err := s.all()
		if err != nil {
			return false, err
		}
		y, err := t.all()
		return bytes.Equal(x, y), err
	}
	x, y := make([]byte, piece), make([]byte, piece)
	for off := int64(0); off < s.size(); off += piece {
		n := min(piece, s.size()-off)
		if err := errors.Join(s.read(x[:n], off), t.read(y[:n], off)); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// Rename gives every tensor the name that f makes of it, and drops those of which it makes "". Two that become one are
// an error.
func (w *Weights) Rename(f func(name string) string) error {
	next, from := map[string]*stored{}, map[string]string{}
	for _, old := range w.Names() {
		name := f(old)
		if name == "" {
			continue
		}
		if other, ok := from[name]; ok {
			return fmt.Errorf("%s: both %q and %q are %q", w.path, other, old, name)
		}
		next[name], from[name] = w.stored[old], old
	}
	w.stored = next
	return nil
}

// SplitRows replaces a tensor by equal parts of it along axis 0, such as a fused projection by those of queries, keys
// and values.
func (w *Weights) SplitRows(name string, into ...string) error {
	s := w.stored[name]
	if s == nil {
		return fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if len(s.shape) == 0 || s.shape[0]%len(into) != 0 || s.read == nil {
		return fmt.Errorf("%s: tensor %q %v cannot be split into %d parts", s.file, name, s.shape, len(into))
	}
	delete(w.stored, name)
	for i, part := range into {
		p := *s
		p.shape = append([]int{s.shape[0] / len(into)}, s.shape[1:]...)
		size := p.size()
		from := int64(i) * size
		p.read = func(b []byte, off int64) error { return s.read(b, from+off) }
		if s.mapped != nil {
			p.mapped = func() ([]byte, error) {
				b, err := s.mapped()
				if err != nil {
					return nil, err
				}
				return b[from : from+size], nil
			}
		}
		w.stored[part] = &p
	}
	return nil
}

// PermuteRows reorders a tensor along axis 0: row i becomes what row from(i) of the file is.
func (w *Weights) PermuteRows(name string, from func(i int) int) error {
	s := w.stored[name]
	if s == nil {
		return fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if len(s.shape) == 0 || s.read == nil || s.shape[0] == 0 {
		return fmt.Errorf("%s: tensor %q %v has no rows to reorder", s.file, name, s.shape)
	}
	row := s.size() / int64(s.shape[0]) // bytes
	p := *s
	p.mapped = nil
	p.read = func(b []byte, off int64) error {
		for len(b) > 0 {
			n := min(int64(len(b)), row-off%row)
			if err := s.read(b[:n], int64(from(int(off/row)))*row+off%row); err != nil {
				return err
			}
			b, off = b[n:], off+n
		}
		return nil
	}
	w.stored[name] = &p
	return nil
}

// Transpose turns a stored matrix around.
func (w *Weights) Transpose(name string) error {
	s := w.stored[name]
	if s == nil {
		return fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if len(s.shape) != 2 || blocks.ByName(s.dtype) != nil {
		return fmt.Errorf("%s: tensor %q, %s %v, is no matrix to transpose", s.file, name, s.dtype, s.shape)
	}
	rows, cols := s.shape[0], s.shape[1]
	w.stored[name] = &stored{file: s.file, dtype: s.dtype, shape: []int{cols, rows}, whole: func() ([]byte, error) {
		from, err := s.all()
		if err != nil || len(from) == 0 {
			return from, err
		}
		to, size := make([]byte, len(from)), len(from)/(rows*cols)
		for i := range rows {
			for j := range cols {
				copy(to[(j*rows+i)*size:][:size], from[(i*cols+j)*size:])
			}
		}
		return to, nil
	}}
	return nil
}

// Reshape gives a tensor another shape of as many elements.
func (w *Weights) Reshape(name string, shape ...int) error {
	s := w.stored[name]
	if s == nil {
		return fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if slices.ContainsFunc(shape, func(n int) bool { return n < 0 }) || elements(shape) != elements(s.shape) ||
		blocks.ByName(s.dtype) != nil {
		return fmt.Errorf("%s: tensor %q, %s %v, has no shape %v", s.file, name, s.dtype, s.shape, shape)
	}
	p := *s
	p.shape = slices.Clone(shape)
	w.stored[name] = &p
	return nil
}

// ZeroRows puts n rows of zeros before the first of a matrix.
func (w *Weights) ZeroRows(name string, n int) error {
	s := w.stored[name]
	if s == nil {
		return fmt.Errorf("%s: no tensor %q", w.path, name)
	}
	if len(s.shape) != 2 || s.shape[0] == 0 || s.read == nil || blocks.ByName(s.dtype) != nil {
		return fmt.Errorf("%s: tensor %q, %s %v, is no matrix that rows can be put before", s.file, name, s.dtype, s.shape)
	}
	zeros := s.size() / int64(s.shape[0]) * int64(n) // bytes
	p := *s
	p.shape, p.mapped = []int{s.shape[0] + n, s.shape[1]}, nil
	p.read = func(b []byte, off int64) error {
		k := min(max(zeros-off, 0), int64(len(b)))
		clear(b[:k])
		if b = b[k:]; len(b) == 0 {
			return nil
		}
		return s.read(b, off+k-zeros)
	}
	w.stored[name] = &p
	return nil
}

// all reads a whole tensor.
func (s *stored) all() ([]byte, error) {
	if s.whole != nil {
		return s.whole()
	}
	p := make([]byte, s.size())
	return p, s.read(p, 0)
}
