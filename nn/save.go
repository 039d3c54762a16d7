package nn

import (
	"fmt"
	"io"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

// SaveOptions say how [Save] names and stores tensors. The zero value writes every parameter as it is into one file.
type SaveOptions struct {
	// Rename translates a parameter's name into that in the file; "" leaves the parameter out. nil: they are the same.
	Rename func(name string) string

	// DType decides what a parameter is stored as: float32 or bfloat16, to which weights in blocks are widened too;
	// nil: as it is. Weights that are kept in NF4, FP4, NF4D, FP4D or INT8 are stored as bitsandbytes does, the
	// last only if each row has one scale, as those that were loaded have; those in other blocks must be widened. See
	// [As].
	DType func(name string, kept tensor.DType) tensor.DType

	// MaxShard is the size in bytes above which a folder's weights are divided into several files; 0: never.
	// transformers' default is 5·10⁹.
	MaxShard int64

	// Metadata are free text fields of the header. nil: {"format": "pt"}, which transformers asks for.
	Metadata map[string]string
}

// Save writes the parameters of m to path: the file of that name if it ends in .safetensors, else a folder with
// model.safetensors or shards and their index. Files are replaced as a whole or not at all. A tensor that several
// fields share is written once, under its first name.
func Save(m any, path string, o SaveOptions) error {
	list, err := listed(m, o)
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	meta := o.Metadata
	if meta == nil {
		meta = map[string]string{"format": "pt"}
	}
	if strings.HasSuffix(path, ".safetensors") {
		return safetensors.Write(path, list, meta)
	}
	return safetensors.WriteDir(path, list, meta, o.MaxShard)
}

func listed(m any, o SaveOptions) ([]safetensors.Tensor, error) {
	var list []safetensors.Tensor
	for name, t := range Params(m) {
		file := name
		if o.Rename != nil {
			file = o.Rename(name)
		}
		if file == "" {
			continue
		}
		if t.IsMeta() {
			return nil, fmt.Errorf("parameter %s %v has no weights yet", name, t.Shape())
		}
		dt := t.DType()
		if o.DType != nil {
			dt = o.DType(name, dt)
		}
		s := safetensors.Tensor{Name: file, Shape: t.Shape()}
		switch {
		case dt == tensor.Float32:
			s.DType = "F32"
		case dt == tensor.BFloat16:
			s.DType = "BF16"
		case bitsandbytesTypes[dt] != "":
			if dt != t.DType() || t.Rank() != 2 {
				return nil, fmt.Errorf("parameter %s %v: %v is stored as %v only if it is kept so", name, t.Shape(),
					t.DType(), dt)
			}
			parts, err := bitsandbytes(file, t)
			if err != nil {
				return nil, fmt.Errorf("parameter %s %v: %w", name, t.Shape(), err)
			}
			list = append(list, parts...)
			continue
		default:
			return nil, fmt.Errorf("parameter %s: cannot be stored as %v", name, dt)
		}
		if dt == t.DType() {
			s.Write = func(w io.Writer) error {
				_, err := w.Write(t.Host().Bytes())
				return err
			}
		} else {
			s.Write = func(w io.Writer) error { return writeAs(w, t, dt) }
		}
		list = append(list, s)
	}
	return list, nil
}

// writeAs writes a tensor as dt, float32 or bfloat16, piece by piece.
func writeAs(w io.Writer, t *tensor.Tensor, dt tensor.DType) error {
	from := "F32"
	if t.DType() == tensor.BFloat16 {
		from = "BF16"
	} else if f := t.DType().Blocks(); f != nil {
		from = f.Name
	}
	length, size := unit(from)
	units := max(piece/(length*int64(dt.Bytes(1))), 1) // in a piece
	buf := make([]byte, units*length*int64(dt.Bytes(1)))
	for src, left := t.Host().Bytes(), int64(t.Len()); left > 0; left -= units * length {
		n := min(int64(len(src)), units*size)
		out := buf[:min(left, units*length)*int64(dt.Bytes(1))]
		if err := convert(out, dt, src[:n], from); err != nil {
			return err
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}
