// Package mapfile maps whole files into memory, read-only. Where the system cannot, it reads them.
package mapfile

import (
	"fmt"
	"os"
)

// File is a file in memory. Bytes may be used by any number of goroutines until Close.
type File struct {
	b      []byte
	mapped bool
}

// Regular opens the regular file at path to be read. Anything else is an error that names it: to open a pipe that
// nobody writes to would never end.
func Regular(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	return os.Open(path)
}

// Open maps the regular file at path.
func Open(path string) (*File, error) {
	f, err := Regular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return &File{}, nil
	}
	b, err := Map(f, info.Size())
	if err != nil || b != nil {
		return &File{b, true}, err
	}
	b, err = os.ReadFile(path)
	return &File{b: b}, err
}

// Bytes is the content, which must not be written to.
func (f *File) Bytes() []byte { return f.b }

// Close unmaps the file.
func (f *File) Close() error {
	b := f.b
	f.b = nil
	if !f.mapped || b == nil {
		return nil
	}
	return Unmap(b)
}
