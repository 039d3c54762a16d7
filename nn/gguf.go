package nn

import (
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/gollava/gollava/internal/gguf"
)

// shardName is how the parts of a GGUF model are called.
var shardName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// openGGUF opens a GGUF file, or all parts of a split one, given any of them.
func openGGUF(path string) (*Weights, error) {
	w := &Weights{path: path, stored: map[string]*stored{}}
	var open []*gguf.File
	w.close = func() (err error) {
		for _, f := range open {
			err = f.Close()
		}
		open = nil
		return err
	}
	add := func(path string) (*gguf.Keys, error) {
		f, err := gguf.Open(path)
		if err != nil {
			return nil, err
		}
		open = append(open, f)
		for _, t := range f.Tensors() {
			if w.stored[t.Name] != nil {
				return nil, fmt.Errorf("%s: tensor %q is in another part of the model too", path, t.Name)
			}
			w.stored[t.Name] = ggufStored(f, t)
		}
		return &gguf.Keys{File: f}, nil
	}
	first, err := add(path)
	if err != nil {
		return nil, err
	}
	parts, number := first.Int("split.count", 1, 0, 99999), first.Int("split.no", 0, 0, 99998)
	name := shardName.FindStringSubmatch(filepath.Base(path))
	if parts > 1 && name == nil {
		first.Fail("split.count",
			"is %d, but the file is not called NAME-00001-of-%05d.gguf: the other parts cannot be found", parts, parts)
	}
	if err := first.Err; err != nil {
		w.Close()
		return nil, err
	}
	for i := range parts {
		if i == number || parts == 1 {
			continue
		}
		part := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s-%05d-of-%05d.gguf", name[1], i+1, parts))
		k, err := add(part)
		if err == nil && (k.Int("split.no", -1, 0, 99998) != i || k.Int("split.count", 0, 0, 99999) != parts) {
			k.Fail("split.no", "and split.count do not say part %d of %d", i+1, parts)
			err = k.Err
		}
		if err != nil {
			w.Close()
			return nil, err
		}
	}
	if n := first.Int("split.tensors.count", len(w.stored), 0, 1<<30); parts > 1 && n != len(w.stored) {
		first.Fail("split.tensors.count", "is %d, but the %d parts have %d tensors", n, parts, len(w.stored))
		w.Close()
		return nil, first.Err
	}
	return w, nil
}

func ggufStored(f *gguf.File, t gguf.Tensor) *stored {
	return &stored{file: f.Path(), dtype: t.Type.String(), shape: t.Shape,
		read: func(p []byte, off int64) error {
			b := f.Bytes(t)
			if off < 0 || off > int64(len(b)) || len(p) > len(b)-int(off) {
				return fmt.Errorf("bytes %d to %d of %d", off, off+int64(len(p)), len(b))
			}
			copy(p, b[off:])
			return nil
		},
		mapped: func() ([]byte, error) { return f.Bytes(t), nil }}
}
