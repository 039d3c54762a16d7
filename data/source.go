package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/gollava/gollava/data/imaging"
)

// Source is where pictures come from: a Folder, a Zip, a Tar, or your own. Load may be called from several goroutines;
// its errors are *Fault.
type Source interface {
	// Load returns the bytes of the picture that a record calls name.
	Load(name string) ([]byte, error)
	Close() error
}

// DefaultLimits bound a picture where nothing else is said: 64 MiB, 50 megapixels, one side up to 200 times the other.
func DefaultLimits() imaging.Limits {
	return imaging.Limits{Bytes: 64 << 20, Pixels: imaging.DefaultPixels, Side: 65535, Aspect: 200}
}

// Folder is a folder of pictures. Nothing outside of it can be read: neither by "..", nor by an absolute path, nor
// through a symbolic link. It is safe for concurrent use.
type Folder struct {
	path  string
	root  *os.Root
	limit int64
}

// OpenFolder opens a folder of pictures.
func OpenFolder(dir string) (*Folder, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, opening(err, dir)
	}
	return &Folder{path: dir, root: r, limit: DefaultLimits().Bytes}, nil
}

// Close closes the folder.
func (d *Folder) Close() error { return d.root.Close() }

// clean returns the name as it must be within a folder or archive.
func clean(name string) (string, *Fault) {
	var f *Fault
	c := path.Clean(name)
	switch {
	case name == "":
		f = NewFault(FileMissing, "no name")
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		f = NewFault(FileMissing, "an address on the web: download the image, and write its path in the image folder")
	case strings.IndexByte(name, 0) >= 0:
		f = NewFault(PathInvalid, "a zero byte in the name")
	case path.IsAbs(name):
		f = NewFault(PathEscape, "an absolute path; paths begin at the image folder")
	case c == ".." || strings.HasPrefix(c, "../"):
		f = NewFault(PathEscape, "leads out of the image folder")
	default:
		return c, nil
	}
	f.Image = name
	return "", f
}

// Load reads a file. The name is a path with forward slashes, and is cleaned first: a/../b.jpg is b.jpg even where
// there is no a.
func (d *Folder) Load(name string) ([]byte, error) {
	c, bad := clean(name)
	if bad != nil {
		bad.File = d.path
		return nil, bad
	}
	b, err := d.load(c)
	if err != nil {
		f := d.failed(err)
		f.File, f.Image = d.path, name
		return nil, f
	}
	return b, nil
}

func (d *Folder) load(name string) ([]byte, error) {
	st, err := d.root.Stat(name) // first, as opening a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, NewFault(FileUnreadable, "not a regular file (%s)", st.Mode().Type())
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return imaging.Read(f, imaging.Limits{Bytes: d.limit})
}

// failed classifies an error of os.Root.
func (d *Folder) failed(err error) *Fault {
	f := AsFault(err, FileUnreadable)
	var p *fs.PathError
	switch {
	case f.Kind != FileUnreadable:
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		f.Kind, f.Note = FileMissing, "there is no such file in the image folder"
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		f.Kind = PathInvalid
	case errors.As(err, &p) && p.Err.Error() == "path escapes from parent": // os has no name for it
		f.Kind, f.Note = PathEscape, "a symbolic link leads out of the image folder"
	case strings.Contains(err.Error(), "too many"): // os has no name for its own limit on links
		f.Kind = FileMissing
	}
	return f
}

// inspect reads one picture and returns what is wrong with it, or nil. With pixels false only its header is looked at.
func inspect(src Source, name string, l imaging.Limits, pixels bool) *Fault {
	b, err := src.Load(name)
	if err == nil {
		if pixels {
			_, err = imaging.Decode(b, imaging.Options{Limits: l})
		} else {
			_, err = imaging.Header(b, l)
		}
	}
	if err != nil {
		f := AsFault(err, FileUnreadable)
		f.Image = name
		return f
	}
	if pixels && strings.HasPrefix(string(b[:min(8, len(b))]), "\x89PNG") && !endsPNG(b) {
		f := NewFault(ImageTruncated, "all pixels are there, but the end mark IEND is missing").warning()
		f.Image = name
		return f
	}
	return nil
}

// endsPNG follows a PNG's chunks to the last.
func endsPNG(b []byte) bool {
	for i := 8; i+12 <= len(b); {
		if string(b[i+4:i+8]) == "IEND" {
			return true
		}
		n := int(b[i])<<24 | int(b[i+1])<<16 | int(b[i+2])<<8 | int(b[i+3])
		if n > len(b)-i-12 {
			return false
		}
		i += 12 + n
	}
	return false
}

// CheckImage reads one picture to its last pixel and returns what is wrong with it, or nil.
func CheckImage(src Source, name string, l imaging.Limits) *Fault { return inspect(src, name, l, true) }

// tooLarge is the fault of an archive's member above the limit.
func tooLarge(file, name string, size, limit int64) *Fault {
	f := NewFault(ImageTooLarge, "%d bytes; %d are allowed", size, limit)
	f.File, f.Image = file, name
	return f
}

func missing(file, name string) *Fault {
	f := NewFault(FileMissing, "the archive has no such member")
	f.File, f.Image = file, name
	return f
}

// OpenSource opens a folder, or by its extension a .zip or .tar file, as a source of pictures.
func OpenSource(p string) (Source, error) {
	switch ext := strings.ToLower(path.Ext(p)); ext {
	case ".zip":
		return OpenZip(p)
	case ".tar":
		return OpenTar(p)
	case ".gz", ".tgz", ".bz2", ".xz", ".zst":
		return nil, fmt.Errorf("data: %s: compressed archives have no index; unpack it to .tar or a folder", p)
	}
	if st, err := os.Stat(p); err == nil && !st.IsDir() {
		return nil, fmt.Errorf("data: %s: images are read from a folder, a .zip or a .tar file; this is none of them",
			p)
	}
	return OpenFolder(p)
}
