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

// Pickle checks that files of torch.save yield the recorded bytes, and that those which ask for more than tensors are
// refused.
func Pickle(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c pickleCase) error {
		for _, name := range verify.Sorted(c.Files) {
			want := r.Names()
			if err := json.Unmarshal(c.Files[name], new(string)); err != nil {
				if err := json.Unmarshal(c.Files[name], &want); err != nil {
					return fmt.Errorf("files: %s: %w", name, err)
				}
			}
			t := verify.Tally{What: name}
			err := sameTensors(dir, name, r.Expected, want)
			t.Check(err == nil, "%v", err)
			r.Add(t.Row())
		}
		for _, name := range c.Refuse {
			path, err := verify.Inside(dir, name)
			if err != nil {
				return err
			}
			t := verify.Tally{What: name + " refused"}
			f, err := torchfile.Open(path)
			if err == nil {
				f.Close()
			}
			t.Check(err != nil, "it was read")
			r.Add(t.Row())
		}
		return nil
	})
}

// sameTensors compares dtypes, shapes and bytes of a file with those expected.
func sameTensors(dir, name string, e *verify.Expected, want []string) error {
	path, err := verify.Inside(dir, name)
	if err != nil {
		return err
	}
	f, err := torchfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	slices.Sort(want)
	if got := f.Names(); !slices.Equal(got, want) {
		return fmt.Errorf("tensors %v instead of %v", got, want)
	}
	for _, n := range want {
		w, ok := e.Info(n)
		i, _ := f.Info(n)
		if !ok || w.DType != i.DType || !slices.Equal(w.Shape, i.Shape) {
			return fmt.Errorf("tensor %s is %s%v instead of %s%v", n, i.DType, i.Shape, w.DType, w.Shape)
		}
		got, err := f.Bytes(n)
		if err != nil {
			return err
		}
		b, err := e.Bytes(n)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, b) {
			return fmt.Errorf("tensor %s holds other bytes", n)
		}
	}
	return nil
}
