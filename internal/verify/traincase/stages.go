package traincase

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// canonical is connector.Canonical; buffers keep their names.
func canonical(name string) string {
	if c, ok := connector.Canonical(name); ok {
		return c
	}
	return name
}

func loadVLM(dir string) (*connector.VLM, error) {
	c, err := connector.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := connector.New(nil, c)
	if err != nil {
		return nil, err
	}
	f, err := verify.Open(dir, "model.safetensors")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return m, weights(m, f, canonical)
}

// overwrite puts the recorded result of an earlier run into the model.
func overwrite(m any, e *verify.Expected, prefix string) error {
	found := false
	for name, p := range nn.Params(m) {
		for _, n := range e.Names() {
			if tail, ok := strings.CutPrefix(n, prefix+"."); ok && canonical(tail) == name {
				t := e.Tensor(n)
				if e.Err != nil {
					return e.Err
				}
				p.CopyFrom(t)
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("%s: there is no %s", e.Path(), prefix)
	}
	return nil
}

func stages(dir string, c caseFile) (rows []Row, err error) {
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var batches []connector.Batch
	for k := 0; ; k++ {
		in := fmt.Sprintf("in.batch.%d.", k)
		if _, ok := e.Info(in + "input_ids"); !ok {
			break
		}
		b := connector.Batch{IDs: e.Tensor(in + "input_ids"), Labels: e.Tensor(in + "labels"), Pixels: e.Tensor(in + "pixel_values")}
		if mask := e.Tensor(in + "attention_mask"); e.Err == nil {
			b.Mask = mask.IntData()
		}
		if e.Err != nil {
			return nil, e.Err
		}
		batches = append(batches, b)
	}
	if len(batches) == 0 {
		return nil, fmt.Errorf("%s: there are no batches", e.Path())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Runs)) {
		run := c.Runs[name]
		m, err := loadVLM(dir)
		if err != nil {
			return nil, err
		}
		if run.StartsFrom != "model.safetensors" {
			if err := overwrite(m, e, run.StartsFrom); err != nil {
				return nil, err
			}
		}
		trains := map[string]bool{}
		var groups []train.Group
		for _, p := range run.Trainable {
			trains[canonical(p)] = true
			groups = append(groups, train.Group{Params: canonical(p)})
		}
		s, err := stage(run, name, func(_ context.Context, n int) (connector.Batch, error) { return batches[n%len(batches)], nil }, groups...)
		if err != nil {
			return nil, err
		}
		was := map[string]string{}
		for n, p := range nn.Params(m) {
			was[n] = string(p.Bytes())
		}
		rep, err := train.Run(context.Background(), m, train.Options{}, s)
		if err != nil {
			return nil, err
		}
		r, traj := rep.Stages[0], "traj."+name+"."
		rows = append(rows, verify.Absolute(name+": loss", r.Loss, e.Numbers(traj+"loss"), c.Tolerance.TrajLoss),
			verify.Relative(name+": gradient norm", r.Norm, e.Numbers(traj+"grad_norm"), c.Tolerance.TrajNorm),
			verify.Relative(name+": learning rate", r.LR, e.Numbers(traj+"lr"), 1e-6), // recorded as float32
			frozen(name, m, was, trains))
		for _, n := range e.Names() {
			if tail, ok := strings.CutPrefix(n, traj+"final."); ok {
				for p, t := range nn.Params(m) {
					if p == canonical(tail) {
						rows = append(rows, verify.Norm(name+": final "+p, verify.Widen(t.Data()), e.Numbers(n), c.Tolerance.TrajFinal, 0))
					}
				}
			}
		}
	}
	return rows, e.Err
}

// frozen passes if exactly what the run trains has moved, to the bit.
func frozen(name string, m any, was map[string]string, trains map[string]bool) Row {
	r := Row{What: name + ": frozen bytes", Pass: true}
	still := 0
	for n, p := range nn.Params(m) {
		same := was[n] == string(p.Bytes())
		if same {
			still += p.Len() * p.DType().Size()
		}
		if same == trains[n] {
			r.Pass = false
			r.Detail += fmt.Sprintf("%s: trains %v, unmoved %v; ", n, trains[n], same)
		}
	}
	r.Detail += fmt.Sprintf("%d bytes unmoved", still)
	return r
}
