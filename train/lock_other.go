//go:build !unix

package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lock is the right to write to a directory: a file that an open handle keeps from being deleted.
type lock struct {
	f    *os.File
	name string
}

// acquire takes the lock of dir. dead is the process that held it before and did not give it back, or 0.
func acquire(dir string) (l *lock, dead int, err error) {
	name := filepath.Join(dir, "lock")
	if b, err := os.ReadFile(name); err == nil {
		dead, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		_ = os.Remove(name) // fails while its owner lives
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, 0, fmt.Errorf("%s is in use by process %d: wait for it or stop it, or choose another directory", dir,
			dead)
	}
	if err != nil {
		return nil, 0, err
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		f.Close()
		return nil, 0, err
	}
	return &lock{f, name}, dead, nil
}

// release gives the lock back.
func (l *lock) release() {
	l.f.Close()
	_ = os.Remove(l.name)
}

func syncDir(*os.File) error { return nil } // such systems cannot, and need not
