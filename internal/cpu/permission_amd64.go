//go:build amd64 && !linux && !purego

package cpu

// mayUseTiles is false where it is not known how to ask for the tile registers.
func mayUseTiles() bool { return false }
