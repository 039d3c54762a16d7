package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Names of the files that transformers writes.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// Set is one file, or the shards that an index names, opened together.
type Set struct {
	files []*File
	where map[string]*File
	names []string // sorted
}

// OpenDir opens what path holds: a folder with model.safetensors or model.safetensors.index.json, an index, or a single
// file of any name. A folder with neither is an error that wraps fs.ErrNotExist.
func OpenDir(path string) (*Set, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if strings.HasSuffix(path, ".json") {
			return openIndex(path)
		}
		return openSet([]string{path}, nil)
	}
	for _, name := range []string{SingleName, IndexName} {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); err == nil {
			return OpenDir(file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: holds neither %s nor %s: %w", path, SingleName, IndexName, fs.ErrNotExist)
}

func openIndex(path string) (*Set, error) {
	where, err := ReadIndex(path)
	if err != nil {
		return nil, err
	}
	var shards []string
	for _, s := range where {
		if !slices.Contains(shards, s) {
			shards = append(shards, s)
		}
	}
	slices.Sort(shards)
	for i, s := range shards {
		shards[i] = filepath.Join(filepath.Dir(path), s)
	}
	set, err := openSet(shards, func(name string) string { return where[name] })
	if err != nil {
		return nil, err
	}
	for name, s := range where {
		f, ok := set.where[name]
		if !ok || filepath.Base(f.path) != filepath.Base(s) {
			set.Close()
			return nil, fmt.Errorf("%s: weight_map: %s has no tensor %q", path, s, name)
		}
	}
	return set, nil
}

// maxShards is far above any real number of shards, and below the number of files that a process may open.
const maxShards = 512

// ReadIndex reads the weight_map of an index: the file, within the index's folder, of every tensor.
func ReadIndex(path string) (map[string]string, error) {
	raw, err := jsonfile.Bytes(path, MaxHeader)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := jsonfile.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is missing or empty", path)
	}
	shards := map[string]bool{}
	for name, s := range index.WeightMap {
		if !filepath.IsLocal(s) || strings.ContainsAny(s, `/\:`) {
			return nil, fmt.Errorf("%s: weight_map: tensor %q lies in %q, which is not a file of the same folder", path,
				name, s)
		}
		shards[s] = true
	}
	if len(shards) > maxShards {
		return nil, fmt.Errorf("%s: %d shards are above the limit of %d", path, len(shards), maxShards)
	}
	return index.WeightMap, nil
}

// openSet opens files together. A tensor in several files is an error, unless prefer knows which file it belongs to.
func openSet(paths []string, prefer func(name string) string) (*Set, error) {
	s := &Set{where: map[string]*File{}}
	for _, p := range paths {
		f, err := Open(p)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.files = append(s.files, f)
		for _, t := range f.tensors {
			if prefer != nil && prefer(t.Name) != "" && prefer(t.Name) != filepath.Base(p) {
				continue
			}
			if other, ok := s.where[t.Name]; ok {
				s.Close()
				return nil, fmt.Errorf("tensor %q is in both %s and %s", t.Name, other.path, p)
			}
			s.where[t.Name] = f
			s.names = append(s.names, t.Name)
		}
	}
	slices.Sort(s.names)
	return s, nil
}

// Names lists the tensors of all files, sorted.
func (s *Set) Names() []string { return slices.Clone(s.names) }

// Files are the open files.
func (s *Set) Files() []*File { return slices.Clone(s.files) }

// File is the file that holds a tensor, or nil.
func (s *Set) File(name string) *File { return s.where[name] }

// Info describes a tensor; false: there is none of that name.
func (s *Set) Info(name string) (Info, bool) {
	if f := s.where[name]; f != nil {
		return f.Info(name)
	}
	return Info{}, false
}

// Bytes is [File.Bytes] of the file that holds the tensor.
func (s *Set) Bytes(name string) ([]byte, error) {
	f := s.where[name]
	if f == nil {
		return nil, fmt.Errorf("no tensor %q", name)
	}
	return f.Bytes(name)
}

// Metadata joins the files' metadata.
func (s *Set) Metadata() map[string]string {
	all := map[string]string{}
	for _, f := range s.files {
		for k, v := range f.metadata {
			all[k] = v
		}
	}
	return all
}

// Close closes all files.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}
