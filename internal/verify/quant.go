package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/blocks"
)

// quantised is case.json of the tasks about quantised checkpoints.
type quantised struct{ Entries []quantEntry }

// quantEntry is one weight of a case, with the fields of all tasks.
type quantEntry struct {
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

// floats reads a tensor of float32, float16 or bfloat16.
func (e expected) floats(name string) []float32 {
	info, _ := e.Info(name)
	f := map[string]*blocks.Format{"F16": blocks.F16, "BF16": blocks.BF16}[info.DType]
	if f == nil {
		return e.tensor(name).Data()
	}
	b := must(e.Bytes(name))
	x := make([]float32, len(b)/2)
	f.Decode(x, b, 0, len(x))
	return x
}

// equal adds a row for numbers that must have the same bits as those of a tensor.
func (r *Report) equal(what string, got []float32, name string) {
	want := r.floats(name)
	r.tally(what, func(t *tally) {
		t.check(len(got) == len(want), "%d numbers instead of %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			t.check(math.Float32bits(got[i]) == math.Float32bits(want[i]) || got[i] == 0 && want[i] == 0,
				"number %d is %v, want %v", i, got[i], want[i])
		}
	})
}

// raw adds a row for the bytes of a tensor.
func (r *Report) raw(what, name string, got []byte) {
	r.add(holds(what, bytes.Equal(got, must(r.Bytes(name))), "%s: the bytes differ", name))
}

// bnbBlocks checks weights of 4 bits: what a checkpoint has for them, and what that decodes to.
func bnbBlocks(r *Report, c quantised) {
	for _, n := range c.Entries {
		x := r.floats("in." + n.Name + ".weight")
		table := &blocks.NormalFloat
		if n.Type == "fp4" {
			table = &blocks.Float4
		}
		p, out := blocks.Split(table, x, n.BlockSize, n.Nested), "out."+n.Name+".weight"
		what := fmt.Sprintf("weight %s, %s", n.Name, n.Type)
		r.raw(what+": codes", out, p.Codes)
		r.equal(what+": table", p.Table[:], out+".quant_map")
		if n.Nested {
			var state struct {
				Offset float64 `json:"nested_offset"`
			}
			check(json.Unmarshal(must(r.Bytes(out+".quant_state.bitsandbytes__"+n.Type)), &state))
			r.raw(what+": codes of scales", out+".absmax", p.Codes8)
			r.equal(what+": table of scales", p.Table8, out+".nested_quant_map")
			r.add(relative(what+": offset", []float64{float64(p.Offset)}, []float64{state.Offset}, 1e-6),
				relative(what+": scales of scales", widen(p.Scales8), r.numbers(out+".nested_absmax"), 1e-6))
			p.Offset = float32(state.Offset) // a mean whose last bit depends on the order of its sum
			p.Scales8 = slices.Clone(r.tensor(out + ".nested_absmax").Data())
		} else {
			r.equal(what+": scales", p.Absmax, out+".absmax")
		}
		got := make([]float32, len(x))
		p.Decode(got)
		r.equal(what+": decoded", got, "out."+n.Name+".dequantized")
		for _, f := range []*blocks.Format{blocks.NF4, blocks.FP4, blocks.NF4D, blocks.FP4D} { // and in our own blocks
			if strings.HasPrefix(strings.ToLower(f.Name), n.Type) && p.Fits(f) {
				f.Decode(got, p.Pack(f, len(x)), 0, len(x))
				r.equal(what+": in blocks of "+f.Name, got, "out."+n.Name+".dequantized")
				back := blocks.Unpack(f, p.Pack(f, len(x)), len(x))
				r.raw(what+": codes back from "+f.Name, out, back.Codes)
			}
		}
	}
}

// bnbInt8 checks weights of LLM.int8.
func bnbInt8(r *Report, c quantised) {
	for _, n := range c.Entries {
		x := r.floats("in." + n.Name + ".weight")
		codes, scb, got := make([]byte, len(x)), make([]float32, len(r.floats("out."+n.Name+".SCB"))), make([]float32, len(x))
		blocks.EncodeInt8(codes, scb, x)
		blocks.DecodeInt8(got, codes, scb)
		r.raw(n.Name+": codes", "out."+n.Name+".weight", codes)
		r.equal(n.Name+": scales", scb, "out."+n.Name+".SCB")
		r.equal(n.Name+": decoded", got, "out."+n.Name+".dequantized")
	}
}

// packedBlocks checks weights of GPTQ and AWQ.
func packedBlocks(r *Report, c quantised) {
	for _, n := range c.Entries {
		in := "in." + n.Name + "."
		p := blocks.Packed{In: n.In, Out: n.Out, Bits: n.Bits, Weight: r.ints(in + "qweight"), Zeros: r.ints(in + "qzeros"),
			Scales: r.floats(in + "scales"), AWQ: n.Format == "awq", ZerosAsIs: n.Format == "gptq_v2",
			Group: make([]int32, n.In)}
		for i := range p.Group {
			if n.GroupSize > 0 {
				p.Group[i] = int32(i / n.GroupSize)
			}
		}
		if r.has(in + "g_idx") {
			p.Group = r.ints(in + "g_idx")
		}
		got := make([]float32, n.In*n.Out)
		p.Decode(got)
		r.equal(fmt.Sprintf("%s, %d bits, entry %s", n.Format, n.Bits, n.Name), got, "out."+n.Name+".weight")
	}
}
