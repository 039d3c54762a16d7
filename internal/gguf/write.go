package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/gollava/gollava/internal/atomicfile"
)

// NewTensor is a tensor to be written. Write writes its Size bytes.
type NewTensor struct {
	Name  string
	Type  Type
	Shape []int // outermost first
	Write func(w io.Writer) error
}

// Write writes a GGUF file of version 3 to path, as a whole or not at all. Metadata are strings, bools, uint32, int32,
// uint64, float32, and slices of strings, bools, int32, uint32 and float32; general.architecture comes first, the
// others by name.
func Write(path string, metadata map[string]any, tensors []NewTensor) error {
	head := []byte(magic)
	head = binary.LittleEndian.AppendUint32(head, 3)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(metadata)))
	keys := slices.Sorted(maps.Keys(metadata))
	if i := slices.Index(keys, "general.architecture"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "general.architecture")
	}
	for _, key := range keys {
		var err error
		if head, err = appendPair(head, key, metadata[key]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	const alignment = 32
	sizes, at := make([]int, len(tensors)), 0
	for i, t := range tensors {
		block, size := t.Type.layout()
		if len(t.Name) > longest || len(t.Shape) < 1 || len(t.Shape) > 4 || block == 0 ||
			t.Shape[len(t.Shape)-1]%block != 0 {
			return fmt.Errorf("%s: tensor %q %v of %s cannot be written", path, t.Name, t.Shape, t.Type)
		}
		head = appendText(head, t.Name)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.Shape)))
		sizes[i] = size
		for _, d := range slices.Backward(t.Shape) {
			head = binary.LittleEndian.AppendUint64(head, uint64(d))
			sizes[i] *= d
		}
		sizes[i] /= block
		head = binary.LittleEndian.AppendUint32(head, uint32(t.Type))
		head = binary.LittleEndian.AppendUint64(head, uint64(at))
		at += (sizes[i] + alignment - 1) / alignment * alignment
	}
	pad := func(n int) []byte { return make([]byte, -n&(alignment-1)) }
	return atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(append(head, pad(len(head))...)); err != nil {
			return err
		}
		for i, t := range tensors {
			c := &counter{w: w}
			if err := t.Write(c); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			if c.n != sizes[i] {
				return fmt.Errorf("tensor %q: %d bytes were written for %v of %s, which takes %d", t.Name, c.n, t.Shape,
					t.Type, sizes[i])
			}
			if _, err := w.Write(pad(c.n)); err != nil {
				return err
			}
		}
		return nil
	})
}

type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

func appendPair(b []byte, key string, v any) ([]byte, error) {
	b = appendText(b, key)
	kind := func(k Kind) { b = binary.LittleEndian.AppendUint32(b, uint32(k)) }
	array := func(k Kind, n int) {
		kind(Array)
		kind(k)
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	switch x := v.(type) {
	case string:
		kind(String)
		b = appendText(b, x)
	case bool:
		kind(Bool)
		b = append(b, bit(x))
	case uint32:
		kind(Uint32)
		b = binary.LittleEndian.AppendUint32(b, x)
	case int32:
		kind(Int32)
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	case uint64:
		kind(Uint64)
		b = binary.LittleEndian.AppendUint64(b, x)
	case float32:
		kind(Float32)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	case []string:
		array(String, len(x))
		for _, s := range x {
			b = appendText(b, s)
		}
	case []bool:
		array(Bool, len(x))
		for _, e := range x {
			b = append(b, bit(e))
		}
	case []int32:
		array(Int32, len(x))
		for _, e := range x {
			b = binary.LittleEndian.AppendUint32(b, uint32(e))
		}
	case []uint32:
		array(Uint32, len(x))
		for _, e := range x {
			b = binary.LittleEndian.AppendUint32(b, e)
		}
	case []float32:
		array(Float32, len(x))
		for _, e := range x {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e))
		}
	default:
		return nil, fmt.Errorf("key %q: a value of type %T cannot be written", key, v)
	}
	return b, nil
}

func bit(x bool) byte {
	if x {
		return 1
	}
	return 0
}
