package llm

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// A checkpoint that transformers saved with bitsandbytes is the same, tensor by tensor, after it was loaded and saved.
func TestBitsandbytesUnchanged(t *testing.T) {
	const from = "../internal/verify/testdata/quant/peft-qlora/base"
	m, err := Load(from, nn.LoadOptions{})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, Save(m, dir, nn.SaveOptions{}))
	want, err := safetensors.OpenDir(from)
	require.NoError(t, err)
	defer want.Close()
	got, err := safetensors.OpenDir(dir)
	require.NoError(t, err)
	defer got.Close()
	require.Equal(t, want.Names(), got.Names())
	for _, name := range want.Names() {
		a, _ := want.File(name).Info(name)
		b, _ := got.File(name).Info(name)
		require.Equal(t, []any{a.DType, a.Shape}, []any{b.DType, b.Shape}, name)
		x, err := want.File(name).Bytes(name)
		require.NoError(t, err)
		y, err := got.File(name).Bytes(name)
		require.NoError(t, err)
		require.Equal(t, x, y, "%s: %s, %s", name, x, y)
	}
	quantization := func(dir string) (q map[string]any) {
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		var f struct {
			Q map[string]any `json:"quantization_config"`
		}
		require.NoError(t, json.Unmarshal(raw, &f))
		return f.Q
	}
	q := quantization(from)
	for key, value := range quantization(dir) {
		if key != "llm_int8_skip_modules" {
			require.Equal(t, q[key], value, key)
		}
	}
	require.Equal(t, []any{"lm_head"}, quantization(dir)["llm_int8_skip_modules"])

	// Patterns that skip nothing, or everything: what is quantised follows from the tensors.
	config := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(config)
	require.NoError(t, err)
	for _, skip := range []string{`"model"`, `"vision_tower"`, ``} {
		changed := regexp.MustCompile(`(?s)"llm_int8_skip_modules": \[.*?\]`).ReplaceAllString(string(raw),
			`"llm_int8_skip_modules": [`+skip+`]`)
		require.NoError(t, os.WriteFile(config, []byte(changed), 0o600))
		back, err := Load(dir, nn.LoadOptions{})
		require.NoError(t, err)
		byName := map[string]*tensor.Tensor{}
		for name, p := range nn.Params(m) {
			byName[name] = p
		}
		for name, p := range nn.Params(back) {
			require.Equal(t, byName[name].DType(), p.DType(), name)
			require.Equal(t, byName[name].Bytes(), p.Bytes(), name)
		}
	}
}

// Rows that are no multiple of the block run over its end: bitsandbytes itself reads some of them wrongly on CPUs.
func TestBitsandbytesRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, dt := range []tensor.DType{tensor.NF4, tensor.NF4D, tensor.FP4, tensor.FP4D} {
		for _, shape := range [][2]int{{5, 16}, {3, 48}, {7, 80}, {4, 96}, {33, 17}, {1, 1}, {257, 66}} {
			rows, cols := shape[0], shape[1]
			w := tensor.Randn(r, 1, rows, cols)
			l := &nn.Linear{Weight: w.Cast(dt)}
			type model struct{ L *nn.Linear }
			dir := t.TempDir()
			require.NoError(t, nn.Save(&model{l}, dir, nn.SaveOptions{}))
			back := &nn.Linear{Weight: tensor.Meta(tensor.Float32, rows, cols).Param()}
			file, err := nn.OpenWeights(dir)
			require.NoError(t, err)
			require.NoError(t, nn.Load(&model{back}, file, nn.LoadOptions{}))
			file.Close()
			require.Equal(t, dt, back.Weight.DType())
			require.Equal(t, l.Weight.Bytes(), back.Weight.Bytes(), "%v %v", dt, shape)

			nested := dt == tensor.NF4D || dt == tensor.FP4D
			table := &blocks.NormalFloat
			if dt == tensor.FP4 || dt == tensor.FP4D {
				table = &blocks.Float4
			}
			parts := blocks.Split(table, w.Data(), 64, nested)
			x := tensor.Randn(r, 1, 2, cols)
			y := back.Forward(x).Data()
			for i := range 2 * rows { // value by value, from the codes
				sum := 0.0
				for j := range cols {
					at := i%rows*cols + j
					code := parts.Codes[at/2] >> 4
					if at%2 == 1 {
						code = parts.Codes[at/2] & 15
					}
					var absmax float32
					if nested {
						absmax = parts.Table8[parts.Codes8[at/64]]*parts.Scales8[at/64/256] + parts.Offset
					} else {
						absmax = parts.Absmax[at/64]
					}
					sum += float64(table[code]*absmax) * float64(x.Data()[i/rows*cols+j])
				}
				require.InDelta(t, sum, y[i], 1e-4, "%v %v", dt, shape)
			}
		}
	}
}

