package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// build makes a file of a header and n bytes of data 0, 1, 2, ….
func build(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

func TestOpen(t *testing.T) {
	header := `{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[4,10]},"a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"},` +
		`"é":{"dtype":"U8","shape":[2,0],"data_offsets":[10,10]}}   `
	f, err := Open(write(t, "x.safetensors", build(header, 10)))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "é"}, f.Names())
	require.Equal(t, map[string]string{"format": "pt"}, f.Metadata())
	i, ok := f.Info("b")
	require.True(t, ok)
	require.Equal(t, Info{Name: "b", DType: "BF16", Shape: []int{3}, Begin: 4, End: 10}, i)
	b, err := f.Bytes("b")
	require.NoError(t, err)
	require.Equal(t, []byte{4, 5, 6, 7, 8, 9}, b)
	p := make([]byte, 3)
	require.NoError(t, f.ReadAt(i, p, 2))
	require.Equal(t, []byte{6, 7, 8}, p)
	require.ErrorContains(t, f.ReadAt(i, p, 4), "bytes 4 to 7 of 6")
	require.ErrorContains(t, f.ReadAt(i, p, -1), "bytes -1")
	_, err = f.Bytes("c")
	require.ErrorContains(t, err, `no tensor "c"`)
	_, ok = f.Info("c")
	require.False(t, ok)
	require.NoError(t, f.Close())
	require.Error(t, f.ReadAt(i, p, 2), "read after Close")
}

