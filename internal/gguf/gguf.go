// Package gguf reads and writes GGUF files, the format of llama.cpp: typed metadata by key, and named tensors, many of
// them in blocks of small integers. Source: the GGUF specification, and ggml's gguf.cpp for what it leaves open.
//
// A file is mapped into memory and checked as a whole before anything is allocated that its numbers announce: counts
// and lengths against the bytes that are left, products against overflow, tensors against the file's end and each
// other.
package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/mapfile"
)

// Kind is the type of a metadata value.
type Kind uint32

// The types in the order of their numbers in a file.
const (
	Uint8 Kind = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

var kindNames = [...]string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array",
	"uint64", "int64", "float64"}

// String is the type's name in gguf-py's spelling.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("type %d", uint32(k))
}

// size is the bytes of a value of a fixed size, else 0.
func (k Kind) size() int {
	switch k {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	}
	return 0
}

// File is an open file. It is safe for concurrent use until it is closed.
type File struct {
	Version   uint32
	Alignment int // of the tensors' offsets, in bytes
	DataStart int // where the data begins, in bytes

	path    string
	keys    []string
	values  map[string]Value
	tensors []Tensor
	names   map[string]int
	memory  *mapfile.File
}

// Tensor is an entry of the tensor list.
type Tensor struct {
	Name   string
	Type   Type
	Shape  []int // outermost first, as in PyTorch; a file stores the reverse
	Offset int   // of the data from the start of the file, in bytes
	Size   int   // bytes
}

// Open maps the file at path and checks it. Errors name the file, and the key, tensor or byte that is wrong. Close it
// when no tensor's bytes are used any more.
func Open(path string) (*File, error) {
	m, err := mapfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open GGUF: %w", err)
	}
	f := &File{path: path, memory: m, values: map[string]Value{}, names: map[string]int{}}
	if err := f.parse(m.Bytes()); err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// IsFile reports whether the file at path begins as a GGUF file does.
