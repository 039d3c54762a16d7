package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gollava/gollava/internal/torchfile"
)

// pickle checks that files of torch.save yield the recorded bytes, and that those which ask for more than tensors are
// refused.
func pickle(r *Report, c struct {
	Files  map[string]json.RawMessage // "all", or the names of the tensors that the file holds
	Refuse []string
}) {
	for _, name := range sorted(c.Files) {
		want := r.Names()
		if json.Unmarshal(c.Files[name], new(string)) != nil {
			check(json.Unmarshal(c.Files[name], &want))
		}
		err := catch(func() { check(sameTensors(inside(r.Dir, name), r.expected, want)) })
		r.add(holds(name, err == nil, "%v", err))
	}
	for _, name := range c.Refuse {
		f, err := torchfile.Open(inside(r.Dir, name))
		if err == nil {
			f.Close()
		}
		r.add(holds(name+" refused", err != nil, "it was read"))
	}
}

// sameTensors compares dtypes, shapes and bytes of a file with those expected.
func sameTensors(path string, e expected, want []string) error {
	f := must(torchfile.Open(path))
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
		if !bytes.Equal(must(f.Bytes(n)), must(e.Bytes(n))) {
			return fmt.Errorf("tensor %s holds other bytes", n)
		}
	}
	return nil
}
