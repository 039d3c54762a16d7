//go:build !unix

package mapfile

import "os"

// Map is nil: the system cannot map files.
func Map(*os.File, int64) ([]byte, error) { return nil, nil }

// Unmap does nothing.
func Unmap([]byte) error { return nil }
