//go:build unix

package mapfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Map maps the first size bytes of f; nil where the system cannot.
func Map(f *os.File, size int64) ([]byte, error) {
	if int64(int(size)) != size {
		return nil, nil // a 32-bit machine: read piece by piece
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	return m, nil
}

// Unmap ends a mapping.
func Unmap(m []byte) error {
	if m == nil {
		return nil
	}
	return unix.Munmap(m)
}
