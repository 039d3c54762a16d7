package train

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// shards are the optimizer files of a checkpoint, whoever wrote which part: together they hold every element of every
// tensor once.
type shards struct {
	files []*safetensors.File
	parts map[string][]shard // of each tensor
}

// shard is a part of a tensor.
type shard struct {
	f       *safetensors.File
	info    safetensors.Info
	from, n int // elements
}

// openShards opens the optimizer files that a checkpoint's manifest lists.
func openShards(dir string) (*shards, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	s := &shards{parts: map[string][]shard{}}
	for _, i := range m.Files {
		if !strings.HasPrefix(i.Name, "optimizer") {
			continue
		}
		f, err := safetensors.Open(filepath.Join(dir, i.Name))
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files = append(s.files, f)
		for _, full := range f.Names() {
			info, _ := f.Info(full)
			name, from := position(full)
			n := 1
			for _, d := range info.Shape {
				n *= d
			}
			s.parts[name] = append(s.parts[name], shard{f, info, from, n})
		}
	}
	return s, nil
}

// position takes the name of a part apart: "m/lower.weight@16384" is m/lower.weight from element 16384 on.
func position(full string) (name string, from int) {
	if i := strings.LastIndexByte(full, '@'); i >= 0 {
		if n, err := strconv.Atoi(full[i+1:]); err == nil && n >= 0 {
			return full[:i], n
		}
	}
	return full, 0
}

func (s *shards) has(name string) bool { return len(s.parts[name]) > 0 }

// read fills t with the elements of a tensor from from on.
func (s *shards) read(name string, from int, t *tensor.Tensor) error {
	missing := t.Len()
	size := t.DType().Bytes(1)
	for _, p := range s.parts[name] {
		a, b := max(from, p.from), min(from+t.Len(), p.from+p.n)
		if a >= b {
			continue
		}
		if p.info.DType != dtypeNames[t.DType()] {
			return fmt.Errorf("%s: %s is %s, needs %s", p.f.Path(), p.info.Name, p.info.DType, dtypeNames[t.DType()])
		}
		if p.from == 0 && from == 0 && p.n == t.Len() && !strings.Contains(p.info.Name, "@") &&
			!slices.Equal(p.info.Shape, t.Shape()) {
			return fmt.Errorf("%s: %s is %v, the model's is %v", p.f.Path(), p.info.Name, p.info.Shape, t.Shape())
		}
		err := refill(t, func(m []byte) error {
			return p.f.ReadAt(p.info, m[(a-from)*size:(b-from)*size], int64((a-p.from)*size))
		})
		if err != nil {
			return err
		}
		missing -= b - a
	}
	if missing != 0 {
		return fmt.Errorf("the checkpoint's optimizer files hold %d of the %d elements of %s", t.Len()-missing,
			t.Len(), name)
	}
	return nil
}

func (s *shards) close() error {
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
