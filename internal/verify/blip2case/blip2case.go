// Package blip2case checks BLIP-2 and InstructBLIP against what transformers and LAVIS compute: the tasks
// blip2_vision, blip2_qformer, blip2_retrieval, blip2_stage1, blip2 and instructblip.
package blip2case

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// caseFile is case.json.
type caseFile struct {
	Task        string
	Checkpoints []string
	Generation  map[string]generation
	Runs        map[string]traincase.Recorded
	Tolerance   verify.Tolerance
}

// generation is how ids were generated.
type generation struct {
	MaxNew int  `json:"max_new_tokens"`
	Beams  int  `json:"num_beams"`
	EOS    *int `json:"eos_token_id"`
	PAD    int  `json:"pad_token_id"`
}

// Run checks a folder and returns a row for each result. Differences are no errors; a folder that cannot be read is.
func Run(dir string) (rows []verify.Row, err error) {
	var c caseFile
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	task := map[string]func(*check) error{"blip2_vision": vision, "blip2_qformer": qformer,
		"blip2": joined, "instructblip": joined}[c.Task]
	if task == nil {
		return nil, fmt.Errorf("task %q is not known to blip2case", c.Task)
	}
	if len(c.Checkpoints) == 0 {
		return nil, fmt.Errorf("checkpoints: none are listed")
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	k := &check{caseFile: c, e: e}
	for _, sub := range c.Checkpoints {
		if k.dir, err = verify.Inside(dir, sub); err != nil {
			return nil, err
		}
		if k.prefix = ""; sub != "." {
			k.prefix = sub + ": "
		}
		if caught := tensor.Catch(func() { err = task(k) }); caught != nil {
			err = caught
		}
		if err == nil {
			err = e.Err
		}
		if err != nil { // the others may still agree
			e.Err = nil
			k.rows = append(k.rows, verify.Failed(k.prefix+"load and compute", err))
		}
	}
	return k.rows, nil
}

// check is a case at work on one of its checkpoints.
type check struct {
	caseFile
	dir    string // of the checkpoint
	prefix string // of the rows' names
	e      *verify.Expected
	rows   []verify.Row
}

func (k *check) add(r verify.Row) {
	r.What = k.prefix + r.What
	k.rows = append(k.rows, r)
}

// output compares with out.<name>, element by element.
func (k *check) output(name string, got *tensor.Tensor) {
	k.add(verify.Absolute(name, verify.Widen(got.Data()), k.e.Numbers("out."+name), k.Tolerance.Out))
}

// masked compares [B, T, ·] with out.<name> where the mask [B·T] is 1.
func (k *check) masked(name string, got *tensor.Tensor, mask []int32) {
	k.add(k.e.Logits(name, "out."+name, got, mask, k.Tolerance.Out))
}

// loss compares a scalar with out.<name>.
func (k *check) loss(name string, got *tensor.Tensor) {
	k.add(verify.Absolute(name, []float64{float64(got.Item())}, k.e.Numbers("out."+name), k.Tolerance.Loss))
}

// gradients compares all that are recorded, whose names canonical translates into m's.
func (k *check) gradients(m any, canonical func(string) string) {
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	got := func(name string) *tensor.Tensor { return grads[canonical(name)] }
	for _, r := range k.e.Gradients(k.Tolerance, got) {
		k.add(r)
	}
}

// follow trains models that load returns as the recorded runs were.
func follow[B any](k *check, load func() (train.Model[B], error), b B, canonical func(string) string) error {
	for _, name := range slices.Sorted(maps.Keys(k.Runs)) {
		m, err := load()
		if err != nil {
			return err
		}
		rows, err := traincase.Follow(k.e, name, k.Runs[name], m, []B{b}, canonical, k.Tolerance)
		if err != nil {
			return err
		}
		for _, r := range rows {
			k.add(r)
		}
	}
	return nil
}

// same leaves names alone: the model has the file's.
func same(name string) string { return name }

// stack joins hidden states into one tensor, layer outermost.
func stack(states []*tensor.Tensor) *tensor.Tensor {
	out := make([]*tensor.Tensor, len(states))
	for i, s := range states {
		out[i] = s.Reshape(append([]int{1}, s.Shape()...)...)
	}
	return tensor.Concat(0, out...)
}

// lengths counts the ones of each row of a mask, which must come first in it.
func lengths(mask *tensor.Tensor) ([]int32, error) {
	B, T := mask.Dims2()
	n := make([]int32, B)
	for i, v := range mask.IntData() {
		if v != 0 {
			if int(n[i/T]) != i%T {
				return nil, fmt.Errorf("the mask of row %d is not padded at the right", i/T)
			}
			n[i/T]++
		}
	}
	return n, nil
}
