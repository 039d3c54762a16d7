package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
)

// torch.save wrote these files; expected.safetensors holds the same tensors, bit for bit.
func TestReadsWhatTorchSaved(t *testing.T) {
	want, err := safetensors.Open("testdata/expected.safetensors")
	require.NoError(t, err)
	defer want.Close()
	for file, n := range map[string]int{"tensors.bin": 16, "tensors-legacy.bin": 16, "ordered.bin": 3} {
		require.True(t, Sniff("testdata/"+file))
		f, err := Open("testdata/" + file)
		require.NoError(t, err)
		defer f.Close()
		require.Len(t, f.Names(), n)
		for _, name := range f.Names() {
			w, ok := want.Info(name)
			require.True(t, ok, name)
			i, _ := f.Info(name)
			require.Equal(t, w.DType, i.DType, name)
			require.Equal(t, w.Shape, i.Shape, name)
			b, err := f.Bytes(name)
			require.NoError(t, err)
			wb, err := want.Bytes(name)
			require.NoError(t, err)
			require.Equal(t, append([]byte{}, wb...), b, name)
			require.Equal(t, name != "transposed" && name != "slice" && name != "expanded", i.At >= 0, name)
			if i.At >= 0 {
				p := make([]byte, len(wb))
				require.NoError(t, f.ReadAt(p, i.At))
				require.Equal(t, b, p)
			}
		}
		_, err = f.Bytes("none")
		require.ErrorContains(t, err, `no tensor "none"`)
	}
}

func TestRefusesCode(t *testing.T) {
	for _, file := range []string{"refuse.bin", "refuse-legacy.bin"} {
		_, err := Open("testdata/" + file)
		require.ErrorContains(t, err, "print")
		require.ErrorContains(t, err, "refused")
	}
}

// archive is a zip with the given pickle and one storage.
func archive(t testing.TB, pickle string, storage []byte, method uint16) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range map[string][]byte{"a/data.pkl": []byte(pickle), "a/data/0": storage} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.String()
}

// floats is a pickle of {"x": tensor} with the given size, stride and offset into a float storage of n elements.
func floats(n, offset byte, size, stride string) string {
	return "\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" +
		string([]byte{n}) + "tQK" + string([]byte{offset}) + size + stride + "\x89ccollections\nOrderedDict\n)RtRs."
}

func TestFaults(t *testing.T) {
	four := make([]byte, 16)
	for name, c := range map[string]struct{ file, says string }{
		"whole":       {archive(t, floats(4, 0, "K\x04\x85", "K\x01\x85"), four, zip.Store), ""},
		"beyond":      {archive(t, floats(4, 1, "K\x04\x85", "K\x01\x85"), four, zip.Store), "reaches beyond"},
		"stride":      {archive(t, floats(4, 0, "K\x02K\x02\x86", "K\x03K\x01\x86"), four, zip.Store), "reaches beyond"},
		"overflow":    {archive(t, floats(4, 0, "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), four, zip.Store), "overflows"},
		"repeats":     {archive(t, floats(4, 0, "J\xff\xff\xff\x7f\x85", "K\x00\x85"), four, zip.Store), "too often"},
		"negative":    {archive(t, floats(4, 0, "J\xff\xff\xff\xff\x85", "K\x01\x85"), four, zip.Store), "whole numbers"},
		"rank":        {archive(t, floats(4, 0, "K\x04\x85", ")"), four, zip.Store), "makes no sense"},
		"too large":   {archive(t, floats(200, 0, "K\x04\x85", "K\x01\x85"), four, zip.Store), "has 16 bytes, 200 elements of F32 need 800"},
		"compressed":  {archive(t, floats(4, 0, "K\x04\x85", "K\x01\x85"), four, zip.Deflate), "compressed"},
		"global":      {archive(t, "\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", four, zip.Store), "names os.system"},
		"stack":       {archive(t, "\x80\x04\x8c\x02os\x8c\x06system\x93)R.", four, zip.Store), "names os.system"},
		"import":      {archive(t, "\x80\x02(X\x01\x00\x00\x00aios\nsystem\n.", four, zip.Store), "opcode 0x69"},
		"not a dict":  {archive(t, "\x80\x02K\x01.", four, zip.Store), "instead of a dict"},
		"no tensor":   {archive(t, "\x80\x02}X\x01\x00\x00\x00xK\x01s.", four, zip.Store), `"x" is int64 instead of a tensor`},
		"underflow":   {archive(t, "\x80\x020.", four, zip.Store), "takes more from its stack"},
		"memo":        {archive(t, "\x80\x02h\x05.", four, zip.Store), "has not put there"},
		"long string": {archive(t, "\x80\x02X\xff\xff\xff\xff.", four, zip.Store), "a string of 4294967295 bytes"},
		"ends":        {archive(t, "\x80\x02}", four, zip.Store), "unexpected EOF"},
		"other zip":   {"PK\x03\x04 and no more", "not a whole zip"},
		"other":       {"hello, world", "neither a zip nor a pickle"},
		"pointer":     {"version https://git-lfs", "Git LFS"},
		"empty":       {"", "0 bytes are too few"},
	} {
		path := filepath.Join(t.TempDir(), "f.bin")
		require.NoError(t, os.WriteFile(path, []byte(c.file), 0o644))
		f, err := Open(path)
		if c.says == "" {
			require.NoError(t, err, name)
			require.NoError(t, f.Close())
			continue
		}
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, path, name)
	}
}

// A legacy file that is cut anywhere, or whose lengths lie, is an error.
func TestLegacyCutOff(t *testing.T) {
	whole, err := os.ReadFile("testdata/tensors-legacy.bin")
	require.NoError(t, err)
	open := func(b []byte) error {
		_, err := read("f.bin", bytes.NewReader(b), int64(len(b)))
		return err
	}
	for n := range whole {
		require.Error(t, open(whole[:n]), n)
	}
	lies := bytes.Clone(whole)
	i := bytes.LastIndex(lies, binary.LittleEndian.AppendUint64(nil, 30)) // of the storage of 6×5
	lies[i]++
	require.ErrorContains(t, open(lies), "has 31 elements, the tensors say 30")
	require.ErrorContains(t, open(append(bytes.Clone(whole), 0)), "1 bytes follow")
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"tensors.bin", "tensors-legacy.bin", "ordered.bin", "refuse.bin", "refuse-legacy.bin"} {
		b, err := os.ReadFile("testdata/" + name)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { everything(t, b) })
}

// FuzzPickle lets the fuzzer at the opcodes, behind a zip that is whole.
func FuzzPickle(f *testing.F) {
	z, err := zip.OpenReader("testdata/tensors.bin")
	require.NoError(f, err)
	defer z.Close()
	r, err := z.Open("tensors/data.pkl")
	require.NoError(f, err)
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	require.NoError(f, err)
	f.Add(b.Bytes())
	f.Add([]byte(floats(4, 0, "K\x04\x85", "K\x01\x85")))
	f.Fuzz(func(t *testing.T, b []byte) {
		everything(t, []byte(archive(t, string(b), make([]byte, 16), zip.Store)))
	})
}

// everything reads all tensors of a file, if it opens; they can hold no more than the file, or what small repetitions
// make of it.
func everything(t *testing.T, b []byte) {
	f, err := read("f.bin", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	for _, name := range f.Names() {
		p, err := f.Bytes(name)
		require.NoError(t, err)
		require.LessOrEqual(t, len(p), max(len(b), 8<<20))
	}
}
