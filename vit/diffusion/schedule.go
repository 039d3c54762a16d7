// Package diffusion holds the noise schedules with which diffusion models are trained and the samplers that turn noise
// into a sample: DDIM, PNDM and DPM-Solver++. It knows no model:
//
//	s, err := diffusion.New(diffusion.StableDiffusion())
//	noisy, target := s.AddNoise(x, noise, t), s.Target(x, noise, t) // training
//
//	sampler, err := s.Sampler(20)
//	for _, t := range sampler.Timesteps() {
//		x = sampler.Step(x, model(x, t))
//	}
//
// Configurations are diffusers' scheduler_config.json.
package diffusion

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// Schedule says how much noise x_t holds: x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε. It is safe for concurrent use.
// Source: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", equation 4.
type Schedule struct {
	config Config
	betas  []float64
	bars   []float64 // ᾱ_t = Π (1−β_s), s ≤ t
}

// New makes the schedule that c describes. Its error names the field that is wrong.
func New(c Config) (*Schedule, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Schedule{config: c, betas: betas(c)}
	bar := 1.0
	for _, b := range s.betas {
		bar *= 1 - b
		s.bars = append(s.bars, bar)
	}
	return s, nil
}

// betas are β_t, the variance of the noise that timestep t adds.
func betas(c Config) []float64 {
	if len(c.TrainedBetas) > 0 {
		return c.TrainedBetas
	}
	n := c.NumTrainTimesteps
	at := func(from, to float64, t int) float64 { // n numbers from from to to
		if n == 1 {
			return from
		}
		return from + (to-from)*float64(t)/float64(n-1)
	}
	out := make([]float64, n)
	for t := range out {
		switch c.BetaSchedule {
		case "linear":
			out[t] = at(c.BetaStart, c.BetaEnd, t)
		case "scaled_linear":
			root := at(math.Sqrt(c.BetaStart), math.Sqrt(c.BetaEnd), t)
			out[t] = root * root
		default: // squaredcos_cap_v2: Nichol and Dhariwal 2021, equation 17
			bar := func(t int) float64 {
				c := math.Cos((float64(t)/float64(n) + 0.008) / 1.008 * math.Pi / 2)
				return c * c
			}
			out[t] = min(1-bar(t+1)/bar(t), 0.999)
		}
	}
	return out
}

// Config describes the schedule.
func (s *Schedule) Config() Config { return s.config }

// Betas are β_t for each timestep of training.
func (s *Schedule) Betas() []float64 { return append([]float64(nil), s.betas...) }

// AlphasCumprod are ᾱ_t for each timestep of training.
func (s *Schedule) AlphasCumprod() []float64 { return append([]float64(nil), s.bars...) }

// AddNoise is x_t = √ᾱ_t·x + √(1−ᾱ_t)·noise for x and noise [B, ...], with a timestep for each of B. It panics if a
// timestep is outside [0, num_train_timesteps).
func (s *Schedule) AddNoise(x, noise *tensor.Tensor, timesteps []int32) *tensor.Tensor {
	a, b := s.roots("AddNoise", x, timesteps)
	return x.Mul(a).Add(noise.Mul(b))
}

// Velocity is v = √ᾱ_t·noise − √(1−ᾱ_t)·x. Source: Salimans and Ho 2022, appendix D.
func (s *Schedule) Velocity(x, noise *tensor.Tensor, timesteps []int32) *tensor.Tensor {
	a, b := s.roots("Velocity", x, timesteps)
	return noise.Mul(a).Sub(x.Mul(b))
}

// Target is what a model of this schedule's prediction_type learns to return for [Schedule.AddNoise] of the same
// arguments: the noise, the velocity or x. The loss is the mean square of the difference.
func (s *Schedule) Target(x, noise *tensor.Tensor, timesteps []int32) *tensor.Tensor {
	switch s.config.PredictionType {
	case "v_prediction":
		return s.Velocity(x, noise, timesteps)
	case "sample":
		return x
	}
	return noise
}

// roots are √ᾱ_t and √(1−ᾱ_t), [B, 1, ...] to go with x.
func (s *Schedule) roots(op string, x *tensor.Tensor, timesteps []int32) (a, b *tensor.Tensor) {
	shape := x.Shape()
	if len(shape) == 0 || len(timesteps) != shape[0] {
		tensor.Fail(op, "%d timesteps for %v: needs one for each row", len(timesteps), shape)
	}
	for i := range shape[1:] {
		shape[i+1] = 1
	}
	as, bs := make([]float32, len(timesteps)), make([]float32, len(timesteps))
	for i, t := range timesteps {
		if t < 0 || int(t) >= len(s.bars) {
			tensor.Fail(op, "timestep %d is outside [0, %d)", t, len(s.bars))
		}
		as[i], bs[i] = float32(math.Sqrt(s.bars[t])), float32(math.Sqrt(1-s.bars[t]))
	}
	return tensor.Wrap(as, shape...).In(x.Arena()), tensor.Wrap(bs, shape...).In(x.Arena())
}