func TestRefused(t *testing.T) {
	one := func(entry string) string { return `{"a":` + entry + `}` }
	good := one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":             {nil, "too few"},
		"short":             {[]byte{1, 0, 0}, "too few"},
		"no header":         {build("", 0), "begin with {"},
		"huge header":       {binary.LittleEndian.AppendUint64(nil, 1<<63), "above the limit"},
		"header cut off":    {binary.LittleEndian.AppendUint64(nil, 100), "cut off"},
		"leading space":     {build(" "+good, 8), "begin with {"},
		"not json":          {build(`{"a"`, 0), "unexpected EOF"},
		"trailing":          {build(good+"x", 8), "follow its JSON"},
		"two objects":       {build(good+"{}", 8), "follow its JSON"},
		"not utf-8":         {build("{\"\xff\":1}", 0), "not UTF-8"},
		"duplicate":         {build(strings.TrimSuffix(good, "}")+`,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "occurs twice"},
		"escaped duplicate": {build(strings.TrimSuffix(good, "}")+`,"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "occurs twice"},
		"data cut off":      {build(good, 7), "cut off"},
		"data too long":     {build(good, 9), "1 bytes of data belong to no tensor"},
		"wrong size":        {build(one(`{"dtype":"F32","shape":[3],"data_offsets":[0,8]}`), 8), "needs 12"},
		"hole":              {build(one(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`), 8), "hole"},
		"overlap": {build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
			"overlap"},
		"same bytes twice": {build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8),
			"overlap"},
		"reversed":           {build(one(`{"dtype":"F32","shape":[2],"data_offsets":[8,0]}`), 8), "begin ≤ end"},
		"one offset":         {build(one(`{"dtype":"F32","shape":[2],"data_offsets":[8]}`), 8), "begin ≤ end"},
		"three offsets":      {build(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}`), 8), "more than 2"},
		"negative dim":       {build(one(`{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}`), 8), "-2 is not a whole number"},
		"fraction":           {build(one(`{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}`), 8), "2.0 is not a whole number"},
		"overflow":           {build(one(`{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}`), 8), "overflows"},
		"beyond int64":       {build(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}`), 8), "not a whole number"},
		"end of int64":       {build(one(`{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}`), 8), "overflow"},
		"rank":               {build(one(`{"dtype":"F32","shape":[`+strings.Repeat("1,", 64)+`2],"data_offsets":[0,8]}`), 8), "more than 64"},
		"dtype":              {build(one(`{"dtype":"f32","shape":[2],"data_offsets":[0,8]}`), 8), `dtype "f32" is not known`},
		"dtype number":       {build(one(`{"dtype":3,"shape":[2],"data_offsets":[0,8]}`), 8), "want a string"},
		"half a byte":        {build(one(`{"dtype":"F4","shape":[3],"data_offsets":[0,1]}`), 1), "whole bytes"},
		"field missing":      {build(one(`{"dtype":"F32","data_offsets":[0,8]}`), 8), "needs dtype, shape and data_offsets"},
		"field unknown":      {build(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}`), 8), `"stride"`},
		"field twice":        {build(one(`{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 8), "dtype occurs twice"},
		"entry no object":    {build(`{"a":[]}`, 0), "want {"},
		"metadata number":    {build(`{"__metadata__":{"a":1}}`, 0), "want a string"},
		"metadata duplicate": {build(`{"__metadata__":{"a":"","a":""}}`, 0), "occurs twice"},
		"deep":               {build(`{"a":`+strings.Repeat("[", 1<<20), 0), "want {"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "x", c.file)
			_, err := Open(path)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
	_, err := Open(t.TempDir())
	require.Error(t, err)
}

func TestSize(t *testing.T) {
	n, err := Size("F4", []int{3, 2})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	n, err = Size("F64", []int{math.MaxInt, 0, math.MaxInt})
	require.EqualValues(t, 0, n, "an empty tensor")
	if err != nil {
		require.ErrorContains(t, err, "overflows")
	}
	_, err = Size("F32", []int{-1})
	require.Error(t, err)
}

func tensors() []Tensor {
	return []Tensor{
		{Name: "z", DType: "F32", Shape: []int{1, 2}, Write: Bytes([]byte{1, 2, 3, 4, 5, 6, 7, 8})},
		{Name: `a"<é`, DType: "BF16", Shape: []int{3}, Write: Bytes([]byte{9, 8, 7, 6, 5, 4})},
		{Name: "s", DType: "I64", Shape: nil, Write: Bytes(make([]byte, 8))},
		{Name: "e", DType: "F32", Shape: []int{0}, Write: Bytes(nil)},
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "m.safetensors")
	require.NoError(t, Write(path, tensors(), map[string]string{"format": "pt", "b": "\n"}))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []string{"s", "e", "z", `a"<é`}, f.Names(), "widest first; an empty tensor before the one that begins at the same byte")
	require.Equal(t, map[string]string{"format": "pt", "b": "\n"}, f.Metadata())
	for _, want := range tensors() {
		i, ok := f.Info(want.Name)
		require.True(t, ok)
		require.Equal(t, want.DType, i.DType)
		require.Equal(t, append([]int{}, want.Shape...), i.Shape)
		got, err := f.Bytes(want.Name)
		require.NoError(t, err)
		var b strings.Builder
		require.NoError(t, want.Write(&b))
		require.Equal(t, b.String(), string(got))
	}
	require.EqualValues(t, 0, f.start%8, "data begins aligned")
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o640))
	broken := errors.New("broken")
	for _, c := range []struct {
		tensor Tensor
		want   string
	}{
		{Tensor{Name: "x", DType: "F32", Shape: []int{2}, Write: Bytes(make([]byte, 7))}, "wrote 7 bytes"},
		{Tensor{Name: "x", DType: "F32", Shape: []int{2}, Write: Bytes(make([]byte, 9))}, "wrote 9 bytes"},
		{Tensor{Name: "x", DType: "F32", Shape: []int{2}, Write: func(io.Writer) error { return broken }}, "broken"},
		{Tensor{Name: "x", DType: "F33", Shape: []int{2}}, "not known"},
		{Tensor{Name: "z", DType: "F32", Shape: []int{2}}, "taken"},
		{Tensor{Name: "__metadata__", DType: "F32", Shape: []int{2}}, "taken"},
	} {
		require.ErrorContains(t, Write(path, append(tensors(), c.tensor), nil), c.want)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "old", string(got))
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays")
	require.NoError(t, Write(path, tensors(), nil))
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), st.Mode().Perm())
}

