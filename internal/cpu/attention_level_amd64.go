//go:build amd64 && !purego

package cpu

var attentionLevels = [...]*attentionKernels{
	generic: &attentionGeneric,
	avx2:    {softmaxTileAVX2, scoreTileAVX2, scaleRowsAVX2, dotRowsAVX2, sumRowsAVX2},
	avx512:  {softmaxTileAVX512, scoreTileAVX512, scaleRowsAVX512, dotRowsAVX512, sumRowsAVX512},
}

func activeAttention() *attentionKernels { return attentionLevels[vectorLevel()] }
