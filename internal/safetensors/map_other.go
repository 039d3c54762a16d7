//go:build !unix

package safetensors

import "os"

// Without a mapping, File.Bytes reads.
func mapFile(*os.File, int64) ([]byte, error) { return nil, nil }

func unmap([]byte) error { return nil }
