package ggufcase

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/verify"
)

// blockEntry is one format of a case.
type blockEntry struct {
	Name  string
	Exact bool
	Rows  []float64 `json:"row_rmse"`
}

// Blocks checks formats: bytes to values exactly, and values to bytes exactly or with an error within 2 % of ggml's in every row.
func Blocks(dir string) ([]verify.Row, error) {
	var c struct{ Entries []blockEntry }
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	values := e.Tensor("in.values")
	if e.Err != nil {
		return nil, e.Err
	}
	x := values.Data()
	var rows []verify.Row
	for _, b := range c.Entries {
		f := formatOf(b.Name)
		if f == nil {
			rows = append(rows, verify.Failed(b.Name, fmt.Errorf("the format is not known")))
			continue
		}
		rows = append(rows, decoded(e, f, b.Name+": decoded", "out."+b.Name+".bytes", "out."+b.Name+".dequantized"))
		if e.Has("in." + b.Name + ".bytes") {
			rows = append(rows, decoded(e, f, b.Name+": arbitrary bytes", "in."+b.Name+".bytes", "out."+b.Name+".values"))
		}
		if !f.CanEncode() {
			continue
		}
		out := make([]byte, f.Bytes(len(x)))
		f.Encode(out, x)
		if b.Exact {
			want, err := e.Bytes("out." + b.Name + ".bytes")
			if err != nil {
				return nil, err
			}
			t := verify.Tally{What: b.Name + ": encoded bytes"}
			t.Check(bytes.Equal(out, want), "the bytes differ")
			rows = append(rows, t.Row())
			continue
		}
		rows = append(rows, errors(b, f, out, x))
	}
	return rows, e.Err
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

func decoded(e *verify.Expected, f *blocks.Format, what, from, to string) verify.Row {
	b, err := e.Bytes(from)
	want := e.Tensor(to)
	if err != nil || e.Err != nil || len(b) != f.Bytes(want.Len()) {
		return verify.Failed(what, fmt.Errorf("%s: %s has %d bytes for %s: %v", e.Path(), from, len(b), to, err))
	}
	got := make([]float32, want.Len())
	f.Decode(got, b, 0, len(got))
	t := verify.Tally{What: what}
	for i, w := range want.Data() {
		t.Check(math.Float32bits(w) == math.Float32bits(got[i]) || w != w && got[i] != got[i], "value %d is %v, want %v", i, got[i], w)
	}
	return t.Row()
}

// errors compares the error of each row with ggml's: what is above it, in parts of it.
func errors(b blockEntry, f *blocks.Format, out []byte, x []float32) verify.Row {
	back := make([]float32, len(x))
	f.Decode(back, out, 0, len(x))
	cols := len(x) / max(len(b.Rows), 1)
	t := verify.Tally{What: b.Name + ": error of encoding"}
	for r, limit := range b.Rows {
		sum := 0.0
		for i := r * cols; i < (r+1)*cols; i++ {
			sum += math.Pow(float64(back[i])-float64(x[i]), 2)
		}
		rmse := math.Sqrt(sum / float64(cols))
		t.Check(rmse <= 1.02*limit, "row %d: %.4g, above 1.02 × %.4g", r, rmse, limit)
	}
	return t.Row()
}
