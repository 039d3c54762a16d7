// Package quantcase checks codecs of quantised checkpoints against folders of what bitsandbytes, GPTQ and AWQ made of weights: the tasks "bnb_blocks"
// (4 bits), "bnb_int8" (LLM.int8) and "packed_blocks" (GPTQ, AWQ).
package quantcase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/verify"
)

// entry is one weight of a case, with the fields of all tasks.
type entry struct {
	Name      string
	Type      string `json:"quant_type"`
	Nested    bool
	BlockSize int
	Format    string
	Bits      int
	GroupSize int `json:"group_size"`
	In        int `json:"in_features"`
	Out       int `json:"out_features"`
}

// open reads a case's entries and its tensors.
func open(dir string) ([]entry, *verify.Expected, error) {
	var c struct{ Entries []entry }
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	return c.Entries, e, err
}

// floats reads a tensor of float32, float16 or bfloat16.
func floats(e *verify.Expected, name string) ([]float32, error) {
	info, ok := e.Info(name)
	if !ok {
		return nil, fmt.Errorf("%s: there is no tensor %s", e.Path(), name)
	}
	b, err := e.Bytes(name)
	if err != nil {
		return nil, err
	}
	if info.DType == "F32" {
		t := e.Tensor(name)
		if t == nil {
			return nil, e.Err
		}
		return t.Data(), nil
	}
	f := map[string]*blocks.Format{"F16": blocks.F16, "BF16": blocks.BF16}[info.DType]
	if f == nil {
		return nil, fmt.Errorf("%s: tensor %s is %s", e.Path(), name, info.DType)
	}
	x := make([]float32, len(b)/2)
	f.Decode(x, b, 0, len(x))
	return x, nil
}

// equal counts numbers with the same bits.
func equal(what string, got, want []float32) verify.Row {
	t := verify.Tally{What: what}
	t.Check(len(got) == len(want), "%d numbers instead of %d", len(got), len(want))
	for i := range min(len(got), len(want)) {
		t.Check(math.Float32bits(got[i]) == math.Float32bits(want[i]) || got[i] == 0 && want[i] == 0, "number %d is %v, want %v", i, got[i], want[i])
	}
	return t.Row()
}

// raw compares the bytes of a tensor.
func raw(e *verify.Expected, what, name string, got []byte) verify.Row {
	want, err := e.Bytes(name)
	if err != nil {
		return verify.Failed(what, err)
	}
	t := verify.Tally{What: what}
	t.Check(bytes.Equal(got, want), "%s: the bytes differ", name)
	return t.Row()
}

// Blocks checks weights of 4 bits: what a checkpoint has for them, and what that decodes to.
func Blocks(dir string) (rows []verify.Row, err error) {
	entries, e, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, n := range entries {
		x, err := floats(e, "in."+n.Name+".weight")
		if err != nil {
			return rows, err
		}
		table := &blocks.NormalFloat
		if n.Type == "fp4" {
			table = &blocks.Float4
		}
		p, out := blocks.Split(table, x, n.BlockSize, n.Nested), "out."+n.Name+".weight"
		what := fmt.Sprintf("weight %s, %s", n.Name, n.Type)
		map4, err := floats(e, out+".quant_map")
		if err != nil {
			return rows, err
		}
		rows = append(rows, raw(e, what+": codes", out, p.Codes), equal(what+": table", p.Table[:], map4))
		if n.Nested {
			var state struct {
				Offset float64 `json:"nested_offset"`
			}
			text, err := e.Bytes(out + ".quant_state.bitsandbytes__" + n.Type)
			if err == nil {
				err = json.Unmarshal(text, &state)
			}
			if err != nil {
				return rows, err
			}
			map8, err := floats(e, out+".nested_quant_map")
			if err != nil {
				return rows, err
			}
			rows = append(rows, raw(e, what+": codes of scales", out+".absmax", p.Codes8), equal(what+": table of scales", p.Table8, map8),
				verify.Relative(what+": offset", []float64{float64(p.Offset)}, []float64{state.Offset}, 1e-6),
				verify.Relative(what+": scales of scales", verify.Widen(p.Scales8), e.Numbers(out+".nested_absmax"), 1e-6))
			p.Offset = float32(state.Offset) // a mean whose last bit depends on the order of its sum
			p.Scales8 = append([]float32(nil), e.Tensor(out+".nested_absmax").Data()...)
		} else {
			absmax, err := floats(e, out+".absmax")
			if err != nil {
				return rows, err
			}
			rows = append(rows, equal(what+": scales", p.Absmax, absmax))
		}
		got := make([]float32, len(x))
		p.Decode(got)
		want, err := floats(e, "out."+n.Name+".dequantized")
		if err != nil {
			return rows, err
		}
		rows = append(rows, equal(what+": decoded", got, want))
		for _, f := range []*blocks.Format{blocks.NF4, blocks.FP4, blocks.NF4D, blocks.FP4D} { // and in our own blocks
			if strings.HasPrefix(strings.ToLower(f.Name), n.Type) && p.Fits(f) {
				f.Decode(got, p.Pack(f, len(x)), 0, len(x))
				rows = append(rows, equal(what+": in blocks of "+f.Name, got, want))
				back := blocks.Unpack(f, p.Pack(f, len(x)), len(x))
				rows = append(rows, raw(e, what+": codes back from "+f.Name, out, back.Codes))
			}
		}
	}
	return rows, e.Err
}

// Int8 checks weights of LLM.int8.
func Int8(dir string) (rows []verify.Row, err error) {
	entries, e, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, n := range entries {
		x, err := floats(e, "in."+n.Name+".weight")
		if err != nil {
			return rows, err
		}
		want, err := floats(e, "out."+n.Name+".SCB")
		if err != nil {
			return rows, err
		}
		codes, scb, got := make([]byte, len(x)), make([]float32, len(want)), make([]float32, len(x))
		blocks.EncodeInt8(codes, scb, x)
		blocks.DecodeInt8(got, codes, scb)
		wide, err := floats(e, "out."+n.Name+".dequantized")
		if err != nil {
			return rows, err
		}
		rows = append(rows, raw(e, n.Name+": codes", "out."+n.Name+".weight", codes), equal(n.Name+": scales", scb, want), equal(n.Name+": decoded", got, wide))
	}
	return rows, e.Err
}

// Packed checks weights of GPTQ and AWQ.
func Packed(dir string) (rows []verify.Row, err error) {
	entries, e, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, n := range entries {
		in := "in." + n.Name + "."
		p := blocks.Packed{In: n.In, Out: n.Out, Bits: n.Bits, Weight: e.Ints(in + "qweight"), Zeros: e.Ints(in + "qzeros"), AWQ: n.Format == "awq",
			ZerosAsIs: n.Format == "gptq_v2", Group: make([]int32, n.In)}
		for i := range p.Group {
			p.Group[i] = int32(i / max(n.GroupSize, 1))
			if n.GroupSize <= 0 {
				p.Group[i] = 0
			}
		}
		if e.Has(in + "g_idx") {
			p.Group = e.Ints(in + "g_idx")
		}
		if p.Scales, err = floats(e, in+"scales"); err != nil || e.Err != nil {
			return rows, fmt.Errorf("entry %s: %w %w", n.Name, err, e.Err)
		}
		got := make([]float32, n.In*n.Out)
		p.Decode(got)
		want, err := floats(e, "out."+n.Name+".weight")
		if err != nil {
			return rows, err
		}
		rows = append(rows, equal(fmt.Sprintf("%s, %d bits, entry %s", n.Format, n.Bits, n.Name), got, want))
	}
	return rows, e.Err
}
