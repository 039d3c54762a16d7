package nn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/internal/torchfile"
)

// Names of the files that transformers wrote before safetensors.
const (
	torchSingle = "pytorch_model.bin"
	torchIndex  = "pytorch_model.bin.index.json"
)

// torchFiles finds PyTorch's files at path: a file that torch.save wrote, the shards that an index names, or a folder
// with either and without safetensors. owner says which of the files a tensor is taken from; nil: there is only one.
// Nothing there is no error.
func torchFiles(path string) (files []string, owner map[string]string, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if st.IsDir() {
		for _, name := range []string{safetensors.SingleName, safetensors.IndexName, torchSingle, torchIndex} {
			file := filepath.Join(path, name)
			if _, err := os.Stat(file); err == nil {
				return torchFiles(file)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
		}
		return nil, nil, nil
	}
	if !strings.HasSuffix(path, ".bin.index.json") {
		if torchfile.Sniff(path) || filepath.Base(path) == torchSingle { // whose error then says what it is instead
			files = []string{path}
		}
		return files, nil, nil
	}
	owner, err = safetensors.ReadIndex(path)
	for _, s := range owner {
		if s := filepath.Join(filepath.Dir(path), s); !slices.Contains(files, s) {
			files = append(files, s)
		}
	}
	slices.Sort(files)
	return files, owner, err
}

// openTorch opens PyTorch's files together.
func openTorch(path string, files []string, owner map[string]string) (*Weights, error) {
	var open []*torchfile.File
	w := &Weights{path: path, stored: map[string]*stored{}, close: func() (err error) {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
		return err
	}}
	for _, file := range files {
		f, err := torchfile.Open(file)
		if err != nil {
			w.Close()
			return nil, err
		}
		open = append(open, f)
		for _, name := range f.Names() {
			if owner != nil && owner[name] != filepath.Base(file) {
				continue
			}
			w.stored[name] = torchStored(f, name)
		}
	}
	for name, file := range owner {
		if w.stored[name] == nil {
			w.Close()
			return nil, fmt.Errorf("%s: weight_map: %s has no tensor %q", path, file, name)
		}
	}
	return w, nil
}

func torchStored(f *torchfile.File, name string) *stored {
	i, _ := f.Info(name)
	s := &stored{file: f.Path(), dtype: i.DType, shape: i.Shape}
	if i.At < 0 {
		s.whole = func() ([]byte, error) { return f.Bytes(name) }
	} else {
		s.read = func(p []byte, off int64) error { return f.ReadAt(p, i.At+off) }
	}
	return s
}
