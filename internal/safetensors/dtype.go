package safetensors

import (
	"fmt"
	"math"
)

// bits is the size of one element of each dtype of the format.
var bits = map[string]int64{
	"F64": 64, "I64": 64, "U64": 64, "C64": 64,
	"F32": 32, "I32": 32, "U32": 32,
	"F16": 16, "BF16": 16, "I16": 16, "U16": 16,
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}

// maxRank is far above any real tensor's.
const maxRank = 64

// Size is the number of bytes of a tensor, or an error if the format does not know the dtype, a dimension is negative,
// the size overflows or does not fill whole bytes.
func Size(dtype string, shape []int) (int64, error) {
	b, ok := bits[dtype]
	if !ok {
		return 0, fmt.Errorf("dtype %q is not known", dtype)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("shape has %d dimensions, above the limit of %d", len(shape), maxRank)
	}
	n := b
	empty := false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		if d == 0 {
			empty = true
			continue
		}
		if n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("shape %v of %s overflows", shape, dtype)
		}
		n *= int64(d)
	}
	if empty {
		return 0, nil
	}
	if n%8 != 0 {
		return 0, fmt.Errorf("shape %v of %s does not fill whole bytes", shape, dtype)
	}
	return n / 8, nil
}
