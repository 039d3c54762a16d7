package nn

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// bitsandbytesTypes are the dtypes that bitsandbytes' checkpoints have, by its quant_type; that of 8 bits has none.
var bitsandbytesTypes = map[tensor.DType]string{tensor.NF4: "nf4", tensor.NF4D: "nf4",
	tensor.FP4: "fp4", tensor.FP4D: "fp4", tensor.INT8: "int8"}

// int8Rows are the tensors that a checkpoint has for a weight of LLM.int8: codes, the largest magnitude of each row,
// and the order of the codes. It is an error if blocks of a row differ in their scales.
func int8Rows(file string, t *tensor.Tensor) ([]safetensors.Tensor, error) {
	codes, scb, ok := blocks.UnpackInt8(t.Host().Bytes(), t.Dim(0))
	if !ok {
		return nil, fmt.Errorf("LLM.int8 has one scale for each row and cannot hold these: widen it, or store it in " +
			"another type")
	}
	stem := strings.TrimSuffix(file, "weight")
	return []safetensors.Tensor{
		{Name: file, DType: "I8", Shape: t.Shape(), Write: safetensors.Bytes(codes)},
		{Name: stem + "SCB", DType: "F32", Shape: []int{len(scb)},
			Write: safetensors.Bytes(tensor.Wrap(scb, len(scb)).Bytes())},
		{Name: file + "_format", DType: "U8", Shape: []int{}, Write: safetensors.Bytes([]byte{0})},
	}, nil
}

// bitsandbytes are the tensors that a checkpoint has for a weight, as transformers saves it: of one of 4 bits codes,
// scales, their tables, and a description in JSON. Source: bitsandbytes' QuantState.as_dict(packed=True).
func bitsandbytes(file string, t *tensor.Tensor) ([]safetensors.Tensor, error) {
	if t.DType() == tensor.INT8 {
		return int8Rows(file, t)
	}
	kind, f, n := bitsandbytesTypes[t.DType()], t.DType().Blocks(), t.Len()
	count := (n + 63) / 64 // blocks
	// the tensors are written one after another; what is taken apart is not kept in between
	write := func(part func(p *blocks.Parts) []byte) func(w io.Writer) error {
		return func(w io.Writer) error {
			_, err := w.Write(part(blocks.Unpack(f, t.Host().Bytes(), n)))
			return err
		}
	}
	floats := func(x []float32) []byte { return tensor.Wrap(x, len(x)).Bytes() }
	list := []safetensors.Tensor{
		{Name: file, DType: "U8", Shape: []int{(n + 1) / 2, 1},
			Write: write(func(p *blocks.Parts) []byte { return p.Codes })},
		{Name: file + ".quant_map", DType: "F32", Shape: []int{16},
			Write: write(func(p *blocks.Parts) []byte { return floats(p.Table[:]) })},
	}
	state := fmt.Sprintf(`{"quant_type": "%s", "blocksize": 64, "dtype": "float32", "shape": [%d, %d]`,
		kind, t.Dim(0), t.Dim(1))
	if p := blocks.Unpack(f, t.Host().Bytes(), n); p.Nested() {
		groups := (count + p.BlockSize8 - 1) / p.BlockSize8
		list = append(list,
			safetensors.Tensor{Name: file + ".absmax", DType: "U8", Shape: []int{count},
				Write: write(func(p *blocks.Parts) []byte { return p.Codes8 })},
			safetensors.Tensor{Name: file + ".nested_absmax", DType: "F32", Shape: []int{groups},
				Write: write(func(p *blocks.Parts) []byte { return floats(p.Scales8) })},
			safetensors.Tensor{Name: file + ".nested_quant_map", DType: "F32", Shape: []int{256},
				Write: write(func(p *blocks.Parts) []byte { return floats(p.Table8) })})
		offset := strconv.FormatFloat(float64(p.Offset), 'g', -1, 64)
		state += fmt.Sprintf(`, "nested_blocksize": %d, "nested_dtype": "float32", "nested_offset": %s`,
			p.BlockSize8, offset)
	} else {
		list = append(list, safetensors.Tensor{Name: file + ".absmax", DType: "F32", Shape: []int{count},
			Write: write(func(p *blocks.Parts) []byte { return floats(p.Absmax) })})
	}
	state += "}"
	return append(list, safetensors.Tensor{Name: file + ".quant_state.bitsandbytes__" + kind, DType: "U8",
		Shape: []int{len(state)}, Write: safetensors.Bytes([]byte(state))}), nil
}

