package verify

import (
	"bytes"
	"fmt"
	"math"

	"github.com/gollava/gollava/internal/blocks"
)

// blockEntry is one format of a case.
type blockEntry struct {
	Name  string
	Exact bool
	Rows  []float64 `json:"row_rmse"`
}

// ggufBlocks checks formats: bytes to values exactly, and values to bytes exactly or with an error within 2 % of ggml's
// in every row.
func ggufBlocks(r *Report, c struct{ Entries []blockEntry }) {
	x := r.tensor("in.values").Data()
	for _, b := range c.Entries {
		f := formatOf(b.Name)
		if f == nil {
			r.add(failed(b.Name, fmt.Errorf("the format is not known")))
			continue
		}
		decoded(r, f, b.Name+": decoded", "out."+b.Name+".bytes", "out."+b.Name+".dequantized")
		if r.has("in." + b.Name + ".bytes") {
			decoded(r, f, b.Name+": arbitrary bytes", "in."+b.Name+".bytes", "out."+b.Name+".values")
		}
		if !f.CanEncode() {
			continue
		}
		out := make([]byte, f.Bytes(len(x)))
		f.Encode(out, x)
		if b.Exact {
			want := must(r.Bytes("out." + b.Name + ".bytes"))
			r.add(holds(b.Name+": encoded bytes", bytes.Equal(out, want), "the bytes differ"))
			continue
		}
		r.tally(b.Name+": error of encoding", func(t *tally) { encodingErrors(t, b, f, out, x) })
	}
}

// formatOf is the format of that name; F16 and BF16 are formats of single values here.
func formatOf(name string) *blocks.Format {
	switch name {
	case "F16":
		return blocks.F16
	case "BF16":
		return blocks.BF16
	}
	return blocks.ByName(name)
}

// decoded compares what recorded bytes decode to, to the bit.
func decoded(r *Report, f *blocks.Format, what, from, to string) {
	b, want := must(r.Bytes(from)), r.tensor(to)
	if len(b) != f.Bytes(want.Len()) {
		failf("%s: %s has %d bytes for %s", r.Path(), from, len(b), to)
	}
	got := make([]float32, want.Len())
	f.Decode(got, b, 0, len(got))
	r.tally(what, func(t *tally) {
		for i, w := range want.Data() {
			t.check(math.Float32bits(w) == math.Float32bits(got[i]) || w != w && got[i] != got[i],
				"value %d is %v, want %v", i, got[i], w)
		}
	})
}

// encodingErrors compares the error of each row with ggml's: what is above it, in parts of it.
func encodingErrors(t *tally, b blockEntry, f *blocks.Format, out []byte, x []float32) {
	back := make([]float32, len(x))
	f.Decode(back, out, 0, len(x))
	cols := len(x) / max(len(b.Rows), 1)
	for row, limit := range b.Rows {
		sum := 0.0
		for i := row * cols; i < (row+1)*cols; i++ {
			sum += math.Pow(float64(back[i])-float64(x[i]), 2)
		}
		rmse := math.Sqrt(sum / float64(cols))
		t.check(rmse <= 1.02*limit, "row %d: %.4g, above 1.02 × %.4g", row, rmse, limit)
	}
}
