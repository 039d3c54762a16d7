//go:build unix

package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock is the right to write to a directory. The operating system takes it back when the process ends, however it ends.
type lock struct{ f *os.File }

// acquire takes the lock of dir. dead is the process that held it before and did not give it back, or 0.
func acquire(dir string) (l *lock, dead int, err error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	b := make([]byte, 32)
	n, _ := f.Read(b)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, 0, fmt.Errorf("%s is in use by process %d: wait for it or stop it, or choose another directory", dir,
				pid)
		}
		return nil, 0, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, 0, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, 0, err
	}
	return &lock{f}, pid, nil
}

// release gives the lock back.
func (l *lock) release() {
	_ = l.f.Truncate(0) // an empty file says that nobody died holding it
	l.f.Close()
}

func syncDir(d *os.File) error { return d.Sync() }
