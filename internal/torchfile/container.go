package torchfile

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxPickle bounds the bytes of all pickles of a file: those of the largest models have a few hundred thousand.
const maxPickle = 8 << 20

// maxDirectory bounds the entries of a zip, one a storage.
const maxDirectory = 1 << 20

// openZip reads PyTorch's zip format: NAME/data.pkl and a file NAME/data/KEY for every storage, not compressed.
func (f *File) openZip() (any, error) {
	z, err := zip.NewReader(f.file, f.size)
	if err != nil {
		return nil, fmt.Errorf("not a whole zip file: %w", err)
	}
	if len(z.File) > maxDirectory {
		return nil, fmt.Errorf("%d entries are above the limit of %d", len(z.File), maxDirectory)
	}
	entries := map[string]*zip.File{}
	root := ""
	for _, e := range z.File {
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("entry %q occurs twice", e.Name)
		}
		entries[e.Name] = e
		if dir, ok := strings.CutSuffix(e.Name, "/data.pkl"); ok && !strings.Contains(dir, "/") {
			if root != "" {
				return nil, errors.New("holds two data.pkl")
			}
			root = dir
		}
	}
	if root == "" {
		return nil, errors.New("holds no data.pkl: it is a zip, but not of torch.save")
	}
	if e := entries[root+"/byteorder"]; e != nil {
		order, err := f.entry(e, 16)
		if err == nil && strings.TrimSpace(order) != "little" {
			err = fmt.Errorf("byte order %q is not supported (little is)", order)
		}
		if err != nil {
			return nil, err
		}
	}
	pickle, err := f.entry(entries[root+"/data.pkl"], maxPickle)
	if err != nil {
		return nil, err
	}
	v, _, err := unpickle(bufio.NewReader(strings.NewReader(pickle)), maxPickle, f.persistent)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return v, f.place(entries, root+"/data/")
}

// place finds the entry of every storage. Entries must not overlap.
func (f *File) place(entries map[string]*zip.File, prefix string) error {
	type span struct{ from, to int64 }
	var spans []span
	for key, s := range f.places {
		e := entries[prefix+key]
		if e == nil {
			continue
		}
		at, n, err := f.stored(e)
		if err != nil {
			return err
		}
		if n != size(s.dtype, s.len) {
			return fmt.Errorf("storage %q has %d bytes, %d elements of %s need %d", key, n, s.len, s.dtype,
				size(s.dtype, s.len))
		}
		s.at, s.found = at, true
		if n > 0 {
			spans = append(spans, span{at, at + n})
		}
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.from < b.from {
			return -1
		}
		return 1
	})
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return errors.New("two storages overlap")
		}
	}
	return nil
}

// stored is where the bytes of an entry lie in the file.
func (f *File) stored(e *zip.File) (at, n int64, err error) {
	if e.Method != zip.Store || e.Flags&1 != 0 || e.CompressedSize64 != e.UncompressedSize64 {
		return 0, 0, fmt.Errorf("entry %q is compressed or encrypted, which torch.save never does", e.Name)
	}
	at, err = e.DataOffset()
	if err == nil && (at < 0 || at > f.size || e.UncompressedSize64 > uint64(f.size-at)) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, 0, fmt.Errorf("entry %q: %w", e.Name, err)
	}
	return at, int64(e.UncompressedSize64), nil
}

func (f *File) entry(e *zip.File, limit int64) (string, error) {
	at, n, err := f.stored(e)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("entry %q of %d bytes is above the limit of %d", e.Name, n, limit)
	}
	p := make([]byte, n)
	err = f.ReadAt(p, at)
	return string(p), err
}

// legacyMagic is 0x1950a86a20f9469cfc6c, with which the format before PyTorch 1.6 begins.
const legacyMagic long = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

// openLegacy reads the format before PyTorch 1.6: pickles of the magic number, the version, facts about the machine,
// the object and the list of storage keys; then, for each key, the number of elements and the bytes.
func (f *File) openLegacy() (any, error) {
	under := &counter{r: io.NewSectionReader(f.file, 0, f.size)}
	r := bufio.NewReader(under)
	left := int64(maxPickle)
	read := func(what string) (v any, err error) {
		if v, left, err = unpickle(r, left, f.persistent); err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return v, err
	}
	magic, err := read("magic number")
	if err != nil {
		return nil, err
	}
	if magic != legacyMagic {
		return nil, errors.New("is a pickle, but not of torch.save")
	}
	version, err := read("version")
	if err != nil {
		return nil, err
	}
	if version != any(int64(1001)) {
		return nil, errors.New("has another version than 1001 of the format before PyTorch 1.6")
	}
	machine, err := read("system")
	if err != nil {
		return nil, err
	}
	if d, ok := machine.(*dict); ok {
		for i, k := range d.keys {
			if k == "little_endian" && d.values[i] != true {
				return nil, errors.New("was written big-endian, which is not supported")
			}
		}
	}
	v, err := read("object")
	if err != nil {
		return nil, err
	}
	keys, err := read("storage keys")
	if err != nil {
		return nil, err
	}
	l, ok := keys.(*list)
	if !ok {
		return nil, fmt.Errorf("%s instead of a list of storage keys", kind(keys))
	}
	at := under.n - int64(r.Buffered())
	for _, k := range l.items {
		key, _ := k.(string)
		s := f.places[key]
		if s == nil || s.found {
			return nil, fmt.Errorf("storage key %q is not used, or listed twice", key)
		}
		var head [8]byte
		if _, err := f.file.ReadAt(head[:], at); err != nil {
			return nil, fmt.Errorf("storage %q: %w", key, io.ErrUnexpectedEOF)
		}
		n := size(s.dtype, s.len)
		if got := binary.LittleEndian.Uint64(head[:]); got != uint64(s.len) {
			return nil, fmt.Errorf("storage %q has %d elements, the tensors say %d", key, got, s.len)
		}
		if n > f.size-at-8 {
			return nil, fmt.Errorf("storage %q: the file is cut off", key)
		}
		s.at, s.found = at+8, true
		at += 8 + n
	}
	if at != f.size {
		return nil, fmt.Errorf("%d bytes follow the last storage", f.size-at)
	}
	return v, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
