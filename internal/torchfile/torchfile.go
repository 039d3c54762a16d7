// Package torchfile reads the tensors that torch.save has written, in the zip format and in that before PyTorch 1.6,
// without running anything of what such a file holds: a pickle is a program, and this package knows only the few names
// that weights need. It knows nothing of what the tensors mean.
package torchfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/mapfile"
)

// File is an open file. Its methods may be called from several goroutines, but not after or during Close.
type File struct {
	path    string
	file    io.ReaderAt
	size    int64
	tensors map[string]*view
	places  map[string]*storage
	close   func() error
}

// Info describes a tensor.
type Info struct {
	DType string // as the safetensors format spells it
	Shape []int
	At    int64 // where its bytes begin in the file, if they lie there in one piece, row by row; else −1
}

// Open reads what the file says about its tensors: a dictionary from names to tensors, as state_dict() is. The file
// must not be changed while it is open.
func Open(path string) (*File, error) {
	file, err := mapfile.Regular(path)
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	var f *File
	if err == nil {
		f, err = read(path, file, st.Size())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	f.close = file.Close
	return f, nil
}

// read opens what r holds.
func read(path string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{path: path, file: r, size: size, tensors: map[string]*view{}, places: map[string]*storage{}}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Sniff reports whether a file begins like one of torch.save's.
func Sniff(path string) bool {
	f, err := mapfile.Regular(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 32)
	n, _ := io.ReadFull(f, head)
	return bytes.HasPrefix(head[:n], []byte(zipMagic)) || n > 0 && head[0] == 0x80 &&
		bytes.Contains(head[:n], []byte(legacyMagic))
}

const zipMagic = "PK\x03\x04"

func (f *File) open() error {
	head := make([]byte, 64)
	n, _ := f.file.ReadAt(head, 0)
	if err := jsonfile.Pointer(head[:n]); err != nil {
		return err
	}
	if head = head[:4]; n < len(head) {
		return fmt.Errorf("%d bytes are too few for a file of torch.save", f.size)
	}
	var v any
	var err error
	switch {
	case string(head) == zipMagic:
		v, err = f.openZip()
	case head[0] == 0x80:
		v, err = f.openLegacy()
	default:
		err = errors.New("is neither a zip nor a pickle of torch.save")
	}
	if err != nil {
		return err
	}
	return f.collect(v)
}

// collect takes the tensors out of the dictionary, or out of one that is all that it holds, as {"model": …} of LAVIS.
func (f *File) collect(v any) error {
	d, ok := v.(*dict)
	if !ok {
		return fmt.Errorf("holds %s instead of a dict of tensors", kind(v))
	}
	if len(d.values) == 1 {
		if inner, ok := d.values[0].(*dict); ok {
			d = inner
		}
	}
	for i, k := range d.keys {
		name, ok := k.(string)
		if !ok {
			return fmt.Errorf("has %s as the name of a tensor", kind(k))
		}
		t, ok := d.values[i].(*view)
		if !ok {
			return fmt.Errorf("%q is %s instead of a tensor", name, kind(d.values[i]))
		}
		if !t.storage.found {
			return fmt.Errorf("tensor %q: its storage %q is not in the file", name, t.storage.key)
		}
		if f.tensors[name] != nil {
			return fmt.Errorf("tensor %q occurs twice", name)
		}
		f.tensors[name] = t
	}
	return nil
}

// persistent resolves what a pickle calls a storage.
func (f *File) persistent(id any) (any, error) {
	t, ok := id.(tuple)
	if !ok || len(t) < 5 || t[0] != "storage" {
		return nil, errors.New("a persistent id that is no storage")
	}
	g, ok := t[1].(global)
	key, ok2 := t[2].(string)
	n, ok3 := t[4].(int64)
	if !ok || !ok2 || !ok3 || dtypes[g] == "" || n < 0 {
		return nil, errors.New("a storage whose description makes no sense")
	}
	if len(t) > 5 && t[5] != nil {
		return nil, errors.New("a view of a storage as PyTorch before 0.4 wrote it is not supported")
	}
	if n > f.size { // every element takes at least one byte
		return nil, fmt.Errorf("storage %q of %d elements in a file of %d bytes", key, n, f.size)
	}
	if s := f.places[key]; s != nil {
		if s.dtype != dtypes[g] || s.len != n {
			return nil, fmt.Errorf("storage %q is described in two ways", key)
		}
		return s, nil
	}
	s := &storage{key: key, dtype: dtypes[g], len: n}
	f.places[key] = s
	return s, nil
}

// Path is the name that the file was opened by.
func (f *File) Path() string { return f.path }

// Names lists the tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Info describes a tensor; false: there is none of that name. Its Shape is shared and must not be changed.
func (f *File) Info(name string) (Info, bool) {
	t := f.tensors[name]
	if t == nil {
		return Info{}, false
	}
	i := Info{DType: t.storage.dtype, Shape: t.shape, At: -1}
	if t.contiguous() {
		i.At = t.storage.at + size(t.storage.dtype, t.offset)
	}
	return i, true
}

// ReadAt fills p with the file's bytes from off on.
func (f *File) ReadAt(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := f.file.ReadAt(p, off); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// Bytes reads a tensor, row by row, little-endian, however it lies in the file.
func (f *File) Bytes(name string) ([]byte, error) {
	t := f.tensors[name]
	if t == nil {
		return nil, fmt.Errorf("%s: no tensor %q", f.path, name)
	}
	w := size(t.storage.dtype, 1)
	out := make([]byte, t.len()*w)
	if len(out) == 0 {
		return out, nil
	}
	if t.contiguous() {
		return out, f.ReadAt(out, t.storage.at+t.offset*w)
	}
	last := t.offset
	for i, d := range t.shape {
		last += int64(d-1) * t.strides[i]
	}
	from := make([]byte, (last-t.offset+1)*w)
	if err := f.ReadAt(from, t.storage.at+t.offset*w); err != nil {
		return nil, err
	}
	index := make([]int, len(t.shape))
	at := int64(0) // element of from
	for to := int64(0); to < int64(len(out)); to += w {
		copy(out[to:to+w], from[at*w:])
		for i := len(index) - 1; i >= 0; i-- {
			index[i]++
			at += t.strides[i]
			if index[i] < t.shape[i] {
				break
			}
			at -= int64(t.shape[i]) * t.strides[i]
			index[i] = 0
		}
	}
	return out, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close() }