func IsFile(path string) bool {
	f, err := mapfile.Regular(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	n, _ := f.Read(magic[:])
	return n == 4 && string(magic[:]) == "GGUF"
}

// Path is what the file was opened by.
func (f *File) Path() string { return f.path }

// Close unmaps the file.
func (f *File) Close() error { return f.memory.Close() }

// Keys lists the metadata's keys in the file's order.
func (f *File) Keys() []string { return f.keys }

// Value is the value of a key.
func (f *File) Value(key string) (v Value, ok bool) {
	v, ok = f.values[key]
	return v, ok
}

// Tensors lists the tensors in the file's order.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor is the tensor of that name.
func (f *File) Tensor(name string) (t Tensor, ok bool) {
	i, ok := f.names[name]
	if ok {
		t = f.tensors[i]
	}
	return t, ok
}

// Bytes is a tensor's data in the mapping, read-only.
func (f *File) Bytes(t Tensor) []byte { return f.memory.Bytes()[t.Offset:][:t.Size:t.Size] }

const (
	magic      = "GGUF"
	pairLeast  = 8 + 4 + 1         // bytes of the shortest pair, with an empty key
	infoLeast  = 8 + 4 + 8 + 4 + 8 // bytes of the shortest tensor entry but for its name
	longestKey = 1<<16 - 1
	longest    = 63 // bytes of a tensor's name, as in ggml
)

// reader takes a file apart, front to back.
type reader struct {
	b  []byte
	at int
}

// take is the next n bytes.
func (r *reader) take(n uint64, what string) ([]byte, error) {
	if n > uint64(len(r.b)-r.at) {
		return nil, fmt.Errorf("%s: %d bytes at byte %d, but only %d are left", what, n, r.at, len(r.b)-r.at)
	}
	p := r.b[r.at:][:n:n]
	r.at += int(n)
	return p, nil
}

func (r *reader) u32(what string) (uint32, error) {
	p, err := r.take(4, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(p), nil
}

func (r *reader) u64(what string) (uint64, error) {
	p, err := r.take(8, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(p), nil
}

func (r *reader) text(what string) ([]byte, error) {
	n, err := r.u64("length of " + what)
	if err != nil {
		return nil, err
	}
	return r.take(n, what)
}

func (f *File) parse(b []byte) error {
	r := &reader{b: b}
	head, err := r.take(4, "magic")
	switch {
	case err != nil:
		return fmt.Errorf("no GGUF file: it has %d bytes", len(b))
	case string(head) != magic:
		return fmt.Errorf("no GGUF file: it begins with %q", head)
	}
	if f.Version, err = r.u32("version"); err != nil {
		return err
	}
	switch {
	case f.Version == 2<<24 || f.Version == 3<<24:
		return fmt.Errorf("a big-endian GGUF file: convert it with gguf-py's gguf_convert_endian.py")
	case f.Version != 2 && f.Version != 3:
		return fmt.Errorf("version %d of GGUF is not supported: 2 and 3 are", f.Version)
	}
	tensors, err := r.u64("number of tensors")
	if err != nil {
		return err
	}
	pairs, err := r.u64("number of metadata pairs")
	if err != nil {
		return err
	}
	left := uint64(len(b) - r.at)
	if pairs > left/pairLeast || tensors > left/infoLeast {
		return fmt.Errorf("it announces %d metadata pairs and %d tensors, which %d bytes cannot hold", pairs, tensors,
			left)
	}
	for range pairs {
		if err := f.pair(r); err != nil {
			return err
		}
	}
	if err := f.align(); err != nil {
		return err
	}
	for i := range tensors {
		if err := f.info(r, int(i)); err != nil {
			return err
		}
	}
	return f.place(r.at, len(b))
}

func (f *File) pair(r *reader) error {
	at := r.at
	raw, err := r.text("a key")
	if err != nil {
		return err
	}
	key := string(raw)
	switch _, twice := f.values[key]; {
	case key == "":
		return fmt.Errorf("empty key at byte %d", at)
	case len(raw) > longestKey:
		return fmt.Errorf("key of %d bytes at byte %d: %d is the limit", len(raw), at, longestKey)
	case !utf8.Valid(raw):
		return fmt.Errorf("key %q at byte %d is no UTF-8", key, at)
	case twice:
		return fmt.Errorf("key %q is there twice, again at byte %d", key, at)
	}
	kind, err := r.u32("type of " + key)
	if err != nil {
		return err
	}
	v, err := r.value(Kind(kind), key)
	if err != nil {
		return err
	}
	f.keys, f.values[key] = append(f.keys, key), v
	return nil
}

func (f *File) align() error {
	const key = "general.alignment"
	f.Alignment = 32
	v, ok := f.values[key]
	if !ok {
		return nil
	}
	n, fits := v.Uint()
	if v.Kind != Uint32 || !fits || n < 8 || n > 65536 || n&(n-1) != 0 {
		return fmt.Errorf("%s is %s: it must be a uint32, a power of two from 8 to 65536", key, v)
	}
	f.Alignment = int(n)
	return nil
}

// info reads one entry of the tensor list. Its offset is still from the start of the data.
func (f *File) info(r *reader, i int) error {
	what := fmt.Sprintf("tensor %d", i)
	raw, err := r.text("the name of " + what)
	if err != nil {
		return err
	}
	if len(raw) == 0 || len(raw) > longest || !utf8.Valid(raw) {
		return fmt.Errorf("%s has a name of %d bytes: it must be UTF-8 of 1 to %d", what, len(raw), longest)
	}
	t := Tensor{Name: string(raw)}
	what = fmt.Sprintf("tensor %q", t.Name)
	if _, twice := f.names[t.Name]; twice {
		return fmt.Errorf("%s is there twice", what)
	}
	rank, err := r.u32("dimensions of " + what)
	if err != nil {
		return err
	}
	if rank < 1 || rank > 4 {
		return fmt.Errorf("%s has %d dimensions: 1 to 4 are possible", what, rank)
	}
	count := uint64(1)
	for range rank {
		d, err := r.u64("dimensions of " + what)
		if err != nil {
			return err
		}
		if d == 0 || d > math.MaxInt64/8/count {
			return fmt.Errorf("%s: dimension %d (after %v): 0, or too many elements", what, d, t.Shape)
		}
		count *= d
		t.Shape = append(t.Shape, int(d))
	}
	row := t.Shape[0]
	slices.Reverse(t.Shape)
	id, err := r.u32("type of " + what)
	if err != nil {
		return err
	}
	offset, err := r.u64("offset of " + what)
	if err != nil {
		return err
	}
	t.Type = Type(id)
	block, size := t.Type.layout()
	switch {
	case block == 0:
		return fmt.Errorf("%s is of %s, which is not supported", what, t.Type)
	case row%block != 0:
		return fmt.Errorf("%s %v: rows of %s must be multiples of %d", what, t.Shape, t.Type, block)
	case count/uint64(block) > math.MaxInt64/uint64(size):
		return fmt.Errorf("%s %v is too large", what, t.Shape)
	case offset%uint64(f.Alignment) != 0:
		return fmt.Errorf("%s begins at byte %d of the data, no multiple of the alignment %d", what, offset,
			f.Alignment)
	case offset > uint64(len(r.b)):
		return fmt.Errorf("%s begins at byte %d of the data, after the file's end", what, offset)
	}
	t.Size = int(count) / block * size
	t.Offset = int(offset)
	f.names[t.Name] = len(f.tensors)
	f.tensors = append(f.tensors, t)
	return nil
}

// place turns offsets into those from the start of the file, and checks that tensors lie inside it and apart.
func (f *File) place(listEnd, size int) error {
	f.DataStart = (listEnd + f.Alignment - 1) / f.Alignment * f.Alignment
	order := make([]int, len(f.tensors))
	for i := range f.tensors {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return f.tensors[a].Offset - f.tensors[b].Offset })
	end, last := 0, ""
	for _, i := range order {
		t := &f.tensors[i]
		if t.Offset < end {
			return fmt.Errorf("tensors %q and %q share bytes", last, t.Name)
		}
		if t.Size > size-f.DataStart-t.Offset {
			return fmt.Errorf("tensor %q ends %d bytes after the file", t.Name, t.Size-(size-f.DataStart-t.Offset))
		}
		end, last = t.Offset+t.Size, t.Name
		t.Offset += f.DataStart
	}
	return nil
}
