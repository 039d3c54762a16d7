package tensor_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/gollava/gollava/internal/misuse"
	"github.com/gollava/gollava/tensor"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/messages.golden")

// spent is a recorded loss whose graph Backward has consumed, and the activation that it released.
func spent() (loss, activation *T) {
	activation = tensor.Full(1, 2, 3).Param().Tanh()
	loss = activation.Exp().Sum()
	loss.Backward()
	return loss, activation
}

// misuses are mistakes that callers make, by name.
var misuses = []struct {
	name string
	f    func()
}{
	{"from too few", func() { tensor.From([]float64{1, 2, 3}, 2, 2) }},
	{"wrap too many", func() { tensor.Wrap(make([]float32, 6), 2, 2) }},
	{"wrap bfloat16", func() { tensor.WrapBFloat16(make([]uint16, 6), 7) }},
	{"ints too few", func() { tensor.Ints([]int{1, 2}, 3) }},
	{"id too large", func() { tensor.Ints([]int{1, math.MaxInt32 + 1}, 2) }},
	{"negative shape", func() { tensor.New(2, -3) }},
	{"negative meta", func() { tensor.Meta(tensor.BFloat16, -1) }},
	{"axis too large", func() { tensor.New(2, 3).Dim(2) }},
	{"axis too small", func() { tensor.New(2, 3).Sum(-3) }},
	{"axis of a scalar", func() { tensor.New().Max(0) }},
	{"rank 2", func() { tensor.New(2, 3, 4).Dims2() }},
	{"rank 3", func() { tensor.New(2, 3).Dims3() }},
	{"rank 4", func() { tensor.New(7).Dims4() }},
	{"data of ids", func() { tensor.Ints([]int{1}, 1).Data() }},
	{"ids of data", func() { tensor.New(2).IntData() }},
	{"bits of data", func() { tensor.New(2).BFloat16Data() }},
	{"item of many", func() { tensor.New(2, 3).Item() }},
	{"no storage", func() { tensor.Meta(tensor.Float32, 4, 5).Tanh() }},
	{"no storage for the weight", func() { tensor.New(2, 5).MatMulT(tensor.Meta(tensor.BFloat16, 4, 5)) }},
	{"nil operand", func() { tensor.New(2).Add(nil) }},
	{"nil weight", func() { tensor.Linear(tensor.New(2, 3), nil, nil, tensor.Identity) }},
	{"storage of another shape", func() { tensor.Meta(tensor.Float32, 2, 3).SetStorage(tensor.New(3, 2)) }},
	{"copy of another shape", func() { tensor.New(2, 3).CopyFrom(tensor.New(6)) }},
	{"copy of ids", func() { tensor.New(2).CopyFrom(tensor.Ints([]int{1, 2}, 2)) }},
	{"cast to ids", func() { tensor.New(2).Cast(tensor.Int32) }},
	{"tanh of ids", func() { tensor.Ints([]int{1, 2}, 2).Tanh() }},
	{"sum of bfloat16", func() { tensor.NewOf(tensor.BFloat16, 2).Sum() }},
	{"add", func() { tensor.New(2, 3).Add(tensor.New(2, 4)) }},
	{"multiply", func() { tensor.New(4, 2, 3).Mul(tensor.New(3, 3)) }},
	{"matmul", func() { tensor.New(2, 3).MatMul(tensor.New(4, 3)) }},
	{"matmult", func() { tensor.New(2, 3).MatMulT(tensor.New(3, 4)) }},
	{"matmul neither way", func() { tensor.New(2, 3).MatMul(tensor.New(5, 4)) }},
	{"matmul of a vector", func() { tensor.New(2, 3).MatMul(tensor.New(3)) }},
	{"matmult of ranks", func() { tensor.New(3, 4).MatMulT(tensor.New(2, 5, 4)) }},
	{"matmul of batches", func() { tensor.New(2, 3, 4).MatMul(tensor.New(5, 4, 3)) }},
	{"matmul of ids", func() { tensor.New(2, 3).MatMul(tensor.Ints(make([]int, 6), 3, 2)) }},
	{"linear", func() { tensor.Linear(tensor.New(2, 3), tensor.New(3, 4), nil, tensor.Identity) }},
	{"linear bias", func() { tensor.Linear(tensor.New(2, 3), tensor.New(4, 3), tensor.New(3), tensor.GELU) }},
	{"reshape", func() { tensor.New(2, 3).Reshape(4, 2) }},
	{"reshape with a rest", func() { tensor.New(2, 3).Reshape(4, -1) }},
	{"reshape to more than memory", func() { tensor.New(0).Reshape(1<<62, 4) }},
	{"reshape to more than memory, by zero", func() { tensor.New(0).Reshape(1<<40, 0, 1<<40) }},
	{"new, a product of 2⁶⁴", func() { tensor.New(1<<32, 1<<32) }},
	{"new, beyond memory", func() { tensor.New(1<<20, 1<<25) }},
	{"meta, a product of 2⁶⁴", func() { tensor.Meta(tensor.BFloat16, 1<<32, 1<<32) }},
	{"from, a product of 2⁶⁴", func() { tensor.From([]float32{}, 1<<62, 4) }},
	{"wrap, a product of 2⁶⁴", func() { tensor.Wrap(nil, 1<<62, 4) }},
	{"rows of a product of 2⁶⁴", func() { tensor.New(1<<61, 8).Softmax() }},
	{"reshape with two unknowns", func() { tensor.New(2, 3).Reshape(-1, -1) }},
	{"transpose of a vector", func() { tensor.New(3).Transpose() }},
	{"transpose", func() { tensor.New(2, 3, 4).Transpose(0, 2) }},
	{"transpose twice the same", func() { tensor.New(2, 3, 4).Transpose(0, 2, 2) }},
	{"concat of nothing", func() { tensor.Concat(0) }},
	{"concat", func() { tensor.Concat(0, tensor.New(2, 3), tensor.New(2, 4)) }},
	{"slice", func() { tensor.New(3, 5).Slice(-1, 2, 6) }},
	{"slice backwards", func() { tensor.New(3, 5).Slice(0, 2, 1) }},
	{"split", func() { tensor.New(3, 5).Split(1, 2, 2) }},
	{"split negative", func() { tensor.New(3, 5).Split(1, 6, -1) }},
	{"overwrite", func() { tensor.New(2, 5).Overwrite(1, 4, tensor.New(2, 2)) }},
	{"overwrite a parameter", func() { tensor.New(2, 5).Param().Overwrite(1, 0, tensor.New(2, 2)) }},
	{"sum twice over an axis", func() { tensor.New(3, 5).Sum(1, -1) }},
	{"max of nothing", func() { tensor.New(3, 0).Max(1) }},
	{"softmax of a scalar", func() { tensor.New().Softmax() }},
	{"rms norm", func() { tensor.New(2, 3).RMSNorm(tensor.New(2), 1e-6) }},
	{"layer norm", func() { tensor.New(2, 3).LayerNorm(tensor.New(3), tensor.New(3, 1), 1e-6) }},
	{"swiglu", func() { tensor.SwiGLU(tensor.New(2, 3), tensor.New(2, 4)) }},
	{"gather", func() { tensor.Gather(tensor.New(5, 3), tensor.Ints([]int{0, 5}, 2)) }},
	{"gather negative", func() { tensor.Gather(tensor.New(5, 3), tensor.Ints([]int{-1}, 1)) }},
	{"gather by floats", func() { tensor.Gather(tensor.New(5, 3), tensor.New(2)) }},
	{"gather from a scalar", func() { tensor.Gather(tensor.New(), tensor.Ints([]int{0}, 1)) }},
	{"scatter", func() { tensor.ScatterRows(tensor.New(5, 3), tensor.Ints([]int{0, 1}, 2), tensor.New(3, 3)) }},
	{"scatter twice", func() { tensor.ScatterRows(tensor.New(5, 3), tensor.Ints([]int{1, 1}, 2), tensor.New(2, 3)) }},
	{"scatter-add", func() { tensor.ScatterAddRows(4, tensor.Ints([]int{0, 1}, 2), tensor.New(3, 3)) }},
	{"rope", func() { tensor.RoPE(tensor.New(2, 3, 4, 8), tensor.New(5, 4), tensor.New(5, 4)) }},
	{"patches", func() { tensor.PatchRows(tensor.New(1, 3, 8, 9), 4) }},
	{"convolution of ranks", func() { tensor.Conv(tensor.New(2, 3, 4), tensor.New(5, 3, 3, 3), nil, tensor.ConvConfig{}) }},
	{"convolution of channels", func() {
		tensor.Conv(tensor.New(2, 4, 8, 8), tensor.New(5, 4, 3, 3), nil, tensor.ConvConfig{Groups: 2})
	}},
	{"convolution of ids", func() {
		tensor.Conv(tensor.New(1, 1, 1), tensor.Ints([]int{1}, 1, 1, 1), nil, tensor.ConvConfig{})
	}},
	{"convolution bias", func() {
		tensor.Conv(tensor.New(2, 4, 8, 8), tensor.New(5, 4, 3, 3), tensor.New(4), tensor.ConvConfig{})
	}},
	{"convolution kernel", func() {
		tensor.Conv(tensor.New(2, 4, 3, 8), tensor.New(5, 4, 3, 3), nil, tensor.ConvConfig{Dilation: []int{2, 1}})
	}},
	{"convolution stride", func() {
		tensor.Conv(tensor.New(2, 4, 8, 8), tensor.New(5, 4, 3, 3), nil, tensor.ConvConfig{Stride: []int{1, 2, 1}})
	}},
	{"convolution stride 0", func() {
		tensor.Conv(tensor.New(2, 4, 8, 8), tensor.New(5, 4, 3, 3), nil, tensor.ConvConfig{Stride: []int{0}})
	}},
	{"convolution groups", func() {
		tensor.Conv(tensor.New(2, 4, 8), tensor.New(5, 4, 3), nil, tensor.ConvConfig{Groups: -1})
	}},
	{"transposed convolution", func() {
		tensor.ConvTranspose(tensor.New(2, 4, 8, 8), tensor.New(5, 4, 3, 3), nil, tensor.ConvConfig{})
	}},
	{"transposed convolution output padding", func() {
		tensor.ConvTranspose(tensor.New(2, 4, 8, 8), tensor.New(4, 5, 3, 3), nil, tensor.ConvConfig{OutputPadding: []int{1}})
	}},
	{"transposed convolution padding", func() {
		tensor.ConvTranspose(tensor.New(2, 4, 1, 1), tensor.New(4, 5, 3, 3), nil, tensor.ConvConfig{Padding: []int{2}})
	}},
	{"group norm", func() { tensor.New(2, 6, 3).GroupNorm(4, nil, nil, 1e-5) }},
	{"group norm weight", func() { tensor.New(2, 6, 3).GroupNorm(2, tensor.New(2), nil, 1e-5) }},
	{"interpolate to nothing", func() { tensor.Interpolate(tensor.New(1, 2, 3), 0, 4, tensor.InterpolateConfig{}) }},
	{"interpolate a vector", func() { tensor.Interpolate(tensor.New(3), 2, 4, tensor.InterpolateConfig{}) }},
	{"interpolate the nearest, aligned", func() {
		tensor.Interpolate(tensor.New(2, 3), 2, 4, tensor.InterpolateConfig{AlignCorners: true})
	}},
	{"interpolate aligned and smooth", func() {
		tensor.Interpolate(tensor.New(2, 3), 2, 4,
			tensor.InterpolateConfig{Mode: tensor.Bicubic, AlignCorners: true, Antialias: true})
	}},
	{"interpolate by no way", func() { tensor.Interpolate(tensor.New(2, 3), 2, 4, tensor.InterpolateConfig{Mode: 9}) }},
	{"pool without a kernel", func() { tensor.MaxPool(tensor.New(1, 4, 4), tensor.PoolConfig{}) }},
	{"pool padding", func() {
		tensor.AvgPool(tensor.New(1, 4, 4), tensor.PoolConfig{Kernel: []int{3},
			Padding: []int{2}})
	}},
	{"pool window", func() { tensor.MaxPool(tensor.New(1, 4, 2), tensor.PoolConfig{Kernel: []int{3}}) }},
	{"pool dilated mean", func() {
		tensor.AvgPool(tensor.New(4, 4), tensor.PoolConfig{Kernel: []int{2},
			Dilation: []int{2}})
	}},
	{"grid", func() { tensor.GridSample(tensor.New(2, 3, 4, 4), tensor.New(1, 5, 1, 2), tensor.GridSampleConfig{}) }},
	{"where", func() { tensor.Where(tensor.New(2, 1), tensor.New(3), tensor.New(2, 4)) }},
	{"where by ids", func() { tensor.Where(tensor.Ints([]int{1}, 1), tensor.New(3), tensor.New(3)) }},
	{"compare", func() { tensor.New(2, 3).Less(tensor.New(2)) }},
	{"top of too many", func() { tensor.New(2, 3).TopK(4, 1) }},
	{"sort ids", func() { tensor.Ints([]int{1}, 1).Sort(0, false) }},
	{"gather along", func() { tensor.New(2, 3).GatherAlong(1, tensor.Ints([]int{1, 2, 0}, 3, 1)) }},
	{"gather along by an id too large", func() { tensor.New(2, 3).GatherAlong(1, tensor.Ints([]int{1, 3}, 2, 1)) }},
	{"gather a batch", func() { tensor.New(2, 3, 4).GatherBatch(tensor.Ints([]int{1, 2, 0}, 3, 1)) }},
	{"cumulative sum", func() { tensor.New(2, 3).CumSum(2) }},
	{"one-hot", func() { tensor.OneHot(tensor.Ints([]int{1, 3}, 2), 3) }},
	{"attention ranks", func() { attend(tensor.AttentionConfig{}, []int{2, 3, 4}, []int{2, 3, 4}) }},
	{"attention heads", func() { attend(tensor.AttentionConfig{}, []int{1, 5, 4, 8}, []int{1, 5, 3, 8}) }},
	{"attention head size", func() { attend(tensor.AttentionConfig{}, []int{1, 5, 4, 8}, []int{1, 5, 4, 6}) }},
	{"attention keys", func() { attend(tensor.AttentionConfig{Keys: 6}, []int{1, 5, 4, 8}, []int{1, 5, 4, 8}) }},
	{"attention window", func() { attend(tensor.AttentionConfig{Window: 3}, []int{1, 5, 4, 8}, []int{1, 5, 4, 8}) }},
	{"attention slopes", func() { attend(tensor.AttentionConfig{Slopes: []float32{1}}, []int{1, 5, 4, 8}, []int{1, 5, 4, 8}) }},
	{"attention starts", func() { attend(tensor.AttentionConfig{Start: []int32{0, 0}}, []int{1, 5, 4, 8}, []int{1, 5, 4, 8}) }},
	{"label too large", func() { tensor.CrossEntropy(tensor.New(2, 7), tensor.Ints([]int{3, 7}, 2)) }},
	{"labels of another shape", func() { tensor.CrossEntropy(tensor.New(2, 3, 7), tensor.Ints(make([]int, 6), 6)) }},
	{"all labels ignored", func() { tensor.CrossEntropy(tensor.New(2, 7), tensor.Ints([]int{-100, -100}, 2)) }},
	{"linear cross-entropy", func() { tensor.LinearCrossEntropy(tensor.New(2, 3), tensor.New(7, 4), tensor.Ints([]int{1, 2}, 2)) }},
	{"dropout", func() { tensor.Dropout(tensor.New(3), 1, 7) }},
	{"train ids", func() { tensor.Ints([]int{1}, 1).Param() }},
	{"train a result", func() { tensor.New(2).Param().Tanh().Param() }},
	{"gradient of another shape", func() { tensor.New(2).SetGrad(tensor.New(3)) }},
	{"backward of many", func() { tensor.New(2, 3).Param().Tanh().Backward() }},
	{"backward from another shape", func() { tensor.New(2, 3).Param().Tanh().BackwardFrom(tensor.New(3, 2)) }},
	{"backward twice", func() { loss, _ := spent(); loss.Backward() }},
	{"backward of a parameter", func() { tensor.New().Param().Backward() }},
	{"backward without parameters", func() { tensor.New(2, 3).Tanh().Sum().Backward() }},
	{"backward under NoGrad", func() { tensor.New(2, 3).Param().NoGrad().Tanh().Sum().Backward() }},
	{"read after Backward", func() { _, y := spent(); y.Data() }},
	{"use after Backward", func() { _, y := spent(); tensor.New(2, 3).Add(y) }},
	{"use after Scope", func() {
		var y *T
		tensor.Scope(func(s *tensor.Arena) { y = tensor.New(2, 3).In(s).Tanh() })
		y.MatMulT(tensor.New(2, 3))
	}},
	{"not finite", func() { tensor.CheckFinite(func(s *tensor.Arena) { tensor.From([]float32{1, 0}, 2).In(s).Log() }) }},
	{"operand not finite", func() {
		inf := tensor.From([]float32{1, float32(math.Inf(1))}, 2)
		tensor.CheckFinite(func(s *tensor.Arena) { tensor.Full(1, 2).In(s).Mul(inf) })
	}},
	{"keep after release", func() { _, y := spent(); y.Keep() }},
	{"adamw without a gradient", func() {
		tensor.AdamW(tensor.AdamWConfig{Step: 1}, []tensor.AdamWItem{{Param: tensor.New(3).Param(), M: tensor.New(3), V: tensor.New(3)}})
	}},
	{"adamw step", func() { tensor.AdamW(tensor.AdamWConfig{}, []tensor.AdamWItem{{Param: tensor.New(3)}}) }},
	{"adamw state", func() {
		tensor.AdamW(tensor.AdamWConfig{Step: 1}, []tensor.AdamWItem{{Param: tensor.New(3), Grad: tensor.New(3), M: tensor.New(3), V: tensor.New(4)}})
	}},
	{"adamw without state", func() {
		tensor.AdamW(tensor.AdamWConfig{Step: 1}, []tensor.AdamWItem{{Param: tensor.New(3), Grad: tensor.New(3)}})
	}},
	{"adamw master", func() {
		tensor.AdamW(tensor.AdamWConfig{Step: 1}, []tensor.AdamWItem{{Param: tensor.NewOf(tensor.BFloat16, 3), Grad: tensor.New(3), M: tensor.New(3), V: tensor.New(3)}})
	}},
}

