package train

import (
	"io"
	"os"
	"path/filepath"
)

// fileSystem is what writing a checkpoint needs, so that tests can fail or die at every step of it.
type fileSystem interface {
	Mkdir(name string) error
	Create(name string) (file, error)
	Rename(from, to string) error
	RemoveAll(name string) error
	SyncDir(name string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// disk is the operating system's.
type disk struct{}

func (disk) Mkdir(name string) error          { return os.Mkdir(name, 0o777) }
func (disk) Create(name string) (file, error) { return os.Create(name) }
func (disk) RemoveAll(name string) error      { return os.RemoveAll(name) }
func (disk) Rename(from, to string) error     { return os.Rename(from, to) }

// SyncDir makes the names in a directory durable.
func (disk) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// writeFile creates dir/name from what fill writes, and makes it durable.
func writeFile(fs fileSystem, dir, name string, fill func(io.Writer) error) (err error) {
	f, err := fs.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	return f.Sync()
}
