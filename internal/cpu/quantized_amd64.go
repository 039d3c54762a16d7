//go:build amd64 && !purego

package cpu

import "github.com/gollava/gollava/internal/backend"

type (
	rowFunc   func(n, stride int, w *byte, q *int8, d, s, c *float32)
	packFunc  func(n, stride int, w *byte, codes *int8, scales *float32, ahead int)
	panelFunc func(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int)
)

// blockKernels are those of one format: decode widens n blocks, pack unpacks a panel of eight rows, and multiply
// multiplies it with 1, 2 or 4 rows of [roundedRows]. row, if not nil, multiplies eight rows that are not unpacked with
// one.
type blockKernels struct {
	decode   func(dst *float32, b *byte, n int)
	pack     packFunc
	multiply *[3]panelFunc
	scales   int // float32s in a panel for every 32 elements of a row
	row      rowFunc
}

var (
	nibblePanels = [3]panelFunc{panel4x1AVX2, panel4x2AVX2, panel4x4AVX2}
	fivePanels   = [3]panelFunc{panel5x1AVX2, panel5x2AVX2, panel5x4AVX2}
	sixPanels    = [3]panelFunc{panel6x1AVX2, panel6x2AVX2, panel6x4AVX2}
	bytePanels   = [3]panelFunc{panel8x1AVX2, panel8x2AVX2, panel8x4AVX2}
)

var blockTable = [...]blockKernels{
	backend.Q8_0:   {decodeQ8_0AVX2, packQ8_0AVX2, &bytePanels, 8, rowQ8_0AVX2},
	backend.Q4_0:   {decodeQ4_0AVX2, packQ4_0AVX2, &nibblePanels, 16, rowQ4_0AVX2},
	backend.Q4_1:   {decodeQ4_1AVX2, packQ4_1AVX2, &nibblePanels, 16, rowQ4_1AVX2},
	backend.Q5_0:   {decodeQ5_0AVX2, packQ5_0AVX2, &fivePanels, 16, nil},
	backend.Q5_1:   {decodeQ5_1AVX2, packQ5_1AVX2, &fivePanels, 16, nil},
	backend.Q4_K:   {decodeQ4_KAVX2, packQ4_KAVX2, &nibblePanels, 16, rowQ4_KAVX2},
	backend.Q5_K:   {decodeQ5_KAVX2, packQ5_KAVX2, &fivePanels, 16, nil},
	backend.Q6_K:   {decodeQ6_KAVX2, packQ6_KAVX2, &sixPanels, 16, nil},
	backend.INT8:   {decodeINT8AVX2, packINT8AVX2, &bytePanels, 8, rowINT8AVX2},
	backend.IQ4_NL: {decodeIQ4_NLAVX2, packIQ4_NLAVX2, &bytePanels, 8, nil},
}

// kernelsOf are the kernels of a block type, nil if there are none. AVX-512 has the same: on 256 bits.
func kernelsOf(dt backend.DType) *blockKernels {
	if active == generic || int(dt) >= len(blockTable) || blockTable[dt].decode == nil {
		return nil
	}
	return &blockTable[dt]
}

// roundBlocks rounds n blocks of x as [roundRow] does.
func roundBlocks(n int, q []int8, d, s, x []float32) { roundBlocksAVX2(n, &q[0], &d[0], &s[0], &x[0]) }

func dotProducts() bool { return false }
