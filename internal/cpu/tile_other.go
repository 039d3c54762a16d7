//go:build !(amd64 || arm64) || purego

package cpu

func activeTiler() *tiler { return &genericTiler }

func transposeRows(k int, dst []float32, dRow int, b *operand, at, sRow int) int { return 0 }

func copyStrip(k int, dst []float32, dRow int, b *operand, at, cols, width int) bool { return false }

func widenRow(dst []float32, src []uint16) int { return 0 }
