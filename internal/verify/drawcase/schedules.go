package drawcase

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/vit/diffusion"
)

// Schedules checks noise schedules and samplers that walk along recorded outputs of a model: the task
// diffusion_schedules.
func Schedules(dir string) ([]verify.Row, error) {
	var facts struct{ Runs map[string]json.RawMessage }
	return run(dir, &facts, func(f *folder) error {
		s, err := diffusion.New(diffusion.StableDiffusion())
		if err != nil {
			return err
		}
		f.add(verify.Absolute("betas", s.Betas(), f.e.Numbers("out.betas"), f.tol.Out))
		f.add(verify.Absolute("alphas_cumprod", s.AlphasCumprod(), f.e.Numbers("out.alphas_cumprod"), f.tol.Out))
		x, noise, t := f.e.Tensor("in.x0"), f.e.Tensor("in.noise"), f.e.Ints("in.timesteps")
		if f.e.Err != nil {
			return f.e.Err
		}
		f.output("", "add_noise", s.AddNoise(x, noise, t))
		f.output("", "velocity", s.Velocity(x, noise, t))
		for _, name := range slices.Sorted(maps.Keys(facts.Runs)) {
			var c diffusion.Config
			var run struct {
				Class string
				Steps int
			}
			if err := json.Unmarshal(facts.Runs[name], &run); err != nil {
				return fmt.Errorf("runs: %s: %w", name, err)
			}
			raw := []byte(fmt.Sprintf(`{"_class_name": %q, `, run.Class) + strings.TrimSpace(string(facts.Runs[name]))[1:])
			if err := json.Unmarshal(raw, &c); err != nil {
				return fmt.Errorf("runs: %s: %w", name, err)
			}
			if err := f.walk(name, c, run.Steps); err != nil {
				return err
			}
		}
		if err := f.plms(); err != nil {
			return err
		}
		return f.gates()
	})
}

// sampled walks from in.<name>.x along in.<name>.eps and returns the timesteps and all x, one after another.
func (f *folder) sampled(name string, c diffusion.Config, steps int) (ts, xs []float64, err error) {
	s, err := diffusion.New(c)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.Sampler(steps)
	if err != nil {
		return nil, nil, err
	}
	x, eps := f.e.Tensor("in."+name+".x"), f.e.Tensor("in."+name+".eps")
	if f.e.Err != nil {
		return nil, nil, f.e.Err
	}
	if eps.Dim(0) != len(p.Timesteps()) {
		return nil, nil, fmt.Errorf("run %s: %d outputs for %d timesteps", name, eps.Dim(0), len(p.Timesteps()))
	}
	for k, t := range p.Timesteps() {
		ts = append(ts, float64(t))
		x = p.Step(x, eps.Slice(0, k, k+1).Reshape(x.Shape()...))
		xs = append(xs, verify.Widen(x.Data())...)
	}
	return ts, xs, nil
}

func (f *folder) walk(name string, c diffusion.Config, steps int) error {
	ts, xs, err := f.sampled(name, c, steps)
	if err != nil {
		return err
	}
	f.add(verify.Absolute(name+": timesteps", ts, wide(f.e.Ints("out."+name+".timesteps")), 0))
	f.add(verify.Absolute(name+": x", xs, f.e.Numbers("out."+name+".x"), f.tol.Out))
	return nil
}

// plms compares the GLIGEN authors' sampler, which is PNDM with its first step's two calls counted as one.
func (f *folder) plms() error {
	for _, n := range f.e.Under("in.plms.") {
		number, isX := strings.CutSuffix(n, ".x")
		if !isX {
			continue
		}
		steps, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("in.plms.%s: %w", n, err)
		}
		name := "plms." + number
		ts, xs, err := f.sampled(name, diffusion.StableDiffusion().As(diffusion.PNDM), steps)
		if err != nil {
			return err
		}
		size := len(xs) / len(ts)
		f.add(verify.Absolute(name+": timesteps", slices.Delete(ts, 1, 2), wide(f.e.Ints("out."+name+".timesteps")), 0))
		f.add(verify.Absolute(name+": first guess", xs[:size], f.e.Numbers("out."+name+".first_guess"), f.tol.Out))
		f.add(verify.Absolute(name+": x", xs[size:], f.e.Numbers("out."+name+".x"), f.tol.Out))
	}
	return nil
}

// gates compares scheduled sampling, whose names are "[on, decay, off]@steps".
func (f *folder) gates() error {
	var recorded map[string][]float64
	if err := verify.ReadJSON(filepath.Join(f.dir, "scheduled_sampling.json"), &recorded); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		stages, number, _ := strings.Cut(name, "@")
		var parts []float64
		steps, err := strconv.Atoi(number)
		if err != nil || json.Unmarshal([]byte(stages), &parts) != nil || len(parts) != 3 {
			return fmt.Errorf("scheduled_sampling.json: %q is not [on, decay, off]@steps", name)
		}
		got, err := gligen.Gates(steps, parts[0], parts[1])
		if err != nil {
			return err
		}
		f.add(verify.Absolute("gates "+name, got, recorded[name], 1e-9))
	}
	return nil
}

// wide converts to float64.
func wide(x []int32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
