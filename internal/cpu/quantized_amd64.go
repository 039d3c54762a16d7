//go:build amd64 && !purego

package cpu

import (
	"golang.org/x/sys/cpu"

	"github.com/gollava/gollava/internal/backend"
)

var (
	nibblePanels = [3]panelFunc{panel4x1AVX2, panel4x2AVX2, panel4x4AVX2}
	fivePanels   = [3]panelFunc{panel5x1AVX2, panel5x2AVX2, panel5x4AVX2}
	sixPanels    = [3]panelFunc{panel6x1AVX2, panel6x2AVX2, panel6x4AVX2}
	bytePanels   = [3]panelFunc{panel8x1AVX2, panel8x2AVX2, panel8x4AVX2}

	unsignedVNNI = [3]panelFunc{panel5x1VNNI, panel5x2VNNI, panel5x4VNNI} // codes of any number of bits
	sixesVNNI    = [3]panelFunc{panel6x1VNNI, panel6x2VNNI, panel6x4VNNI}
	bytesVNNI    = [3]panelFunc{panel8x1VNNI, panel8x2VNNI, panel8x4VNNI}
)

var blockTable = [...]blockKernels{
	backend.Q8_0:   {decodeQ8_0AVX2, panels{8, packQ8_0AVX2, &bytePanels, 8, false, 0}, rowQ8_0AVX2, nil},
	backend.Q4_0:   {decodeQ4_0AVX2, panels{8, packQ4_0AVX2, &nibblePanels, 16, false, 0}, rowQ4_0AVX2, nil},
	backend.Q4_1:   {decodeQ4_1AVX2, panels{8, packQ4_1AVX2, &nibblePanels, 16, false, 0}, rowQ4_1AVX2, nil},
	backend.Q5_0:   {decodeQ5_0AVX2, panels{8, packQ5_0AVX2, &fivePanels, 16, false, 0}, nil, nil},
	backend.Q5_1:   {decodeQ5_1AVX2, panels{8, packQ5_1AVX2, &fivePanels, 16, false, 0}, nil, nil},
	backend.Q4_K:   {decodeQ4_KAVX2, panels{8, packQ4_KAVX2, &nibblePanels, 16, false, 0}, rowQ4_KAVX2, nil},
	backend.Q5_K:   {decodeQ5_KAVX2, panels{8, packQ5_KAVX2, &fivePanels, 16, false, 0}, nil, nil},
	backend.Q6_K:   {decodeQ6_KAVX2, panels{8, packQ6_KAVX2, &sixPanels, 16, false, 0}, nil, nil},
	backend.INT8:   {decodeINT8AVX2, panels{8, packINT8AVX2, &bytePanels, 8, false, 0}, rowINT8AVX2, nil},
	backend.IQ4_NL: {decodeIQ4_NLAVX2, panels{8, packIQ4_NLAVX2, &bytePanels, 8, false, 0}, nil, nil},
}

// vnniTable has, besides, panels of sixteen rows for VPDPBUSD.
var vnniTable = withPanels(map[backend.DType]panels{
	backend.Q8_0:   {16, packQ8_0AVX512, &bytesVNNI, 16, true, 2},
	backend.Q4_0:   {16, packQ4_0AVX512, &unsignedVNNI, 32, false, 2},
	backend.Q4_1:   {16, packQ4_1AVX512, &unsignedVNNI, 32, false, 2},
	backend.Q5_0:   {16, packQ5_0AVX512, &unsignedVNNI, 32, false, 2},
	backend.Q5_1:   {16, packQ5_1AVX512, &unsignedVNNI, 32, false, 2},
	backend.Q4_K:   {16, packQ4_KAVX512, &unsignedVNNI, 32, false, 2},
	backend.Q5_K:   {16, packQ5_KAVX512, &unsignedVNNI, 32, false, 2},
	backend.Q6_K:   {16, packQ6_KAVX512, &sixesVNNI, 32, true, 2},
	backend.INT8:   {16, packINT8AVX512, &bytesVNNI, 16, true, 2},
	backend.IQ4_NL: {16, packIQ4_NLAVX512, &bytesVNNI, 16, true, 2},
})

// withPanels is blockTable with wide panels.
func withPanels(wide map[backend.DType]panels) (table [len(blockTable)]blockKernels) {
	table = blockTable
	for dt, p := range wide {
		table[dt].wide = &p
	}
	return table
}

// kernelsOf are the kernels of a block type, nil if there are none.
func kernelsOf(dt backend.DType) *blockKernels {
	switch {
	case active == generic || int(dt) >= len(blockTable) || blockTable[dt].decode == nil:
		return nil
	case active >= avx512 && cpu.X86.HasAVX512VNNI:
		return &vnniTable[dt]
	}
	return &blockTable[dt]
}

// roundBlocks rounds n blocks of x as [roundRow] does.
func roundBlocks(n int, q []int8, d, s, x []float32) { roundBlocksAVX2(n, &q[0], &d[0], &s[0], &x[0]) }

// roundOffset is roundBlocks for codes of weights with 128 added.
func roundOffset(n int, q []int8, d, s, x []float32) { roundOffsetAVX2(n, &q[0], &d[0], &s[0], &x[0]) }

func dotProducts() bool { return false }
