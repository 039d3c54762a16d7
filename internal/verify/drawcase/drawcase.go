// Package drawcase checks diffusion models against what diffusers computes: the tasks diffusion_schedules, gligen_unet,
// ldm_vae and gligen_pipeline.
package drawcase

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

// folder is a case at work.
type folder struct {
	dir  string
	e    *verify.Expected
	tol  verify.Tolerance
	rows []verify.Row
}

// run opens a case, reads its case.json into facts and lets check fill the rows. A fault while checking is a row of its
// own, so that the others are kept.
func run(dir string, facts any, check func(*folder) error) ([]verify.Row, error) {
	path := filepath.Join(dir, "case.json")
	var raw json.RawMessage
	var head struct{ Tolerance verify.Tolerance }
	if err := verify.ReadJSON(path, &raw); err != nil {
		return nil, err
	}
	for _, to := range []any{facts, &head} {
		if err := json.Unmarshal(raw, to); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	f := &folder{dir: dir, e: e, tol: head.Tolerance}
	if caught := tensor.Catch(func() { err = check(f) }); caught != nil {
		err = caught
	}
	if err == nil {
		err = e.Err
	}
	if err != nil {
		f.add(verify.Failed("load and compute", err))
	}
	return f.rows, nil
}

func (f *folder) add(r verify.Row) { f.rows = append(f.rows, r) }

// output compares a tensor with out.<name>, element by element.
func (f *folder) output(prefix, name string, got *tensor.Tensor) {
	f.add(verify.Absolute(prefix+name, verify.Widen(got.Data()), f.e.Numbers("out."+name), f.tol.Out))
}
