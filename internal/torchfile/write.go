package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/safetensors"
)

// Tensor is what [Write] writes.
type Tensor struct {
	Name  string
	DType string // as safetensors spells it; one of the storages that [Open] reads
	Shape []int
	Bytes []byte // row by row, little-endian
}

// Write writes tensors as torch.save writes a dictionary of them in the zip format, as a whole or not at all.
func Write(path string, tensors []Tensor) error {
	storages := map[string]global{}
	for g, dtype := range dtypes {
		storages[dtype] = g
	}
	pickle := bytes.NewBufferString("\x80\x02}(")
	seen := map[string]bool{}
	for i, t := range tensors {
		n, err := safetensors.Size(t.DType, t.Shape)
		switch {
		case err != nil || storages[t.DType] == "":
			return fmt.Errorf("write %s: tensor %q: %s%v cannot be stored", path, t.Name, t.DType, t.Shape)
		case n != int64(len(t.Bytes)):
			return fmt.Errorf("write %s: tensor %q: %d bytes for %s%v, which has %d", path, t.Name, len(t.Bytes),
				t.DType, t.Shape, n)
		case n > 1<<32-2:
			return fmt.Errorf("write %s: tensor %q: %d bytes are too many for this format's writer; use safetensors",
				path, t.Name, n)
		case seen[t.Name]:
			return fmt.Errorf("write %s: tensor name %q is taken", path, t.Name)
		}
		seen[t.Name] = true
		describe(pickle, t, strconv.Itoa(i), storages[t.DType])
	}
	pickle.WriteString("u.")
	return atomicfile.Write(path, func(w io.Writer) error {
		z := &archiver{w: zip.NewWriter(w)}
		z.add("archive/data.pkl", pickle.Bytes())
		z.add("archive/byteorder", []byte("little"))
		for i, t := range tensors {
			z.add("archive/data/"+strconv.Itoa(i), t.Bytes)
		}
		z.add("archive/version", []byte("3\n"))
		if z.err == nil {
			z.err = z.w.Close()
		}
		return z.err
	})
}

// describe writes a name and the call that rebuilds its tensor.
func describe(b *bytes.Buffer, t Tensor, key string, storage global) {
	text := func(s string) {
		b.WriteByte('X')
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		b.WriteString(s)
	}
	number := func(n int64) { // LONG1 of eight bytes
		b.WriteString("\x8a\x08")
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
	name := func(g global) {
		module, n, _ := bytes.Cut([]byte(g), []byte(" "))
		fmt.Fprintf(b, "c%s\n%s\n", module, n)
	}
	text(t.Name)
	name(rebuildTensor)
	b.WriteString("((")
	text("storage")
	name(storage)
	text(key)
	text("cpu")
	count := int64(1)
	for _, d := range t.Shape {
		count *= int64(d)
	}
	number(count)
	b.WriteString("tQ")
	number(0)
	b.WriteByte('(')
	for _, d := range t.Shape {
		number(int64(d))
	}
	b.WriteString("t(")
	for i := range t.Shape {
		stride := int64(1)
		for _, d := range t.Shape[i+1:] {
			stride *= int64(max(d, 1))
		}
		number(stride)
	}
	b.WriteString("t\x89")
	name(orderedDict)
	b.WriteString(")RtR")
}

// archiver adds entries until the first error. Sizes stand before the data, as PyTorch's reader expects, which begins
// at a multiple of 64 bytes.
type archiver struct {
	w   *zip.Writer
	at  int64
	err error
}

func (z *archiver) add(name string, data []byte) {
	if z.err != nil {
		return
	}
	const fixed = 30 // bytes of a local header without name and extra field
	head := z.at + fixed + int64(len(name)) + 4
	pad := (64 - head%64) % 64
	extra := append([]byte{'F', 'B', byte(pad), 0}, bytes.Repeat([]byte{'Z'}, int(pad))...)
	h := &zip.FileHeader{Name: name, Method: zip.Store, Extra: extra, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))}
	w, err := z.w.CreateRaw(h)
	if err == nil {
		_, err = w.Write(data)
	}
	z.err = err
	z.at = head + pad + int64(len(data))
}
