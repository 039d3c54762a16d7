package data

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// FeatureKey says what made cached features. Those of another encoder or another preprocessing lie elsewhere and are never mixed up.
type FeatureKey struct {
	Encoder       string // the hash of its weights, and which layer is taken
	Preprocessing string // the preprocessing, e.g. as JSON
}

// folder is the name of the key's folder.
func (k FeatureKey) folder() string {
	h := uint64(14695981039346656037)
	for _, b := range []byte(k.Encoder + "\x00" + k.Preprocessing) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return fmt.Sprintf("%016x", h)
}

// Features is a folder of encoder outputs in bfloat16, so that a frozen encoder runs once and not every epoch. Each shard is a
// safetensors file, whose tensors are named like the pictures.
type Features struct {
	dir string
	key FeatureKey

	mu     sync.RWMutex
	where  map[string]feature
	shards map[int]*os.File
}

type feature struct {
	file  *os.File
	at    int64
	shape []int
}

// OpenFeatures opens the cache of a key under dir, which is made if it does not exist, with the shards that are complete.
func OpenFeatures(dir string, key FeatureKey) (*Features, error) {
	c := &Features{dir: filepath.Join(dir, key.folder()), key: key, where: map[string]feature{}, shards: map[int]*os.File{}}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return nil, fmt.Errorf("data: feature cache: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(c.dir, "shard-*.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("data: feature cache: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(name), "shard-%d.safetensors", &n); err != nil {
			continue
		}
		if err := c.read(n, name); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// headerLimit bounds the header of a shard.
const headerLimit = 64 << 20

// tensorEntry is one line of a safetensors header.
type tensorEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func (c *Features) read(n int, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("data: feature cache: %w", err)
	}
	where, err := c.readHeader(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("data: feature cache: %s: %w; delete it to have it made again", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shards[n] = f
	for k, v := range where {
		c.where[k] = v
	}
	return nil
}

func (c *Features) readHeader(f *os.File) (map[string]feature, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var size [8]byte
	if _, err := f.ReadAt(size[:], 0); err != nil {
		return nil, fmt.Errorf("the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > headerLimit || int64(n) > st.Size()-8 {
		return nil, fmt.Errorf("a header of %d bytes in a file of %d", n, st.Size())
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 8); err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var meta map[string]string
	if err := json.Unmarshal(raw["__metadata__"], &meta); err != nil {
		return nil, fmt.Errorf("header: __metadata__: %w", err)
	}
	if got := (FeatureKey{meta["encoder"], meta["preprocessing"]}); got != c.key {
		return nil, fmt.Errorf("made by %+v, want %+v", got, c.key)
	}
	delete(raw, "__metadata__")
	out := make(map[string]feature, len(raw))
	data := st.Size() - 8 - int64(n)
	for name, v := range raw {
		var t tensorEntry
		if err := json.Unmarshal(v, &t); err != nil {
			return nil, fmt.Errorf("header: %q: %w", name, err)
		}
		elements, ok := volume(t.Shape)
		if t.DType != "BF16" || !ok || t.Offsets[0] < 0 || t.Offsets[1] > data || t.Offsets[1]-t.Offsets[0] != 2*elements {
			return nil, fmt.Errorf("header: %q: %s %v at %v of %d bytes", name, t.DType, t.Shape, t.Offsets, data)
		}
		out[name] = feature{f, 8 + int64(n) + t.Offsets[0], t.Shape}
	}
	return out, nil
}

// volume multiplies a shape, refusing what cannot be.
func volume(shape []int) (int64, bool) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > math.MaxInt32 || d > 0 && n > math.MaxInt32/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}

// Close closes the shards.
func (c *Features) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, f := range c.shards {
		err = errors.Join(err, f.Close())
	}
	c.shards, c.where = map[int]*os.File{}, map[string]feature{}
	return err
}

// Len is the number of pictures in the cache.
func (c *Features) Len() int { c.mu.RLock(); defer c.mu.RUnlock(); return len(c.where) }

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

// Has reports whether a picture is in the cache.
func (c *Features) Has(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.where[name]
	return ok
}

// Load reads the features of a picture: bfloat16 bits, and their shape, e.g. [views, features, width]. An error is a *Fault, of kind
// FileMissing where the cache does not have them.
func (c *Features) Load(name string) ([]uint16, []int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	x, ok := c.where[name]
	if !ok {
		f := missing(c.dir, name)
		f.Note = "not in the feature cache"
		return nil, nil, f
	}
	n, _ := volume(x.shape)
	b := make([]byte, 2*n)
	if _, err := x.file.ReadAt(b, x.at); err != nil {
		f := AsFault(err, FileUnreadable)
		f.File, f.Image = x.file.Name(), name
		return nil, nil, f
	}
	out := make([]uint16, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return out, slices.Clone(x.shape), nil
}

// FeatureShard is a shard that is being written. Until Commit nobody sees it.
type FeatureShard struct {
	c       *Features
	n       int
	f       *os.File
	room    int64 // of the header
	at      int64
	entries map[string]any
	err     error
}

// Shard begins shard n anew. names are the pictures that it may hold, for the size of its header.
func (c *Features) Shard(n int, names []string) (*FeatureShard, error) {
	f, err := os.CreateTemp(c.dir, "writing-*")
	if err != nil {
		return nil, fmt.Errorf("data: feature cache: %w", err)
	}
	s := &FeatureShard{c: c, n: n, f: f, entries: map[string]any{"__metadata__": map[string]string{"format": "gollava-features-1", "encoder": c.key.Encoder, "preprocessing": c.key.Preprocessing}}}
	head, err := json.Marshal(s.entries)
	if err != nil {
		return nil, errors.Join(err, s.Abort())
	}
	s.room = int64(len(head))
	for _, name := range names {
		key, _ := json.Marshal(name)
		s.room += int64(len(key)) + 160 // room for dtype, a shape of up to four sides and two offsets
	}
	s.room = (s.room + 7) / 8 * 8
	if s.room > headerLimit {
		return nil, errors.Join(fmt.Errorf("data: feature cache: a shard of %d pictures: its header would be too large; use smaller shards", len(names)), s.Abort())
	}
	if _, err := f.Seek(8+s.room, io.SeekStart); err != nil {
		return nil, errors.Join(err, s.Abort())
	}
	return s, nil
}

// Add appends the features of a picture, rounded to bfloat16 (to nearest, ties to even). It panics where shape and data differ.
func (s *FeatureShard) Add(name string, data []float32, shape ...int) error {
	if n, ok := volume(shape); !ok || n != int64(len(data)) || len(shape) > 4 {
		panic(fmt.Sprintf("data: features of shape %v from %d numbers", shape, len(data)))
	}
	if _, twice := s.entries[name]; twice {
		return fmt.Errorf("data: feature cache: shard %d: %q comes twice", s.n, name)
	}
	b := make([]byte, 0, 2*len(data))
	for _, x := range data {
		b = binary.LittleEndian.AppendUint16(b, bfloat16(x))
	}
	if _, err := s.f.Write(b); err != nil {
		s.err = fmt.Errorf("data: feature cache: shard %d: %w", s.n, err)
		return s.err
	}
	s.entries[name] = tensorEntry{"BF16", slices.Clone(shape), [2]int64{s.at, s.at + int64(len(b))}}
	s.at += int64(len(b))
	return nil
}

// bfloat16 rounds to nearest, ties to even; a NaN stays one.
func bfloat16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// Commit makes the shard part of the cache, all at once: after a crash it is there as a whole or not at all.
func (s *FeatureShard) Commit() error {
	if err := s.commit(); err != nil {
		return errors.Join(fmt.Errorf("data: feature cache: shard %d: %w", s.n, err), s.Abort())
	}
	return nil
}

func (s *FeatureShard) commit() error {
	if s.err != nil {
		return s.err
	}
	head, err := json.Marshal(s.entries)
	if err != nil {
		return err
	}
	if int64(len(head)) > s.room {
		return fmt.Errorf("%d pictures: more than were announced", len(s.entries)-1)
	}
	block := binary.LittleEndian.AppendUint64(nil, uint64(s.room))
	block = append(append(block, head...), strings.Repeat(" ", int(s.room)-len(head))...)
	if _, err := s.f.WriteAt(block, 0); err != nil {
		return err
	}
	if err := errors.Join(s.f.Sync(), s.f.Close()); err != nil {
		return err
	}
	name := filepath.Join(s.c.dir, fmt.Sprintf("shard-%05d.safetensors", s.n))
	if err := os.Rename(s.f.Name(), name); err != nil {
		return err
	}
	if d, err := os.Open(s.c.dir); err == nil { // so that the new name survives a power cut, where folders can be synced
		_ = d.Sync()
		d.Close()
	}
	return s.c.replace(s.n, name)
}

// replace forgets an earlier shard n and reads the new one.
func (c *Features) replace(n int, name string) error {
	c.mu.Lock()
	if old := c.shards[n]; old != nil {
		for k, v := range c.where {
			if v.file == old {
				delete(c.where, k)
			}
		}
		old.Close()
		delete(c.shards, n)
	}
	c.mu.Unlock()
	return c.read(n, name)
}

// Abort throws the shard away.
func (s *FeatureShard) Abort() error {
	s.f.Close()
	if err := os.Remove(s.f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
