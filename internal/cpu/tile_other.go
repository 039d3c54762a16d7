//go:build !amd64 || purego

package cpu

func activeTiler() *tiler { return &genericTiler }

func transposeRows(k int, dst *float32, dRow int, b *operand, at, sRow int) int { return 0 }
