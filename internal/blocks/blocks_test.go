package blocks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
)

// recorded is a case folder of testdata: what the reference implementations made of values.
type recorded struct {
	*safetensors.File
	t *testing.T
}

func open(t *testing.T, name string, facts any) recorded {
	raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, facts))
	f, err := safetensors.Open(filepath.Join("testdata", name+".safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return recorded{f, t}
}

func (r recorded) raw(name string) []byte {
	b, err := r.Bytes(name)
	require.NoError(r.t, err)
	return b
}

func (r recorded) floats(name string) []float32 {
	info, ok := r.Info(name)
	require.True(r.t, ok, name)
	b := r.raw(name)
	var x []float32
	switch info.DType {
	case "F32":
		for i := 0; i < len(b); i += 4 {
			x = append(x, math.Float32frombits(uint32(b[i])|uint32(b[i+1])<<8|uint32(b[i+2])<<16|uint32(b[i+3])<<24))
		}
	case "F16":
		for i := 0; i < len(b); i += 2 {
			x = append(x, half(b[i:]))
		}
	case "BF16":
		for i := 0; i < len(b); i += 2 {
			x = append(x, math.Float32frombits(uint32(b[i])<<16|uint32(b[i+1])<<24))
		}
	default:
		r.t.Fatalf("%s is %s", name, info.DType)
	}
	return x
}

func sameFloats(t *testing.T, what string, want, got []float32) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) && (want[i] == want[i] || got[i] == got[i]) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestGGML compares with what ggml and gguf-py made of the same values: decoding exactly, encoding exactly or within 2
// % of their error.
func TestGGML(t *testing.T) {
	var facts struct {
		Entries []struct {
			Name  string
			ID    int
			Exact bool
			Rows  []float64 `json:"row_rmse"`
		}
	}
	r := open(t, "ggml", &facts)
	x := r.floats("in.values")
	for _, e := range facts.Entries {
		f := ByID(e.ID)
		if f == nil {
			require.Contains(t, []string{"F16", "BF16"}, e.Name)
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			require.Equal(t, e.Name, f.Name)
			b := r.raw("out." + e.Name + ".bytes")
			got := make([]float32, len(x))
			f.Decode(got, b, 0, len(x))
			sameFloats(t, "decoded", r.floats("out."+e.Name+".dequantized"), got)

			random, want := r.raw("in."+e.Name+".bytes"), r.floats("out."+e.Name+".values")
			got = make([]float32, len(want))
			f.Decode(got, random, 0, len(want))
			sameFloats(t, "arbitrary bytes", want, got)

			part := make([]float32, 61) // beginning and ending within blocks
			f.Decode(part, random, 13, len(want))
			sameFloats(t, "a part", want[13:74], part)

			if !f.CanEncode() {
				return
			}
			out := make([]byte, f.Bytes(len(x)))
			f.Encode(out, x)
			if e.Exact && !bytes.Equal(out, b) {
				t.Errorf("encoded bytes differ")
			}
			got = make([]float32, len(x))
			f.Decode(got, out, 0, len(x))
			for row, limit := range e.Rows {
				sum := 0.0
				for i := 256 * row; i < 256*row+256; i++ {
					sum += math.Pow(float64(got[i])-float64(x[i]), 2)
				}
				if rmse := math.Sqrt(sum / 256); rmse > 1.02*limit {
					t.Errorf("row %d: error %.4g, above 1.02 × ggml's %.4g", row, rmse, limit)
				}
			}
		})
	}
}

// TestBitsandbytes compares with what bitsandbytes made of the same weights.
func TestBitsandbytes(t *testing.T) {
	var facts struct {
		Entries []struct {
			Name      string
			Type      string `json:"quant_type"`
			Nested    bool
			Blocksize int
		}
	}
	r := open(t, "bitsandbytes", &facts)
	tested := 0
	for _, e := range facts.Entries {
		if e.Blocksize != flat {
			continue
		}
		tested++
		f := map[string]*Format{"nf4false": NF4, "nf4true": NF4D, "fp4false": FP4, "fp4true": FP4D}[fmt.Sprint(e.Type, e.Nested)]
		t.Run(e.Name+f.Name, func(t *testing.T) {
			x, want := r.floats("in."+e.Name+".weight"), r.floats("out."+e.Name+".dequantized")
			codes, absmax := r.raw("out."+e.Name+".weight"), r.raw("out."+e.Name+".weight.absmax")
			out := make([]byte, f.Bytes(len(x)))
			f.Encode(out, x)
			if e.Nested {
				sameFloats(t, "table", r.floats("out."+e.Name+".weight.nested_quant_map"), Scale8()[:])
				for i, scale := range r.floats("out." + e.Name + ".weight.nested_absmax") {
					g := groupAt(out, i, len(x))
					require.Equal(t, codes[:len(g.codes)], g.codes, "codes of group %d", i)
					require.Equal(t, absmax[:len(g.absmax)], g.absmax, "absmax of group %d", i)
					codes, absmax = codes[len(g.codes):], absmax[len(g.absmax):]
					require.InDelta(t, scale, g.scale, 1e-6*float64(scale))
				}
				require.Empty(t, codes)
			} else {
				for i := 0; i*flat < len(x); i++ {
					b := out[i*36:][:36]
					require.Equal(t, absmax[4*i:4*i+4], b[:4], "absmax of block %d", i)
					c := codes[32*i : min(32*i+32, len(codes))]
					require.Equal(t, c, b[4:4+len(c)], "codes of block %d", i)
				}
			}
			got := make([]float32, len(x))
			f.Decode(got, out, 0, len(x))
			for i, w := range want {
				require.InDelta(t, w, got[i], 1e-6*math.Abs(float64(w))+1e-30, "value %d", i)
			}
			whole := got
			for _, span := range [][2]int{{1, 2}, {63, 66}, {17, 200}, {64, 128}, {5, len(x)}} {
				from, to := min(span[0], len(x)), min(span[1], len(x))
				part := make([]float32, to-from)
				f.Decode(part, out, from, len(x))
				sameFloats(t, fmt.Sprint(span), whole[from:to], part)
			}
		})
	}
	require.Greater(t, tested, 3)
}
