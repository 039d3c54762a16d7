package nn

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// pair is a small model with two layers, a norm and a tied head.
type pair struct {
	Embed  *Embedding `param:"embed"`
	Layers []Layer    `param:"layers"`
	Norm   *LayerNorm `param:"norm"`
	Head   *Linear    `param:"head"` // tied to Embed
}

func newPair(r *rand.Rand) *pair {
	p := &pair{Embed: NewEmbedding(r, 7, 3, 1), Norm: NewLayerNorm(r, 3, 1e-5, true),
		Layers: []Layer{NewLinear(r, 3, 5, true), NewLinear(r, 5, 3, false)}}
	p.Head = &Linear{Weight: p.Embed.Weight}
	return p
}

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func same(t *testing.T, want, got any) {
	t.Helper()
	byName := map[string]*tensor.Tensor{}
	for name, p := range Params(want) {
		byName[name] = p
	}
	n := 0
	for name, p := range Params(got) {
		require.Contains(t, byName, name)
		require.Equal(t, byName[name].DType(), p.DType(), name)
		require.Equal(t, byName[name].Bytes(), p.Bytes(), name)
		n++
	}
	require.Len(t, byName, n)
}

func open(t *testing.T, path string) *Weights {
	t.Helper()
	w, err := OpenWeights(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

func TestSaveLoad(t *testing.T) {
	for name, o := range map[string]SaveOptions{"one file": {}, "shards": {MaxShard: 50}} {
		t.Run(name, func(t *testing.T) {
			m, dir := newPair(rng()), t.TempDir()
			require.NoError(t, Save(m, dir, o))
			w := open(t, dir)
			require.Equal(t, []string{"embed.weight", "layers.0.bias", "layers.0.weight", "layers.1.weight", "norm.bias", "norm.weight"}, w.Names())
			require.Equal(t, []int{5, 3}, w.Shape("layers.0.weight"))
			require.Equal(t, "F32", w.DType("norm.bias"))
			for _, alias := range []bool{false, true} {
				got := newPair(nil)
				require.NoError(t, Load(got, w, LoadOptions{Alias: alias}))
				same(t, m, got)
				require.Same(t, got.Embed.Weight, got.Head.Weight)
			}
			over := newPair(rand.New(rand.NewPCG(3, 4)))
			require.NoError(t, Load(over, w, LoadOptions{}))
			same(t, m, over)
		})
	}
}

func TestLoadStrict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	f32 := func(name string, shape ...int) safetensors.Tensor {
		n, _ := safetensors.Size("F32", shape)
		return safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Write: safetensors.Bytes(make([]byte, n))}
	}
	ints := f32("norm.bias", 3)
	ints.DType = "I32"
	require.NoError(t, safetensors.Write(path, []safetensors.Tensor{f32("x.embed.weight", 7, 3), f32("layers.0.weight", 3, 5), ints,
		f32("layers.1.weight", 3, 5), f32("layers.1.bias", 3), f32("zz.position_ids", 4), f32("norm.weight", 3)}, nil))
	w := open(t, path)
	m := newPair(nil)
	rename := func(n string) string { return strings.TrimPrefix(n, "x.") }
	err := Load(m, w, LoadOptions{Rename: rename})
	require.EqualError(t, err, path+`: the weights do not fit the model:
  missing     layers.0.bias [5]
  misshapen   layers.0.weight: [3 5] in the file, [5 3] in the model
  unexpected  layers.1.bias [3]
  unreadable  norm.bias: dtype I32 cannot be read as float32
  unexpected  zz.position_ids [4]`)
	for name, p := range Params(m) {
		require.True(t, p.IsMeta(), name+" is untouched")
	}
	err = Load(m, w, LoadOptions{Ignore: []string{"layers.1.bias", "**.position_ids", "norm.bias", "layers.0.*"}, Optional: []string{"norm.*", "layers.0.**", "embed.weight"}})
	require.EqualError(t, err, path+`: the weights do not fit the model:
  unexpected  x.embed.weight [7 3]`)
	err = Load(m, w, LoadOptions{Rename: func(n string) string {
		if n == "norm.weight" || n == "norm.bias" {
			return "norm.weight"
		}
		return ""
	}, Optional: []string{"embed.*", "layers.**", "norm.bias"}})
	require.ErrorContains(t, err, `ambiguous   norm.weight: both "norm.bias" and "norm.weight" of the file`)
}

func TestLoadTied(t *testing.T) {
	m := newPair(rng())
	for _, names := range [][]string{{"head.weight"}, {"embed.weight", "head.weight"}, {"embed.weight"}} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		var list []safetensors.Tensor
		for _, n := range names {
			list = append(list, safetensors.Tensor{Name: n, DType: "F32", Shape: []int{7, 3}, Write: safetensors.Bytes(m.Embed.Weight.Bytes())})
		}
		require.NoError(t, safetensors.Write(path, list, nil))
		got := newPair(nil)
		require.NoError(t, Load(got, open(t, path), LoadOptions{Optional: []string{"layers.**", "norm.*"}}))
		require.Equal(t, m.Embed.Weight.Data(), got.Head.Weight.Data())
	}
}

