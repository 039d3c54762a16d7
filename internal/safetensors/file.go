// Package safetensors reads and writes the safetensors format: named tensors as raw bytes behind a JSON header. It
// knows nothing of what the bytes mean. Format: 8 bytes little-endian N, N bytes of JSON, data;
// https://github.com/huggingface/safetensors.
package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/mapfile"
)

// File is an open safetensors file. Its methods may be called from several goroutines, but not after or during Close.
type File struct {
	path  string
	file  *os.File
	start int64 // of the data section
	mem   []byte
	*header
	index map[string]int
}

// Open maps a file into memory and checks its header. A file that is not exactly what its header says is an error. The
// file must not be cut short while it is open.
func Open(path string) (*File, error) {
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, err
	}
	s, err := open(path, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func open(path string, f *os.File) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, start, err := readHeader(f, st.Size())
	if err != nil {
		return nil, err
	}
	s := &File{path: path, file: f, start: start, header: h, index: make(map[string]int, len(h.tensors))}
	for i, t := range h.tensors {
		s.index[t.Name] = i
	}
	s.mem, err = mapfile.Map(f, st.Size())
	return s, err
}

// readHeader reads the header of a file of size bytes and returns where its data begins.
func readHeader(r io.ReaderAt, size int64) (*header, int64, error) {
	var first [64]byte
	got, err := r.ReadAt(first[:], 0)
	if err != nil && err != io.EOF {
		return nil, 0, err
	}
	if err := jsonfile.Pointer(first[:got]); err != nil {
		return nil, 0, err
	}
	head := first[:8]
	if size < int64(len(head)) {
		return nil, 0, fmt.Errorf("%d bytes are too few for a safetensors file", size)
	}
	n := binary.LittleEndian.Uint64(head)
	switch {
	case n > MaxHeader:
		return nil, 0, fmt.Errorf("header of %d bytes is above the limit of %d: is it a safetensors file?", n,
			MaxHeader)
	case int64(n) > size-8:
		return nil, 0, fmt.Errorf("header of %d bytes in a file of %d: the file is cut off", n, size)
	}
	raw := make([]byte, n)
	if _, err := r.ReadAt(raw, 8); err != nil {
		return nil, 0, err
	}
	h, err := parseHeader(raw, size-8-int64(n))
	return h, 8 + int64(n), err
}

// Path is the name that the file was opened by.
func (f *File) Path() string { return f.path }

// Names lists the tensors in the order in which they lie in the file.
func (f *File) Names() []string {
	names := make([]string, len(f.tensors))
	for i, t := range f.tensors {
		names[i] = t.Name
	}
	return names
}

// Metadata is a copy of the free text fields of the header.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Info describes a tensor; false: there is none of that name. Its Shape is shared and must not be changed.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i], true
}

// Bytes is a tensor's memory, little-endian. Where files can be mapped it lies in a read-only mapping, to which a write
// is a fault, and is valid until Close; elsewhere it is read anew. The address has the alignment of the file's offset,
// which may be odd.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.Info(name)
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", f.path, name)
	}
	if f.mem != nil {
		return f.mem[f.start+t.Begin : f.start+t.End : f.start+t.End], nil
	}
	if int64(int(t.End-t.Begin)) != t.End-t.Begin {
		return nil, fmt.Errorf("%s: tensor %q does not fit into memory", f.path, name)
	}
	p := make([]byte, t.End-t.Begin)
	return p, f.ReadAt(t, p, 0)
}

// ReadAt fills p with the bytes of t from offset off on, by reading the file: unlike [File.Bytes], it leaves no pages
// of the mapping in memory.
func (f *File) ReadAt(t Info, p []byte, off int64) error {
	if off < 0 || off > t.End-t.Begin || int64(len(p)) > t.End-t.Begin-off {
		return fmt.Errorf("%s: tensor %q: bytes %d to %d of %d", f.path, t.Name, off, off+int64(len(p)), t.End-t.Begin)
	}
	if len(p) == 0 {
		return nil
	}
	if _, err := f.file.ReadAt(p, f.start+t.Begin+off); err != nil {
		return fmt.Errorf("%s: tensor %q: %w", f.path, t.Name, err)
	}
	return nil
}

// Close ends the mapping: what Bytes returned must not be used any more.
func (f *File) Close() error {
	err := mapfile.Unmap(f.mem)
	f.mem = nil
	return errors.Join(err, f.file.Close())
}
