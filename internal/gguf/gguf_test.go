package gguf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const corpus = "../verify/testdata/gguf"

// FuzzOpen: whatever the bytes are, Open returns, without a panic and without more memory than a few times the file's
// size; what it accepts can be read to the end.
func FuzzOpen(f *testing.F) {
	for _, dir := range []string{"container", "hostile"} {
		files, err := filepath.Glob(filepath.Join(corpus, dir, "*.gguf"))
		require.NoError(f, err)
		require.NotEmpty(f, files)
		for _, name := range files {
			b, err := os.ReadFile(name)
			require.NoError(f, err)
			if len(b) < 1<<13 {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file := &File{values: map[string]Value{}, names: map[string]int{}}
		if file.parse(b) != nil {
			return
		}
		for _, key := range file.Keys() {
			v, ok := file.Value(key)
			require.True(t, ok)
			_, _ = v.Any(), v.String()
		}
		for _, tensor := range file.Tensors() {
			_ = b[tensor.Offset:][:tensor.Size]
		}
	})
}

func TestKeys(t *testing.T) {
	f, err := Open(filepath.Join(corpus, "container", "v3.gguf"))
	require.NoError(t, err)
	defer f.Close()
	fails := func(read func(k *Keys)) string {
		k := &Keys{File: f}
		read(k)
		require.Error(t, k.Err)
		require.Contains(t, k.Err.Error(), "v3.gguf: ")
		return k.Err.Error()
	}
	k := &Keys{File: f}
	require.Equal(t, 200, k.Int("t.u8", 0, 0, 255))
	require.Equal(t, 4000000000, k.MustInt("t.u32", 0, 1<<40))
	require.Equal(t, 7, k.Int("absent", 7, 0, 1))
	require.InDelta(t, 0.15625, k.Float("t.f32", 0), 0)
	require.True(t, k.Bool("t.true", false))
	require.Equal(t, []string{"a", "", "ö"}, k.Texts("a.str"))
	require.Equal(t, []int64{-1, 0, 7}, k.Ints("a.i32"))
	require.Equal(t, []float64{0.5, -0.25}, k.Floats("a.f32"))
	require.NoError(t, k.Err)
	require.Contains(t, fails(func(k *Keys) { k.Int("t.i8", 0, 0, 9) }), "t.i8: is -5 (int8): it must be an integer from 0 to 9")
	require.Contains(t, fails(func(k *Keys) { k.Int("t.str", 0, 0, 9) }), "must be an integer")
	require.Contains(t, fails(func(k *Keys) { k.MustInt("absent", 0, 9) }), "absent: is missing")
	require.Contains(t, fails(func(k *Keys) { k.Text("t.u8") }), "must be a string")
	require.Contains(t, fails(func(k *Keys) { k.Texts("a.i32") }), "an array of 3 int32: it must be an array of strings")
	require.Contains(t, fails(func(k *Keys) { k.Ints("a.u64") }), "must be an array of integers")
	require.Contains(t, fails(func(k *Keys) { k.Floats("a.i32") }), "must be an array of floating-point numbers")
	require.Contains(t, fails(func(k *Keys) { k.Bool("t.u8", true) }), "must be a bool")
}