func TestShards(t *testing.T) {
	dir := t.TempDir()
	var list []Tensor
	for i := range 7 {
		list = append(list, Tensor{Name: fmt.Sprint("t", i), DType: "U8", Shape: []int{10 + i}, Write: Bytes(make([]byte, 10+i))})
	}
	require.NoError(t, WriteDir(dir, list, nil, 25))
	entries, _ := filepath.Glob(filepath.Join(dir, "*"))
	require.Len(t, entries, 6) // {10, 11} {12, 13} {14} {15} {16} and the index
	s, err := OpenDir(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6"}, s.Names())
	require.Len(t, s.Files(), 5)
	b, err := s.Bytes("t4")
	require.NoError(t, err)
	require.Len(t, b, 14)
	_, err = s.Bytes("t9")
	require.Error(t, err)
	require.Equal(t, "model-00003-of-00005.safetensors", filepath.Base(s.File("t4").Path()))
	require.NoError(t, s.Close())

	require.NoError(t, WriteDir(dir, list, map[string]string{"a": "b"}, 0))
	entries, _ = filepath.Glob(filepath.Join(dir, "*"))
	require.Equal(t, []string{filepath.Join(dir, SingleName)}, entries, "the shards are gone")
	s, err = OpenDir(dir)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, s.Metadata())
	require.NoError(t, s.Close())
	require.ErrorContains(t, WriteDir(dir, append(list, list[0]), nil, 25), "taken")
}

func TestOpenDirRefused(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenDir(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, dir)
	x := Tensor{Name: "x", DType: "U8", Shape: []int{1}, Write: Bytes([]byte{1})}
	require.NoError(t, Write(filepath.Join(dir, "a.safetensors"), []Tensor{x}, nil))
	require.NoError(t, Write(filepath.Join(dir, "b.safetensors"), []Tensor{x}, nil))
	for index, want := range map[string]string{
		`{"weight_map":{"x":"../a.safetensors"}}`:                  "not a file of the same folder",
		`{"weight_map":{"x":"/etc/passwd"}}`:                       "not a file of the same folder",
		`{"weight_map":{"x":"c.safetensors"}}`:                     "c.safetensors",
		`{"weight_map":{"y":"a.safetensors"}}`:                     `has no tensor "y"`,
		`{"weight_map":{"x":"a.safetensors","z":"b.safetensors"}}`: `has no tensor "z"`,
		`{"weight_map":{}}`:                                        "missing or empty",
		`[]`:                                                       "is a list, where an object belongs",
		`{"weight_map":{"y":"a.safetensors","z":"b.safetensors"}}`: `is in both`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, IndexName), []byte(index), 0o644))
		_, err := OpenDir(dir)
		require.ErrorContains(t, err, want, index)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, IndexName), []byte(`{"weight_map":{"x":"b.safetensors"}}`), 0o644))
	s, err := OpenDir(dir)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// FuzzHeader asks that no header panics and that what is accepted covers its data.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`), int64(8))
	f.Add([]byte(`{"__metadata__":{"a":"b"},"a":{"dtype":"F4","shape":[2,0],"data_offsets":[0,0]}} `), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, size int64) {
		h, err := parseHeader(raw, size)
		if err != nil {
			return
		}
		var sum int64
		for _, i := range h.tensors {
			require.True(t, 0 <= i.Begin && i.Begin <= i.End && i.End <= size)
			sum += i.End - i.Begin
		}
		require.Equal(t, size, sum)
	})
}

func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "m.safetensors")
	_ = Write(path, []Tensor{{Name: "x", DType: "U8", Shape: []int{3}, Write: Bytes([]byte{1, 2, 3})}}, nil)

	f, _ := Open(path)
	defer f.Close()
	x, _ := f.Bytes("x")
	fmt.Println(f.Names(), x)
	// Output: [x] [1 2 3]
}
