package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// FeatureKey says what made cached features. Those of another encoder or another preprocessing lie elsewhere and are
// never mixed up.
type FeatureKey struct {
	Encoder       string // the hash of its weights, and which layer is taken
	Preprocessing string // the preprocessing, e.g. as JSON
}

// folder is the name of the key's folder.
func (k FeatureKey) folder() string {
	h := fnv.New64a()
	h.Write([]byte(k.Encoder + "\x00" + k.Preprocessing))
	return fmt.Sprintf("%016x", h.Sum64())
}

// Features is a folder of encoder outputs in bfloat16, so that a frozen encoder runs once and not every epoch. Each
// shard is a safetensors file, whose tensors have the images' [ImageKey] for names. It is safe for concurrent use.
type Features struct {
	dir string
	key FeatureKey

	mu     sync.RWMutex
	where  map[string]*safetensors.File
	shards map[int]*safetensors.File
}

// OpenFeatures opens the cache of a key under dir, which is made if it does not exist, with the shards that are
// complete.
func OpenFeatures(dir string, key FeatureKey) (*Features, error) {
	c := &Features{dir: filepath.Join(dir, key.folder()), key: key,
		where: map[string]*safetensors.File{}, shards: map[int]*safetensors.File{}}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return nil, fmt.Errorf("data: feature cache: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(c.dir, "shard-*.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("data: feature cache: %w", err)
	}
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(name), "shard-%d.safetensors", &n); err != nil {
			continue
		}
		if err := c.open(n, name); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// open makes shard n part of the cache.
func (c *Features) open(n int, name string) error {
	f, err := safetensors.Open(name)
	if err == nil {
		if err = c.check(f); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("data: feature cache: %s: %w; delete it to have it made again", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.shards[n]; old != nil {
		maps.DeleteFunc(c.where, func(_ string, in *safetensors.File) bool { return in == old })
		old.Close()
	}
	c.shards[n] = f
	for _, k := range f.Names() {
		c.where[k] = f
	}
	return nil
}

// check returns an error if a file does not hold features of the cache's key.
func (c *Features) check(f *safetensors.File) error {
	meta := f.Metadata()
	if got := (FeatureKey{meta["encoder"], meta["preprocessing"]}); got != c.key {
		return fmt.Errorf("made by %+v, want %+v", got, c.key)
	}
	for _, name := range f.Names() {
		if t, _ := f.Info(name); t.DType != "BF16" {
			return fmt.Errorf("%q is stored as %s, not as BF16", name, t.DType)
		}
	}
	return nil
}

// Close closes the shards.
func (c *Features) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, f := range c.shards {
		err = errors.Join(err, f.Close())
	}
	clear(c.shards)
	clear(c.where)
	return err
}

// Len is the number of images in the cache.
func (c *Features) Len() int { c.mu.RLock(); defer c.mu.RUnlock(); return len(c.where) }

// Names lists the images in the cache, sorted.
func (c *Features) Names() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.where))
}

// Has reports whether an image is in the cache.
func (c *Features) Has(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.where[name] != nil
}

// Load reads the features of an image, float32, in the shape that they were added with, such as [views, features,
// width]. An error is a *Fault, of kind FileMissing where the cache does not have them.
func (c *Features) Load(name string) (*tensor.Tensor, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	file := c.where[name]
	if file == nil {
		f := missing(c.dir, name)
		f.Note = "not in the feature cache"
		return nil, f
	}
	t, _ := file.Info(name)
	b := make([]byte, t.End-t.Begin)
	if err := file.ReadAt(t, b, 0); err != nil {
		f := AsFault(err, FileUnreadable)
		f.File, f.Image = file.Path(), name
		return nil, f
	}
	x := make([]float32, len(b)/2)
	for i := range x {
		x[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
	return tensor.Wrap(x, t.Shape...), nil
}

// FeatureShard collects features, in memory, that become part of a cache together.
// It serves one goroutine at a time.
type FeatureShard struct {
	c       *Features
	n       int
	tensors []safetensors.Tensor
}

// Next is a shard number that is not taken yet.
func (c *Features) Next() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	next := 0
	for n := range c.shards {
		next = max(next, n+1)
	}
	return next
}

// Shard begins shard n; one that is there already is replaced.
func (c *Features) Shard(n int) *FeatureShard { return &FeatureShard{c: c, n: n} }

// Add rounds the features of an image, float32, to bfloat16 and keeps them for Commit.
func (s *FeatureShard) Add(name string, features *tensor.Tensor) error {
	if slices.ContainsFunc(s.tensors, func(t safetensors.Tensor) bool { return t.Name == name }) {
		return fmt.Errorf("data: feature cache: %q comes twice", name)
	}
	b := slices.Clone(features.Cast(tensor.BFloat16).Bytes())
	s.tensors = append(s.tensors, safetensors.Tensor{Name: name, DType: "BF16", Shape: slices.Clone(features.Shape()),
		Write: safetensors.Bytes(b)})
	return nil
}

// Commit makes the shard part of the cache, all at once: after a crash it is there as a whole or not at all.
func (s *FeatureShard) Commit() error {
	c := s.c
	path := filepath.Join(c.dir, fmt.Sprintf("shard-%05d.safetensors", s.n))
	if err := safetensors.Write(path, s.tensors, map[string]string{"format": "gollava-features-1",
		"encoder":       c.key.Encoder,
		"preprocessing": c.key.Preprocessing}); err != nil {
		return fmt.Errorf("data: feature cache: %w", err)
	}
	return c.open(s.n, path)
}
