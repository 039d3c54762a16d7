//go:build amd64 && !purego

package cpu

import "github.com/gollava/gollava/internal/backend"

// blockKernels are those of one format: decode widens n blocks, and dot multiplies rows of n blocks with a vector of
// [rounded], dots with a tile of them.
type blockKernels struct {
	decode    func(dst *float32, b *byte, n int)
	dot, dots func(n, rows int, w *byte, q *int8, d, s, out *float32)
}

var blockTable = [...]blockKernels{
	backend.Q8_0:   {decodeQ8_0AVX2, dotQ8_0AVX2, dotsQ8_0AVX2},
	backend.Q4_0:   {decodeQ4_0AVX2, dotQ4_0AVX2, dotsQ4_0AVX2},
	backend.Q4_1:   {decodeQ4_1AVX2, dotQ4_1AVX2, dotsQ4_1AVX2},
	backend.Q5_0:   {decodeQ5_0AVX2, dotQ5_0AVX2, dotsQ5_0AVX2},
	backend.Q5_1:   {decodeQ5_1AVX2, dotQ5_1AVX2, dotsQ5_1AVX2},
	backend.Q4_K:   {decodeQ4_KAVX2, dotQ4_KAVX2, dotsQ4_KAVX2},
	backend.Q5_K:   {decodeQ5_KAVX2, dotQ5_KAVX2, dotsQ5_KAVX2},
	backend.Q6_K:   {decodeQ6_KAVX2, dotQ6_KAVX2, dotsQ6_KAVX2},
	backend.IQ4_NL: {decodeIQ4_NLAVX2, dotIQ4_NLAVX2, dotsIQ4_NLAVX2},
}

// kernelsOf are the kernels of a block type, nil if there are none. AVX-512 has the same: on 256 bits.
func kernelsOf(dt backend.DType) *blockKernels {
	if active == generic || int(dt) >= len(blockTable) || blockTable[dt].decode == nil {
		return nil
	}
	return &blockTable[dt]
}

// roundBlocks rounds n blocks of x as [roundRow] does, block i to q[32·step·i:], d[step·i] and s[step·i].
func roundBlocks(n int, q []int8, d, s, x []float32, step int) {
	roundBlocksAVX2(n, &q[0], &d[0], &s[0], &x[0], step)
}
