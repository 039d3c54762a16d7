//go:build amd64 && !linux && !purego

package cpu

// mayUseAMX is false where it is not known how to ask for the tile registers.
func mayUseAMX() bool { return false }