// Quantization is the quantization_config of config.json for a model that [Save] writes as o says, with weights in
// NF4, NF4D, FP4, FP4D or INT8, or nil if it has none. Linear layers in other dtypes are named in
// llm_int8_skip_modules, under each of namings: transformers compares from the beginning of the names that its program
// has, which have changed with its versions. Save the weights with the options that it returns: they store everything
// else in one dtype, which transformers does not convert in such a checkpoint: bfloat16 if all matrices are, or
// float32. More than one of the five dtypes is an error.
func Quantization(m any, o SaveOptions, namings ...func(name string) string) (SaveOptions, map[string]any, error) {
	var packed, plain []string
	var dtype tensor.DType
	for name, l := range Layers(m) {
		linear, ok := l.(*Linear)
		if !ok {
			continue
		}
		dt := linear.Weight.DType()
		if o.DType != nil {
			dt = o.DType(name+".weight", dt)
		}
		if bitsandbytesTypes[dt] == "" {
			plain = append(plain, name)
			continue
		}
		if len(packed) > 0 && dt != dtype {
			return o, nil, fmt.Errorf("weights of both %v and %v: one quantization_config describes one of them",
				dtype, dt)
		}
		packed, dtype = append(packed, name), dt
	}
	if len(packed) == 0 {
		return o, nil, nil
	}
	others, choose := tensor.BFloat16, o.DType
	for name, p := range Params(m) {
		dt := p.DType()
		if choose != nil {
			dt = choose(name, dt)
		}
		if p.Rank() > 1 && dt != tensor.BFloat16 && bitsandbytesTypes[dt] == "" {
			others = tensor.Float32
		}
	}
	o.DType = func(name string, dt tensor.DType) tensor.DType {
		if choose != nil {
			dt = choose(name, dt)
		}
		if bitsandbytesTypes[dt] != "" {
			return dt
		}
		return others
	}
	skip := []string{"lm_head"} // that of tied embeddings is no layer here
	for _, name := range plain {
		name = apart(name, packed)
		for _, as := range append(namings, func(s string) string { return s }) {
			if as(name) != "" && !slices.Contains(skip, as(name)) {
				skip = append(skip, as(name))
			}
		}
	}
	kind := bitsandbytesTypes[dtype]
	if dtype == tensor.INT8 {
		kind = "fp4" // transformers' default for what has no meaning here
	}
	return o, map[string]any{"quant_method": "bitsandbytes",
		"load_in_4bit": dtype != tensor.INT8, "load_in_8bit": dtype == tensor.INT8,
		"bnb_4bit_quant_type": kind, "bnb_4bit_quant_storage": "uint8",
		"bnb_4bit_use_double_quant":        dtype == tensor.NF4D || dtype == tensor.FP4D,
		"bnb_4bit_compute_dtype":           others.String(),
		"llm_int8_threshold":               json.Number("6.0"), // transformers refuses 6
		"llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
		"llm_int8_skip_modules": skip}, nil
}

// apart is the shortest beginning of a layer's path below which no layer of others lies.
func apart(name string, others []string) string {
	for i, r := range name + "." {
		if r != '.' {
			continue
		}
		inside := func(other string) bool { return other == name[:i] || strings.HasPrefix(other, name[:i]+".") }
		if !slices.ContainsFunc(others, inside) {
			return name[:i]
		}
	}
	return name
}
