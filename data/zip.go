package data

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"strings"
)

// Zip is a zip file of pictures, such as images.zip of CC3M-595K.
// It is safe for concurrent use.
type Zip struct {
	path  string
	f     *os.File
	files map[string]*zip.File
	limit int64

	folders folders
}

// OpenZip reads the directory of a zip file. A member whose name leads out of the archive's folder is a fault.
func OpenZip(name string) (*Zip, error) {
	f, r, err := openZip(name)
	if err != nil {
		return nil, err
	}
	z := &Zip{path: name, f: f, files: make(map[string]*zip.File, len(r.File)), limit: DefaultLimits().Bytes}
	for _, m := range r.File {
		c, bad := clean(m.Name)
		if bad != nil {
			f.Close()
			bad.File = name
			return nil, bad
		}
		if !m.FileInfo().IsDir() {
			z.files[c] = m
		}
	}
	return z, nil
}

func openZip(name string) (*os.File, *zip.Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, opening(err, name)
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = errors.New("is a folder")
	}
	if err != nil {
		f.Close()
		return nil, nil, opening(err, name)
	}
	r, err := zip.NewReader(f, st.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		bad := AsFault(err, ArchiveCorrupt)
		head := make([]byte, 4)
		if n, _ := f.ReadAt(head, 0); n == 0 {
			bad.Kind, bad.Note = FileEmpty, "no bytes at all"
		} else if bytes.Equal(head[:n], []byte("PK\x03\x04")[:n]) {
			bad.Kind, bad.Note = ArchiveTruncated, "it begins as a zip file, but the directory at its end is missing"
		}
		bad.File = name
		f.Close()
		return nil, nil, bad
	}
	return f, r, nil
}

// Close closes the file.
func (z *Zip) Close() error { return z.f.Close() }

// Len is the number of members.
func (z *Zip) Len() int { return len(z.files) }

// Load reads a member and holds it against its checksum.
func (z *Zip) Load(name string) ([]byte, error) {
	c, bad := clean(name)
	if bad != nil {
		bad.File = z.path
		return nil, bad
	}
	m, ok := z.files[c]
	if !ok {
		return nil, missing(z.path, name)
	}
	b, err := readMember(m, z.limit)
	if err != nil {
		f := AsFault(err, ArchiveCorrupt)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			f.Kind = ArchiveTruncated
		}
		f.File, f.Image = z.path, name
		return nil, f
	}
	return b, nil
}

func readMember(m *zip.File, limit int64) ([]byte, error) {
	if m.UncompressedSize64 > uint64(limit) {
		return nil, tooLarge("", "", int64(min(m.UncompressedSize64, 1<<62)), limit)
	}
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, tooLarge("", "", int64(b.Len()), limit)
	}
	return b.Bytes(), nil
}

// CheckArchive reads a .zip or .tar file to its end and lists what is wrong: an early end, names that lead outside,
// members that fail their checksum. The error is for an archive that cannot be read for reasons of its own.
func CheckArchive(name string) ([]Fault, error) {
	if strings.ToLower(path.Ext(name)) != ".zip" {
		t, err := OpenTar(name)
		if err == nil {
			return nil, t.Close()
		}
		return only(err)
	}
	f, r, err := openZip(name)
	if err != nil {
		return only(err)
	}
	defer f.Close()
	var out []Fault
	for _, m := range r.File {
		if _, bad := clean(m.Name); bad != nil {
			bad.File = name
			out = append(out, *bad)
			continue
		}
		if m.FileInfo().IsDir() {
			continue
		}
		if _, err := readMember(m, DefaultLimits().Bytes); err != nil {
			bad := AsFault(err, ArchiveCorrupt)
			bad.File, bad.Image = name, m.Name
			out = append(out, *bad)
		}
	}
	return out, nil
}

// only makes a list of an error that is a fault.
func only(err error) ([]Fault, error) {
	var f *Fault
	if errors.As(err, &f) {
		return []Fault{*f}, nil
	}
	return nil, err
}
