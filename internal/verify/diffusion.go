package verify

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/vit/diffusion"
)

// schedules checks noise schedules and samplers that walk along recorded outputs of a model.
func schedules(r *Report, c struct{ Runs map[string]json.RawMessage }) {
	s := must(diffusion.New(diffusion.StableDiffusion()))
	r.near("betas", s.Betas(), r.Tolerance.Out)
	r.near("alphas_cumprod", s.AlphasCumprod(), r.Tolerance.Out)
	x, noise, t := r.tensor("in.x0"), r.tensor("in.noise"), r.ints("in.timesteps")
	r.output("add_noise", s.AddNoise(x, noise, t))
	r.output("velocity", s.Velocity(x, noise, t))
	for _, name := range sorted(c.Runs) {
		var config diffusion.Config
		var run struct {
			Class string
			Steps int
		}
		check(json.Unmarshal(c.Runs[name], &run))
		raw := fmt.Sprintf(`{"_class_name": %q, `, run.Class) + strings.TrimSpace(string(c.Runs[name]))[1:]
		if err := json.Unmarshal([]byte(raw), &config); err != nil {
			failf("runs: %s: %w", name, err)
		}
		ts, xs := sampled(r, name, config, run.Steps)
		r.add(absolute(name+": timesteps", ts, widen(r.ints("out."+name+".timesteps")), 0),
			absolute(name+": x", xs, r.numbers("out."+name+".x"), r.Tolerance.Out))
	}
	plms(r)
	gates(r)
}

// sampled walks from in.<name>.x along in.<name>.eps and returns the timesteps and all x, one after another.
func sampled(r *Report, name string, c diffusion.Config, steps int) (ts, xs []float64) {
	p := must(must(diffusion.New(c)).Sampler(steps))
	x, eps := r.tensor("in."+name+".x"), r.tensor("in."+name+".eps")
	if eps.Dim(0) != len(p.Timesteps()) {
		failf("run %s: %d outputs for %d timesteps", name, eps.Dim(0), len(p.Timesteps()))
	}
	for k := range p.Timesteps() {
		x = p.Step(x, eps.Slice(0, k, k+1).Reshape(x.Shape()...))
		xs = append(xs, widen(x.Data())...)
	}
	return widen(p.Timesteps()), xs
}

// plms compares the GLIGEN authors' sampler, which is PNDM with its first step's two calls counted as one.
func plms(r *Report) {
	for _, n := range r.under("in.plms.") {
		number, isX := strings.CutSuffix(n, ".x")
		if !isX {
			continue
		}
		name := "plms." + number
		ts, xs := sampled(r, name, diffusion.StableDiffusion().As(diffusion.PNDM), must(strconv.Atoi(number)))
		size := len(xs) / len(ts)
		r.add(absolute(name+": timesteps", slices.Delete(ts, 1, 2), widen(r.ints("out."+name+".timesteps")), 0),
			absolute(name+": first guess", xs[:size], r.numbers("out."+name+".first_guess"), r.Tolerance.Out),
			absolute(name+": x", xs[size:], r.numbers("out."+name+".x"), r.Tolerance.Out))
	}
}

// gates compares scheduled sampling, whose names are "[on, decay, off]@steps".
func gates(r *Report) {
	var recorded map[string][]float64
	readJSON(filepath.Join(r.Dir, "scheduled_sampling.json"), &recorded)
	for _, name := range sorted(recorded) {
		stages, number, _ := strings.Cut(name, "@")
		var parts []float64
		steps, err := strconv.Atoi(number)
		if err != nil || json.Unmarshal([]byte(stages), &parts) != nil || len(parts) != 3 {
			failf("scheduled_sampling.json: %q is not [on, decay, off]@steps", name)
		}
		r.add(absolute("gates "+name, must(gligen.Gates(steps, parts[0], parts[1])), recorded[name], 1e-9))
	}
}
