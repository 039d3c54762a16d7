// Package blip2case checks BLIP-2 and InstructBLIP against what transformers and LAVIS compute: the tasks
// blip2_vision, blip2_qformer, blip2_retrieval, blip2_stage1, blip2 and instructblip.
package blip2case

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// caseFile is case.json.
type caseFile struct {
	Folders    []string `json:"checkpoints"`
	Also       []string // the same weights in LAVIS's names
	Extra      string   // what transformers' layout has no place for
	DEC        *int     `json:"bos_token_id"` // starts a caption in stage 1
	Generation map[string]verify.Generation
	Runs       map[string]traincase.Recorded
}

// check is a case at work on one of its checkpoints.
type check struct {
	*verify.Report
	caseFile
	dir string // of the checkpoint
}

// each runs task on every checkpoint of the case.
func each(dir string, task func(*check) error) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		return r.Checkpoints(c.Folders, func(dir string) error { return task(&check{r, c, dir}) })
	})
}

// follow trains models that load returns as the recorded runs were.
func follow[B any](k *check, load func() (train.Model[B], error), b B, canonical func(string) string) error {
	for _, name := range verify.Sorted(k.Runs) {
		m, err := load()
		if err != nil {
			return err
		}
		if err := traincase.Follow(k.Report, name, k.Runs[name], m, []B{b}, canonical); err != nil {
			return err
		}
	}
	return nil
}

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
