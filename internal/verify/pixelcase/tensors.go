package pixelcase

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
)

// tensorFile reads single tensors out of a safetensors file: the header's length in 8 bytes, the header in JSON, the bytes.
type tensorFile struct {
	f      *os.File
	start  int64 // of the bytes
	length int64
	header map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int64 `json:"data_offsets"`
	}
}

func openTensors(path string) (t *tensorFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > 64<<20 || int64(n) > st.Size()-8 {
		return nil, fmt.Errorf("a header of %d bytes in a file of %d", n, st.Size())
	}
	raw := make([]byte, n)
	if _, err := f.ReadAt(raw, 8); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	delete(fields, "__metadata__")
	if raw, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	t = &tensorFile{f: f, start: 8 + int64(n), length: st.Size() - 8 - int64(n)}
	return t, json.Unmarshal(raw, &t.header)
}

// read returns a tensor's bytes. Its type and shape must be as given.
func (t *tensorFile) read(name, dtype string, shape []int) ([]byte, error) {
	h, ok := t.header[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor is called %q", t.f.Name(), name)
	}
	size := int64(map[string]int{"U8": 1, "F32": 4}[dtype])
	for _, n := range shape {
		if n < 0 || int64(n) > t.length {
			return nil, fmt.Errorf("%s: %s: shape %v", t.f.Name(), name, shape)
		}
		size *= int64(n)
		if size > t.length {
			return nil, fmt.Errorf("%s: %s: %s of shape %v does not fit into %d bytes", t.f.Name(), name, dtype, shape, t.length)
		}
	}
	from, to := h.Offsets[0], h.Offsets[1]
	if h.DType != dtype || fmt.Sprint(h.Shape) != fmt.Sprint(shape) || from < 0 || to > t.length || to-from != size {
		return nil, fmt.Errorf("%s: %s: %s %v at %v, not %s %v", t.f.Name(), name, h.DType, h.Shape, h.Offsets, dtype, shape)
	}
	data := make([]byte, size)
	if _, err := t.f.ReadAt(data, t.start+from); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", t.f.Name(), name, err)
	}
	return data, nil
}
