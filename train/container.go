package train

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// piece is a tensor on its way to or from a file in the safetensors layout: the header's length, the header, the tensors' bytes.
type piece struct {
	name string
	t    *tensor.Tensor
}

type header struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

var dtypeNames = map[tensor.DType]string{tensor.Float32: "F32", tensor.BFloat16: "BF16"}

// writePieces writes tensors from their own memory, one write each.
func writePieces(w io.Writer, ps []piece) error {
	head := make(map[string]header, len(ps))
	at := int64(0)
	for _, p := range ps {
		n := int64(p.t.Len() * p.t.DType().Size())
		head[p.name] = header{dtypeNames[p.t.DType()], p.t.Shape(), [2]int64{at, at + n}}
		at += n
	}
	j, err := json.Marshal(head)
	if err != nil {
		return err
	}
	for len(j)%8 != 0 {
		j = append(j, ' ')
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j...)); err != nil {
		return err
	}
	for _, p := range ps {
		if _, err := w.Write(p.t.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// pieces is an open file of tensors.
type pieces struct {
	f    *os.File
	head map[string]header
	from int64 // of the first tensor
}

// maxHeader bounds what a header may make us allocate.
const maxHeader = 64 << 20

func openPieces(name string) (_ *pieces, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b [8]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return nil, fmt.Errorf("is too short: %w", err)
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > maxHeader || int64(n) > info.Size()-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d", n, info.Size())
	}
	j := make([]byte, n)
	if _, err := io.ReadFull(f, j); err != nil {
		return nil, err
	}
	p := &pieces{f: f, from: 8 + int64(n)}
	if err := json.Unmarshal(j, &p.head); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for name, h := range p.head {
		if h.Offsets[0] < 0 || h.Offsets[1] < h.Offsets[0] || h.Offsets[1] > info.Size()-p.from {
			return nil, fmt.Errorf("tensor %s lies at %v, outside of the file", name, h.Offsets)
		}
	}
	return p, nil
}

// read fills t with the tensor of that name, which must be of t's type and shape.
func (p *pieces) read(name string, t *tensor.Tensor) error {
	h, ok := p.head[name]
	if !ok {
		return fmt.Errorf("%s holds no %s", p.f.Name(), name)
	}
	if h.DType != dtypeNames[t.DType()] || !slices.Equal(h.Shape, t.Shape()) {
		return fmt.Errorf("%s: %s is %s%v, the model's is %s%v", p.f.Name(), name, h.DType, h.Shape, dtypeNames[t.DType()], t.Shape())
	}
	b := t.Bytes()
	if h.Offsets[1]-h.Offsets[0] != int64(len(b)) {
		return fmt.Errorf("%s: %s has %d bytes, not %d", p.f.Name(), name, h.Offsets[1]-h.Offsets[0], len(b))
	}
	if _, err := p.f.ReadAt(b, p.from+h.Offsets[0]); err != nil {
		return fmt.Errorf("%s: %s: %w", p.f.Name(), name, err)
	}
	return nil
}
