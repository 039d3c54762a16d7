package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/gollava/gollava/internal/atomicfile"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType string
	Shape []int
	Write func(w io.Writer) error // writes the bytes, little-endian
}

// Bytes returns a Write function for a tensor that is in memory.
func Bytes(p []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(p)
		return err
	}
}

// Write writes tensors to path, replacing it as a whole or not at all. It asks for one tensor's bytes at a time, so
// that they need not be in memory together. They lie in the format's usual order: widest dtype first, then by name.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	tensors, head, err := layout(tensors, metadata)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error { return stream(w, tensors, head) })
}

// layout sorts tensors and builds the header with its length in front.
func layout(tensors []Tensor, metadata map[string]string) ([]Tensor, []byte, error) {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(bits[b.DType], bits[a.DType]), cmp.Compare(a.Name, b.Name))
	})
	var h bytes.Buffer
	h.Write(make([]byte, 8))
	h.WriteByte('{')
	seen := map[string]bool{}
	at := int64(0)
	if metadata != nil {
		h.WriteString(`"__metadata__":{`)
		for i, k := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				h.WriteByte(',')
			}
			h.Write(quote(k))
			h.WriteByte(':')
			h.Write(quote(metadata[k]))
		}
		h.WriteByte('}')
	}
	for i, t := range tensors {
		n, err := Size(t.DType, t.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if seen[t.Name] || t.Name == "__metadata__" {
			return nil, nil, fmt.Errorf("tensor name %q is taken", t.Name)
		}
		seen[t.Name] = true
		if i > 0 || metadata != nil {
			h.WriteByte(',')
		}
		h.Write(quote(t.Name))
		dims, _ := json.Marshal(append([]int{}, t.Shape...))
		fmt.Fprintf(&h, `:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, t.DType, dims, at, at+n)
		at += n
	}
	h.WriteByte('}')
	for h.Len()%8 != 0 {
		h.WriteByte(' ')
	}
	if h.Len()-8 > MaxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes is above the format's limit of %d", h.Len()-8, MaxHeader)
	}
	head := h.Bytes()
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8))
	return tensors, head, nil
}

func quote(s string) []byte {
	q, _ := json.Marshal(s)
	return q
}

func stream(w io.Writer, tensors []Tensor, head []byte) error {
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range tensors {
		c := &counter{w: w}
		if err := t.Write(c); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if n, _ := Size(t.DType, t.Shape); c.n != n {
			return fmt.Errorf("tensor %q: wrote %d bytes, %s%v needs %d", t.Name, c.n, t.DType, t.Shape, n)
		}
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

var shardName = regexp.MustCompile(`^model-\d{5}-of-\d{5}\.safetensors$`)

// WriteDir writes tensors to dir as model.safetensors or, if they exceed maxShard bytes (0: no limit), as numbered
// shards of at most maxShard bytes with model.safetensors.index.json, in the given order. A tensor larger than that has
// a shard of its own. Files of an earlier checkpoint that the new one does not use are removed at the end.
func WriteDir(dir string, tensors []Tensor, metadata map[string]string, maxShard int64) error {
	shards, total, err := split(tensors, maxShard)
	if err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	keep := map[string]bool{SingleName: len(shards) == 1, IndexName: len(shards) > 1}
	if len(shards) == 1 {
		if err := Write(filepath.Join(dir, SingleName), tensors, metadata); err != nil {
			return err
		}
	} else {
		where := map[string]string{}
		for i, s := range shards {
			name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
			keep[name] = true
			if err := Write(filepath.Join(dir, name), s, metadata); err != nil {
				return err
			}
			for _, t := range s {
				where[t.Name] = name
			}
		}
		err := atomicfile.Write(filepath.Join(dir, IndexName), func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": where})
		})
		if err != nil {
			return err
		}
	}
	return removeOthers(dir, keep)
}

func split(tensors []Tensor, maxShard int64) (shards [][]Tensor, total int64, err error) {
	shards = [][]Tensor{nil}
	var size int64
	seen := map[string]bool{}
	for _, t := range tensors {
		n, err := Size(t.DType, t.Shape)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if seen[t.Name] {
			return nil, 0, fmt.Errorf("tensor name %q is taken", t.Name)
		}
		seen[t.Name] = true
		if last := len(shards) - 1; maxShard > 0 && size+n > maxShard && len(shards[last]) > 0 {
			shards, size = append(shards, nil), 0
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], t)
		size += n
		total += n
	}
	return shards, total, nil
}

func removeOthers(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n := e.Name()
		if keep[n] || n != SingleName && n != IndexName && !shardName.MatchString(n) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(dir)
}