// Weights of one model in two of the formats have no quantization_config, and none is written for what is widened.
func TestQuantizationConfig(t *testing.T) {
	cast := func(a, b tensor.DType) *struct {
		A, B nn.Layer
		C    nn.Layer `param:"lm_head"`
	} {
		w := func(dt tensor.DType) nn.Layer { return &nn.Linear{Weight: tensor.New(4, 64).Cast(dt)} }
		return &struct {
			A, B nn.Layer
			C    nn.Layer `param:"lm_head"`
		}{w(a), w(b), w(tensor.Float32)}
	}
	_, _, err := nn.Quantization(cast(tensor.NF4, tensor.FP4), nn.SaveOptions{})
	require.ErrorContains(t, err, "weights of both")
	bf16 := func(_ string, kept tensor.DType) tensor.DType {
		if kept == tensor.Float32 {
			return tensor.BFloat16
		}
		return kept
	}
	_, q, err := nn.Quantization(cast(tensor.NF4D, tensor.BFloat16), nn.SaveOptions{DType: bf16})
	require.NoError(t, err)
	require.Equal(t, []any{"nf4", true, "bfloat16", []string{"lm_head", "b"}}, []any{q["bnb_4bit_quant_type"],
		q["bnb_4bit_use_double_quant"], q["bnb_4bit_compute_dtype"], q["llm_int8_skip_modules"]})
	o, q, err := nn.Quantization(cast(tensor.NF4D, tensor.BFloat16), nn.SaveOptions{})
	require.NoError(t, err)
	require.Equal(t, "float32", q["bnb_4bit_compute_dtype"], "as the matrices differ")
	require.Equal(t, []tensor.DType{tensor.NF4D, tensor.Float32},
		[]tensor.DType{o.DType("a.weight", tensor.NF4D), o.DType("b.weight", tensor.BFloat16)})
	_, q, err = nn.Quantization(cast(tensor.NF4D, tensor.NF4D), nn.SaveOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	require.Nil(t, q)
	require.ErrorContains(t, nn.Save(cast(tensor.Q8_0, tensor.Q8_0), t.TempDir(), nn.SaveOptions{}),
		"parameter a.weight: cannot be stored as")
	require.ErrorContains(t, nn.Save(cast(tensor.NF4, tensor.NF4), t.TempDir(),
		nn.SaveOptions{DType: nn.As(tensor.FP4)}), "only if it is kept so")
}

// Weights of LLM.int8 stay in blocks, give what widened ones do, and are saved as they came.
func TestBitsandbytesInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	type model struct{ A, B *nn.Linear }
	weight := func(rows, cols int) *nn.Linear {
		codes, scb := make([]byte, rows*cols), make([]float32, rows)
		blocks.EncodeInt8(codes, scb, tensor.Randn(r, 1, rows, cols).Data())
		return &nn.Linear{Weight: tensor.WrapBlocks(tensor.INT8, blocks.PackInt8(codes, scb), rows, cols)}
	}
	m, dir := &model{weight(17, 96), weight(3, 32)}, t.TempDir()
	_, q, err := nn.Quantization(m, nn.SaveOptions{})
	require.NoError(t, err)
	require.Equal(t, []any{false, true}, []any{q["load_in_4bit"], q["load_in_8bit"]})
	require.NoError(t, nn.Save(m, dir, nn.SaveOptions{}))
	file, err := nn.OpenWeights(dir)
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, "INT8", file.DType("a.weight"))

	load := func(dt tensor.DType) *model {
		back := &model{}
		for _, x := range []struct {
			to   **nn.Linear
			from *nn.Linear
		}{{&back.A, m.A}, {&back.B, m.B}} {
			*x.to = &nn.Linear{Weight: tensor.Meta(tensor.Float32, x.from.Weight.Shape()...).Param()}
		}
		require.NoError(t, nn.Load(back, file, nn.LoadOptions{DType: nn.As(dt)}))
		return back
	}
	kept, wide := load(tensor.INT8), load(tensor.Float32)
	require.Equal(t, m.A.Weight.Bytes(), kept.A.Weight.Bytes())
	require.Equal(t, m.A.Weight.Cast(tensor.Float32).Data(), wide.A.Weight.Data())
	x := tensor.Randn(r, 1, 5, 96)
	require.InDeltaSlice(t, wide.A.Forward(x).Data(), kept.A.Forward(x).Data(), 1e-4)

	kept.A.Weight = tensor.Randn(r, 1, 17, 96).Cast(tensor.INT8) // every block has its scale
	require.ErrorContains(t, nn.Save(kept, dir, nn.SaveOptions{}), "parameter a.weight [17 96]: LLM.int8 has one scale")
}