// Two tensors for one parameter are refused if they differ, with both names, and if only in the last of their bytes.
func TestLoadTiedButDifferent(t *testing.T) {
	m := newPair(rng())
	path := filepath.Join(t.TempDir(), "m.safetensors")
	other := append([]byte(nil), m.Embed.Weight.Bytes()...)
	other[len(other)-1] ^= 1
	require.NoError(t, safetensors.Write(path, []safetensors.Tensor{
		{Name: "embed.weight", DType: "F32", Shape: []int{7, 3}, Write: safetensors.Bytes(m.Embed.Weight.Bytes())},
		{Name: "head.weight", DType: "F32", Shape: []int{7, 3}, Write: safetensors.Bytes(other)}}, nil))
	got := newPair(nil)
	err := Load(got, open(t, path), LoadOptions{Optional: []string{"layers.**", "norm.*"}})
	require.ErrorIs(t, err, ErrTied)
	require.EqualError(t, err, path+": tensors embed.weight and head.weight differ, but the model ties them")
	require.True(t, got.Embed.Weight.IsMeta())
	err = Load(got, open(t, path), LoadOptions{})
	require.ErrorContains(t, err, "missing     layers.0.bias")
	require.NotErrorIs(t, err, ErrTied, "another fault comes first")
}

// What wraps a model in training puts a prefix before all its names.
func TestWrappersArePeeled(t *testing.T) {
	for _, prefix := range []string{"module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."} {
		m, dir := newPair(rng()), t.TempDir()
		require.NoError(t, Save(m, dir, SaveOptions{Rename: func(n string) string { return prefix + n }}))
		got := newPair(nil)
		require.NoError(t, Load(got, open(t, dir), LoadOptions{}), prefix)
		same(t, m, got)
	}
	dir := t.TempDir()
	require.NoError(t, Save(newPair(rng()), dir, SaveOptions{Rename: func(n string) string {
		if n == "embed.weight" {
			return n
		}
		return "module." + n
	}}))
	require.Contains(t, open(t, dir).Names(), "module.norm.bias", "a module of that name")
}