func attend(c tensor.AttentionConfig, q, kv []int) {
	tensor.Attention(tensor.New(q...), tensor.New(kv...), tensor.New(kv...), c)
}

// TestMessages compares what every misuse says with testdata/messages.golden; -update rewrites it.
func TestMessages(t *testing.T) {
	const file = "testdata/messages.golden"
	var b strings.Builder
	for _, m := range misuses {
		err := tensor.Catch(m.f)
		var e *tensor.Error
		require.True(t, errors.As(err, &e), "%s: no *tensor.Error but %v", m.name, err)
		require.NotEmpty(t, e.Op, m.name)
		fmt.Fprintf(&b, "%s: %s\n", m.name, err)
	}
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	golden, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(golden), b.String(), "run go test ./tensor -run TestMessages -update and read the difference")
}

func TestCatchLetsOtherPanicsPass(t *testing.T) {
	require.PanicsWithValue(t, "mine", func() { _ = tensor.Catch(func() { panic("mine") }) })
	require.NoError(t, tensor.Catch(func() {}))
}

// What packages without tensors, and the device, panic with on misuse is an *Error too.
func TestCatchKnowsOtherPackagesMisuse(t *testing.T) {
	err := tensor.Catch(func() { panic(misuse.Errorf("data", "record %d of %d", 7, 3)) })
	var e *tensor.Error
	require.ErrorAs(t, err, &e)
	require.EqualError(t, err, "data: record 7 of 3")
}

func TestErrorNamesItsPath(t *testing.T) {
	e := &tensor.Error{Op: "MatMulT", Msg: "[2 3] · [4 5]ᵀ", Path: "model.layers.3.mlp.up_proj"}
	require.EqualError(t, e, "tensor: MatMulT: [2 3] · [4 5]ᵀ in model.layers.3.mlp.up_proj")
}
