package data

import (
	"archive/tar"
	"bytes"
	"errors"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/misuse"
	"io"
	"os"
	"path"
	"strings"
)

// Member is one file of a WebDataset sample.
type Member struct {
	Ext  string // what follows the first dot of the file's name: "jpg", "seg.png"
	Size int64

	offset int64
}

// Group is one sample of a WebDataset shard: the files that lie next to each other and share a key.
type Group struct {
	Key     string // path up to the first dot of the file's name
	Members []Member
}

// Tar is a WebDataset shard, or any plain tar file of pictures: a source of pictures by their names, and a list of
// groups. It is safe for concurrent use.
type Tar struct {
	path   string
	f      *os.File
	groups []Group
	files  map[string]Member
	limit  int64

	folders folders
}

// OpenTar reads the headers of a tar file (USTAR, PAX or GNU) without its contents. For one that ends early it returns
// a *Fault, and beside it the shard as far as it is complete.
func OpenTar(name string) (*Tar, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, opening(err, name)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, opening(err, name)
	}
	t := &Tar{path: name, f: f, files: map[string]Member{}, limit: DefaultLimits().Bytes}
	if bad := t.index(st.Size()); bad != nil {
		bad.File = name
		return t, bad
	}
	return t, nil
}

func (t *Tar) index(size int64) *Fault {
	if size == 0 {
		return NewFault(FileEmpty, "no bytes at all")
	}
	r := tar.NewReader(t.f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		at, seek := t.f.Seek(0, io.SeekCurrent)
		if err != nil || seek != nil {
			bad := AsFault(errors.Join(err, seek), ArchiveCorrupt)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				bad.Kind = ArchiveTruncated
			} else if errors.Is(err, tar.ErrHeader) && at+512 > size {
				bad.Kind = ArchiveTruncated
			}
			return bad
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		c, bad := clean(h.Name)
		if bad != nil {
			return bad
		}
		key, ext := splitKey(c)
		if h.Typeflag != tar.TypeReg {
			bad = NewFault(ArchiveCorrupt,
				"a member that is no regular file (type %q); pictures are read from regular files only", h.Typeflag)
		} else if h.Size > size-at {
			t.drop(key)
			bad = NewFault(ArchiveTruncated, "the member needs %d bytes, %d are left", h.Size, max(size-at, 0))
		}
		if bad != nil {
			bad.Image, bad.ID = h.Name, key
			return bad
		}
		m := Member{ext, h.Size, at}
		t.files[c] = m
		if n := len(t.groups); n == 0 || t.groups[n-1].Key != key {
			t.groups = append(t.groups, Group{Key: key})
		}
		g := &t.groups[len(t.groups)-1]
		g.Members = append(g.Members, m)
	}
}

// drop forgets the last group where it is the one that is cut.
func (t *Tar) drop(key string) {
	if n := len(t.groups); n > 0 && t.groups[n-1].Key == key {
		t.groups = t.groups[:n-1]
	}
}

// splitKey divides a path at the first dot of its last element.
func splitKey(name string) (key, ext string) {
	dir, base := path.Split(name)
	base, ext, _ = strings.Cut(base, ".")
	return dir + base, ext
}

// Close closes the file.
func (t *Tar) Close() error { return t.f.Close() }

// Path is what the shard was opened by.
func (t *Tar) Path() string { return t.path }

// Groups lists the samples in the file's order.
func (t *Tar) Groups() []Group { return t.groups }

// Load reads a file of the archive by its name.
func (t *Tar) Load(name string) ([]byte, error) {
	c, bad := clean(name)
	if bad != nil {
		bad.File = t.path
		return nil, bad
	}
	m, ok := t.files[c]
	if !ok {
		return nil, missing(t.path, name)
	}
	return t.Read(m)
}

// Read reads a member of a group.
func (t *Tar) Read(m Member) ([]byte, error) {
	if m.Size > t.limit {
		return nil, tooLarge(t.path, m.Ext, m.Size, t.limit)
	}
	b := make([]byte, m.Size)
	if _, err := t.f.ReadAt(b, m.offset); err != nil {
		f := AsFault(err, FileUnreadable)
		f.File = t.path
		return nil, f
	}
	return b, nil
}

// Len is the number of groups.
func (t *Tar) Len() int { return len(t.groups) }

// Sample makes a sample of group i: of its .json, if that is a record with conversations, else of its .txt as the
// caption of its pictures. The pictures are named as Load takes them.
func (t *Tar) Sample(i int) (Sample, error) {
	if i < 0 || i >= len(t.groups) {
		panic(misuse.Errorf("data", "group %d of %s, which has %d", i, t.path, len(t.groups)))
	}
	g := t.groups[i]
	s := Sample{ID: g.Key}
	caption, has := "", false
	for _, m := range g.Members {
		switch ext := strings.ToLower(m.Ext); ext {
		case "json":
			b, err := t.Read(m)
			if err != nil {
				return s, t.in(i, err)
			}
			b = bytes.TrimSpace(b)
			if f := wellFormed(b); f != nil {
				f.Note = "the group's .json"
				return s, t.in(i, f)
			}
			r, _, faults := parse(b)
			if len(r.Turns) > 0 && len(faults) == 0 {
				return r, nil
			}
			if len(faults) > 0 && faults[0].Kind != IDMissing && faults[0].Kind != ConversationsMissing {
				return s, t.in(i, faults[0])
			}
		case "txt":
			b, err := t.Read(m)
			if err != nil {
				return s, t.in(i, err)
			}
			caption, has = string(b), true
		case "jpg", "jpeg", "png", "webp", "gif", "bmp":
			s.Images = append(s.Images, g.Key+"."+m.Ext)
		}
	}
	if !has {
		return s, t.in(i, NewFault(NoAnswer, "neither a .txt with a caption nor a .json with conversations"))
	}
	s.Turns = []chat.Turn{{From: chat.Human, Value: strings.TrimSuffix(strings.Repeat(chat.ImageToken+"\n",
		len(s.Images)), "\n")},
		{From: chat.GPT, Value: caption}}
	return s, nil
}

// in adds the group to a fault.
func (t *Tar) in(i int, err error) error {
	f := AsFault(err, FileUnreadable)
	f.File, f.Record, f.ID = t.path, i, t.groups[i].Key
	return f
}
