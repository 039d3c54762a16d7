// Package drawcase checks diffusion models against what diffusers computes: the tasks diffusion_schedules, gligen_unet,
// ldm_vae and gligen_pipeline.
package drawcase

import (
	"encoding/json"
	"fmt"
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
func Schedules(dir string) ([]verify.Row, error) { return verify.Check(dir, schedules) }

// samplers is case.json of the task diffusion_schedules.
type samplers struct{ Runs map[string]json.RawMessage }

func schedules(f *verify.Report, facts samplers) error {
	s, err := diffusion.New(diffusion.StableDiffusion())
	if err != nil {
		return err
	}
	f.Add(verify.Absolute("betas", s.Betas(), f.Numbers("out.betas"), f.Tolerance.Out))
	f.Add(verify.Absolute("alphas_cumprod", s.AlphasCumprod(), f.Numbers("out.alphas_cumprod"), f.Tolerance.Out))
	x, noise, t := f.Tensor("in.x0"), f.Tensor("in.noise"), f.Ints("in.timesteps")
	if f.Err != nil {
		return f.Err
	}
	f.Output("add_noise", s.AddNoise(x, noise, t))
	f.Output("velocity", s.Velocity(x, noise, t))
	for _, name := range verify.Sorted(facts.Runs) {
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
		if err := walk(f, name, c, run.Steps); err != nil {
			return err
		}
	}
	if err := plms(f); err != nil {
		return err
	}
	return gates(f)
}

// sampled walks from in.<name>.x along in.<name>.eps and returns the timesteps and all x, one after another.
func sampled(f *verify.Report, name string, c diffusion.Config, steps int) (ts, xs []float64, err error) {
	s, err := diffusion.New(c)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.Sampler(steps)
	if err != nil {
		return nil, nil, err
	}
	x, eps := f.Tensor("in."+name+".x"), f.Tensor("in."+name+".eps")
	if f.Err != nil {
		return nil, nil, f.Err
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

func walk(f *verify.Report, name string, c diffusion.Config, steps int) error {
	ts, xs, err := sampled(f, name, c, steps)
	if err != nil {
		return err
	}
	f.Add(verify.Absolute(name+": timesteps", ts, wide(f.Ints("out."+name+".timesteps")), 0))
	f.Add(verify.Absolute(name+": x", xs, f.Numbers("out."+name+".x"), f.Tolerance.Out))
	return nil
}

// plms compares the GLIGEN authors' sampler, which is PNDM with its first step's two calls counted as one.
func plms(f *verify.Report) error {
	for _, n := range f.Under("in.plms.") {
		number, isX := strings.CutSuffix(n, ".x")
		if !isX {
			continue
		}
		steps, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("in.plms.%s: %w", n, err)
		}
		name := "plms." + number
		ts, xs, err := sampled(f, name, diffusion.StableDiffusion().As(diffusion.PNDM), steps)
		if err != nil {
			return err
		}
		size := len(xs) / len(ts)
		f.Add(verify.Absolute(name+": timesteps", slices.Delete(ts, 1, 2), wide(f.Ints("out."+name+".timesteps")), 0))
		f.Add(verify.Absolute(name+": first guess", xs[:size], f.Numbers("out."+name+".first_guess"), f.Tolerance.Out))
		f.Add(verify.Absolute(name+": x", xs[size:], f.Numbers("out."+name+".x"), f.Tolerance.Out))
	}
	return nil
}

// gates compares scheduled sampling, whose names are "[on, decay, off]@steps".
func gates(f *verify.Report) error {
	var recorded map[string][]float64
	if err := verify.ReadJSON(filepath.Join(f.Dir, "scheduled_sampling.json"), &recorded); err != nil {
		return err
	}
	for _, name := range verify.Sorted(recorded) {
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
		f.Add(verify.Absolute("gates "+name, got, recorded[name], 1e-9))
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
