package gguf

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/gollava/gollava/internal/blocks"
)

// Encode writes the rows of cols values that x holds as a tensor of type t: F32, F16, BF16 or a block format that can
// be encoded. Row i is row from(i) of x; nil: they are written in order. It returns the root mean square of the
// values and that of what the type changes in them.
func (t Type) Encode(w io.Writer, x []float32, cols int, from func(i int) int) (rms, changed float64, err error) {
	f := map[Type]*blocks.Format{F16: blocks.F16, BF16: blocks.BF16}[t]
	if f == nil {
		f = blocks.ByID(int(t))
	}
	var squares, changes float64
	back, out := make([]float32, cols), make([]byte, 4*cols)
	if f != nil {
		out = out[:f.Bytes(cols)]
	}
	for i := range len(x) / max(cols, 1) {
		at := i
		if from != nil {
			at = from(i)
		}
		row := x[at*cols:][:cols]
		if f == nil {
			for j, v := range row {
				binary.LittleEndian.PutUint32(out[4*j:], math.Float32bits(v))
			}
			copy(back, row)
		} else {
			f.Encode(out, row)
			f.Decode(back, out, 0, cols)
		}
		if _, err := w.Write(out); err != nil {
			return 0, 0, err
		}
		for j, v := range row {
			squares += float64(v) * float64(v)
			changes += float64(v-back[j]) * float64(v-back[j])
		}
	}
	n := float64(max(len(x), 1))
	return math.Sqrt(squares / n), math.Sqrt(changes / n), nil
}