// Git and failed downloads leave something else under the name of weights: the error names the file that is there.
func TestWeightsThatAreNone(t *testing.T) {
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13476838\n"
	for name, content := range map[string]string{"model.safetensors": pointer, "pytorch_model.bin": pointer, "model.safetensors.index.json": pointer,
		"pytorch_model.bin.index.json": pointer, "mm_projector.bin": pointer} {
		dir := t.TempDir()
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		for _, path := range []string{file, dir} {
			if name == "mm_projector.bin" {
				path = file
			}
			_, err := OpenWeights(path)
			require.ErrorContains(t, err, file+": is only a pointer of Git LFS", path)
		}
		require.NoError(t, os.WriteFile(file, []byte("<!DOCTYPE html><title>401</title>"), 0o600))
		_, err := OpenWeights(file)
		require.ErrorContains(t, err, file+": is a web page")
	}
	file := filepath.Join(t.TempDir(), "pytorch_model.bin")
	require.NoError(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	_, err := OpenWeights(filepath.Dir(file))
	require.ErrorContains(t, err, file+": is neither a zip nor a pickle")
}

func TestLoadDTypes(t *testing.T) {
	values := []float32{0, 1, -2.5, 0.333251953125, 65504, -6.103515625e-05}
	raw := map[string][]byte{}
	for _, v := range values {
		raw["F32"] = binary.LittleEndian.AppendUint32(raw["F32"], math.Float32bits(v))
		raw["F64"] = binary.LittleEndian.AppendUint64(raw["F64"], math.Float64bits(float64(v)))
		raw["BF16"] = binary.LittleEndian.AppendUint16(raw["BF16"], narrow(v))
		raw["F16"] = binary.LittleEndian.AppendUint16(raw["F16"], map[float32]uint16{0: 0, 1: 0x3c00, -2.5: 0xc100, 0.333251953125: 0x3555, 65504: 0x7bff, -6.103515625e-05: 0x8400}[v])
	}
	rounded := tensor.From(values, 2, 3).Cast(tensor.BFloat16)
	for dtype, b := range raw {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		require.NoError(t, safetensors.Write(path, []safetensors.Tensor{{Name: "weight", DType: dtype, Shape: []int{2, 3}, Write: safetensors.Bytes(b)},
			{Name: "bias", DType: dtype, Shape: []int{2}, Write: safetensors.Bytes(b[:len(b)/3])}}, nil))
		w := open(t, path)
		for _, o := range []LoadOptions{{}, {Alias: true}, {DType: As(tensor.Float32)}, {DType: As(tensor.BFloat16)}, {DType: As(tensor.BFloat16), Alias: true}} {
			l := NewLinear(nil, 3, 2, true)
			require.NoError(t, Load(l, w, o))
			want := tensor.From(values, 2, 3)
			if o.DType == nil && dtype == "BF16" || o.DType != nil && o.DType("", 0) == tensor.BFloat16 {
				want = rounded
			} else if dtype == "BF16" {
				want = rounded.Cast(tensor.Float32)
			}
			require.Equal(t, want.DType(), l.Weight.DType(), dtype)
			require.Equal(t, want.Bytes(), l.Weight.Bytes(), dtype)
			require.Equal(t, tensor.Float32, l.Bias.DType(), "vectors stay float32")
			require.Equal(t, want.Cast(tensor.Float32).Data()[:2], l.Bias.Data(), dtype)
			require.True(t, l.Weight.Trainable())
		}
		require.Panics(t, func() { _ = Load(NewLinear(nil, 3, 2, true), w, LoadOptions{DType: As(tensor.Int32)}) })
	}
}

// TestLoadPieces moves tensors that take several pieces of odd sizes.
func TestLoadPieces(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	m := &Linear{Weight: tensor.Randn(rng(), 1, 1237, 1913).Param()} // 9.5 MB
	dir := t.TempDir()
	require.NoError(t, Save(m, dir, SaveOptions{}))
	require.NoError(t, Save(m, dir+"/half.safetensors", SaveOptions{DType: As(tensor.BFloat16)}))
	half := m.Weight.Cast(tensor.BFloat16)
	got := NewLinear(nil, 1913, 1237, false)
	require.NoError(t, Load(got, open(t, dir), LoadOptions{}))
	require.Equal(t, m.Weight.Data(), got.Weight.Data())
	require.NoError(t, Load(got, open(t, dir), LoadOptions{DType: As(tensor.BFloat16)}))
	require.Equal(t, half.BFloat16Data(), got.Weight.BFloat16Data())
	require.NoError(t, Load(got, open(t, dir+"/half.safetensors"), LoadOptions{}))
	require.Equal(t, half.BFloat16Data(), got.Weight.BFloat16Data())
	require.NoError(t, Load(got, open(t, dir+"/half.safetensors"), LoadOptions{DType: As(tensor.Float32)}))
	require.Equal(t, half.Cast(tensor.Float32).Data(), got.Weight.Data())
	require.NoError(t, Load(got, open(t, dir+"/half.safetensors"), LoadOptions{}))
	require.NoError(t, Save(got, dir+"/wide.safetensors", SaveOptions{DType: As(tensor.Float32)}))
	wide, err := open(t, dir+"/wide.safetensors").Read("weight", tensor.Float32)
	require.NoError(t, err)
	require.Equal(t, half.Cast(tensor.Float32).Data(), wide.Data())
}

func TestReadIntegers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	i64 := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 5), math.MaxUint64)
	big := binary.LittleEndian.AppendUint64(nil, 1<<31)
	require.NoError(t, safetensors.Write(path, []safetensors.Tensor{
		{Name: "i64", DType: "I64", Shape: []int{2}, Write: safetensors.Bytes(i64)},
		{Name: "big", DType: "I64", Shape: []int{1}, Write: safetensors.Bytes(big)},
		{Name: "i16", DType: "I16", Shape: []int{1}, Write: safetensors.Bytes([]byte{0xfe, 0xff})},
		{Name: "i8", DType: "I8", Shape: []int{1}, Write: safetensors.Bytes([]byte{0xfd})},
		{Name: "bool", DType: "BOOL", Shape: []int{2}, Write: safetensors.Bytes([]byte{1, 0})},
		{Name: "f8", DType: "F8_E4M3", Shape: []int{2}, Write: safetensors.Bytes([]byte{1, 0})},
	}, nil))
	w := open(t, path)
	for name, want := range map[string][]int32{"i64": {5, -1}, "i16": {-2}, "i8": {-3}, "bool": {1, 0}} {
		got, err := w.Read(name, tensor.Int32)
		require.NoError(t, err)
		require.Equal(t, want, got.IntData(), name)
	}
	_, err := w.Read("big", tensor.Int32)
	require.ErrorContains(t, err, "does not fit int32")
	_, err = w.Read("f8", tensor.Float32)
	require.ErrorContains(t, err, "F8_E4M3 cannot be read as float32")
	_, err = w.Read("none", tensor.Float32)
	require.ErrorContains(t, err, `no tensor "none"`)
}

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, e, m := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1+m/1024, e-15)
		switch e {
		case 0:
			want = math.Copysign(math.Ldexp(m, -24), sign)
		case 31:
			want = math.Inf(int(sign))
			if m != 0 {
				require.True(t, math.IsNaN(float64(half(uint16(h)))), "%#x", h)
				continue
			}
		}
		require.Equal(t, math.Float32bits(float32(want)), math.Float32bits(half(uint16(h))), "%#x", h)
	}
}

