package train

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// piece is a tensor of a checkpoint. Its file is of the safetensors format, written here and not by
// internal/safetensors because every write must pass through the checkpoint's digest and fileSystem.
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

// container lays tensors out in the format's usual order: wide types first, then by name. It returns what comes before
// their bytes in the file.
func container(ps []piece) (head []byte, sorted []piece, err error) {
	ps = slices.SortedFunc(slices.Values(ps), func(a, b piece) int {
		return cmp.Or(cmp.Compare(b.t.DType().Bytes(1), a.t.DType().Bytes(1)), cmp.Compare(a.name, b.name))
	})
	names := make(map[string]header, len(ps))
	at := int64(0)
	for _, p := range ps {
		n := int64(p.t.DType().Bytes(p.t.Len()))
		names[p.name] = header{dtypeNames[p.t.DType()], append([]int{}, p.t.Shape()...), [2]int64{at, at + n}}
		at += n
	}
	j, err := json.Marshal(names)
	for len(j)%8 != 0 {
		j = append(j, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j...), ps, err
}

// readPiece fills t with the tensor of that name in f, which must be of t's type and shape.
func readPiece(f *safetensors.File, name string, t *tensor.Tensor) error {
	h, ok := f.Info(name)
	if !ok {
		return fmt.Errorf("%s holds no %s", f.Path(), name)
	}
	if h.DType != dtypeNames[t.DType()] || !slices.Equal(h.Shape, t.Shape()) {
		return fmt.Errorf("%s: %s is %s%v, the model's is %s%v", f.Path(), name, h.DType, h.Shape, dtypeNames[t.DType()],
			t.Shape())
	}
	return refill(t, func(b []byte) error { return f.ReadAt(h, b, 0) })
}

// refill lets read fill t's memory, by way of the host's if it is elsewhere.
func refill(t *tensor.Tensor, read func(b []byte) error) error {
	h := t.Host()
	if err := read(h.Bytes()); err != nil || h == t {
		return err
	}
	t.CopyFrom(h)
	return nil
}
