//go:build linux || darwin

package train

import "syscall"

// freeSpace is how many bytes the file system of dir has free for us; false: unknown.
func freeSpace(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
