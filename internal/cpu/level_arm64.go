//go:build !purego

package cpu

// supported is the highest level of this processor: NEON is part of arm64.
func supported() level { return neon }
