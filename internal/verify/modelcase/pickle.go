package modelcase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gollava/gollava/internal/torchfile"
	"github.com/gollava/gollava/internal/verify"
)

// pickleCase is case.json of task pickle.
type pickleCase struct {
	Files  map[string]json.RawMessage // "all", or the names of the tensors that the file holds
	Refuse []string
}

// Pickle checks that files of torch.save yield the recorded bytes, and that those which ask for more than tensors are refused.
func Pickle(dir string) (rows []verify.Row, err error) {
	var c pickleCase
	if err := read(dir, &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, name := range names(c.Files) {
		want := e.Names()
		if err := json.Unmarshal(c.Files[name], new(string)); err != nil {
			if err := json.Unmarshal(c.Files[name], &want); err != nil {
				return nil, fmt.Errorf("files: %s: %w", name, err)
			}
		}
		row := verify.Row{What: name}
		if row.Detail, err = sameTensors(dir, name, e, want); err != nil {
			row.MaxAbs, row.Detail = 1, err.Error()
		}
		row.Pass = err == nil
		rows = append(rows, row)
	}
	for _, name := range c.Refuse {
		path, err := verify.Inside(dir, name)
		if err != nil {
			return nil, err
		}
		row := verify.Row{What: name + " refused", Pass: true}
		if f, err := torchfile.Open(path); err != nil {
			row.Detail = err.Error()
		} else {
			f.Close()
			row.Pass, row.MaxAbs, row.Detail = false, 1, "it was read"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// sameTensors compares dtypes, shapes and bytes of a file with those expected.
func sameTensors(dir, name string, e *verify.Expected, want []string) (string, error) {
	path, err := verify.Inside(dir, name)
	if err != nil {
		return "", err
	}
	f, err := torchfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	slices.Sort(want)
	if got := f.Names(); !slices.Equal(got, want) {
		return "", fmt.Errorf("tensors %v instead of %v", got, want)
	}
	for _, n := range want {
		w, ok := e.Info(n)
		i, _ := f.Info(n)
		if !ok || w.DType != i.DType || !slices.Equal(w.Shape, i.Shape) {
			return "", fmt.Errorf("tensor %s is %s%v instead of %s%v", n, i.DType, i.Shape, w.DType, w.Shape)
		}
		got, err := f.Bytes(n)
		if err != nil {
			return "", err
		}
		b, err := e.Bytes(n)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(got, b) {
			return "", fmt.Errorf("tensor %s holds other bytes", n)
		}
	}
	return fmt.Sprintf("%d tensors", len(want)), nil
}
