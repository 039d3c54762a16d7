package torchfile

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWriteIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.bin")
	list := []Tensor{{"a.weight", "F32", []int{2, 3}, make([]byte, 24)}, {"b", "BF16", []int{5}, []byte("0123456789")},
		{"scalar", "F32", []int{}, []byte{0, 0, 128, 63}}, {"none", "F32", []int{0, 4}, nil}}
	for i := range list[0].Bytes {
		list[0].Bytes[i] = byte(i)
	}
	require.NoError(t, Write(path, list))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Len(t, f.Names(), len(list))
	for _, want := range list {
		i, ok := f.Info(want.Name)
		require.True(t, ok)
		require.Equal(t, want.DType, i.DType)
		require.Equal(t, want.Shape, i.Shape)
		require.Zero(t, i.At%64, want.Name)
		b, err := f.Bytes(want.Name)
		require.NoError(t, err)
		require.Equal(t, append([]byte{}, want.Bytes...), b)
	}
	for _, bad := range [][]Tensor{{{"a", "F32", []int{2}, make([]byte, 4)}}, {{"a", "F4", []int{2}, make([]byte, 1)}}, {list[1], list[1]}} {
		require.Error(t, Write(path, bad))
	}
}