func TestSplitTranspose(t *testing.T) {
	m := &Linear{Weight: tensor.From([]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 6, 2), Bias: tensor.From([]float32{0, 1, 2}, 3)}
	dir := t.TempDir()
	require.NoError(t, Save(m, dir, SaveOptions{}))
	w := open(t, dir)
	require.NoError(t, w.SplitRows("weight", "q", "k", "v"))
	require.Equal(t, []string{"bias", "k", "q", "v"}, w.Names())
	require.Equal(t, []int{2, 2}, w.Shape("k"))
	require.NoError(t, w.Transpose("v"))
	require.NoError(t, w.SplitRows("bias", "qb", "kb", "vb"))
	for name, want := range map[string][]float32{"q": {0, 1, 2, 3}, "k": {4, 5, 6, 7}, "v": {8, 10, 9, 11}, "vb": {2}} {
		got, err := w.Read(name, tensor.Float32)
		require.NoError(t, err)
		require.Equal(t, want, got.Data(), name)
		got, err = w.Read(name, tensor.BFloat16)
		require.NoError(t, err)
		require.Equal(t, want, got.Cast(tensor.Float32).Data(), name)
	}
	require.ErrorContains(t, w.SplitRows("k", "a", "b", "c"), "cannot be split into 3")
	rows, cols := w.Shape("q")[0], w.Shape("q")[1]
	plain, err := w.Read("q", tensor.Float32)
	require.NoError(t, err)
	require.NoError(t, w.ZeroRows("q", 3))
	require.NoError(t, w.Reshape("q", 1, rows+3, cols))
	padded, err := w.Read("q", tensor.Float32)
	require.NoError(t, err)
	require.Equal(t, []int{1, rows + 3, cols}, padded.Shape())
	require.Equal(t, append(make([]float32, 3*cols), plain.Data()...), padded.Data())
	require.ErrorContains(t, w.Reshape("q", rows, cols), "has no shape")
	require.ErrorContains(t, w.Reshape("q", -1, -cols*(rows+3)), "has no shape")
	require.ErrorContains(t, w.Reshape("none", 1), "no tensor")
	require.ErrorContains(t, w.ZeroRows("q", 1), "no matrix")
	require.ErrorContains(t, w.ZeroRows("none", 1), "no tensor")
	require.ErrorContains(t, w.SplitRows("none", "a"), "no tensor")
	require.ErrorContains(t, w.Transpose("qb"), "no matrix")
	require.ErrorContains(t, w.Transpose("none"), "no tensor")
	require.NoError(t, w.Rename(func(n string) string { return map[string]string{"k": "weight", "kb": "bias"}[n] }))
	require.Equal(t, []string{"bias", "weight"}, w.Names())
	l := &Linear{Weight: tensor.Meta(tensor.Float32, 2, 2), Bias: tensor.Meta(tensor.Float32, 1)}
	require.NoError(t, Load(l, w, LoadOptions{Alias: true}))
	require.Equal(t, []float32{4, 5, 6, 7}, l.Weight.Data())
	require.ErrorContains(t, w.Rename(func(string) string { return "x" }), `both "bias" and "weight" are "x"`)
}

func TestSaveRefused(t *testing.T) {
	dir := t.TempDir()
	require.ErrorContains(t, Save(newPair(nil), dir, SaveOptions{}), "embed.weight [7 3] has no weights yet")
	m := newPair(rng())
	require.ErrorContains(t, Save(m, dir, SaveOptions{DType: As(tensor.Int32)}), "cannot be stored as int32")
	require.ErrorContains(t, Save(m, dir, SaveOptions{Rename: func(string) string { return "x" }}), `"x" is taken`)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	_, err = OpenWeights(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func ExampleLoad() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	trained := NewLinear(rand.New(rand.NewPCG(1, 2)), 2, 3, true)
	if err := Save(trained, dir, SaveOptions{DType: As(tensor.BFloat16)}); err != nil {
		fmt.Println(err)
	}

	w, err := OpenWeights(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	l := NewLinear(nil, 2, 3, false)
	fmt.Println(strings.ReplaceAll(Load(l, w, LoadOptions{}).Error(), dir, "DIR"))
	fmt.Println(Load(l, w, LoadOptions{Ignore: []string{"**.bias"}}), l.Weight.DType())
	// Output:
	// DIR: the weights do not fit the model:
	//   unexpected  bias [3]
	// <nil> bfloat16
}
