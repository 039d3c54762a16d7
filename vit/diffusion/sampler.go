package diffusion

import (
	"fmt"
	"math"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Sampler walks from noise to a sample in the given number of steps. It remembers earlier outputs, so one sampler
// makes one batch of samples, and it is not safe for concurrent use. Nothing of it is recorded for gradients.
type Sampler struct {
	timesteps []int
	step      rule
	calls     int
}

// rule takes x and what the model made of it at timestep number k to the next x.
type rule func(k int, x, output *tensor.Tensor) *tensor.Tensor

// Sampler prepares the scheduler that _class_name names. It returns an error for fewer steps than the order of its
// rule, for more than there are timesteps, and for [DDPM].
func (s *Schedule) Sampler(steps int) (*Sampler, error) {
	c := s.config
	least, most := 1, c.NumTrainTimesteps
	switch c.ClassName {
	case PNDM:
		least = order
	case DPM:
		least, most = c.SolverOrder, most-1 // one more timestep is laid out than is walked
	case DDPM:
		return nil, fmt.Errorf("_class_name %s is for training: sample with %s, %s or %s", DDPM, DDIM, PNDM, DPM)
	}
	if steps < least || steps > most {
		return nil, fmt.Errorf("%d steps: %s, a rule of order %d, needs %d to %d with num_train_timesteps %d", steps,
			c.ClassName, least, least, most, c.NumTrainTimesteps)
	}
	var p Sampler
	switch c.ClassName {
	case PNDM:
		p.timesteps, p.step = s.pndm(steps)
	case DPM:
		p.timesteps, p.step = s.dpm(steps)
	default:
		p.timesteps, p.step = s.ddim(steps)
	}
	for _, t := range p.timesteps {
		if t < 0 || t >= c.NumTrainTimesteps {
			return nil, fmt.Errorf("%d steps with steps_offset %d ask for timestep %d, outside [0, %d): "+
				"take fewer steps",
				steps, c.StepsOffset, t, c.NumTrainTimesteps)
		}
	}
	return &p, nil
}

// Timesteps are those at which the model is called, one for each call of [Sampler.Step].
func (p *Sampler) Timesteps() []int { return slices.Clone(p.timesteps) }

// Step takes x, of any shape, and what the model made of it at the next of [Sampler.Timesteps], of the same shape, and
// returns the x of the timestep after that. It panics after the last of them.
func (p *Sampler) Step(x, output *tensor.Tensor) *tensor.Tensor {
	if p.calls == len(p.timesteps) {
		tensor.Fail("Step", "all %d steps are done", p.calls)
	}
	if !slices.Equal(x.Shape(), output.Shape()) {
		tensor.Fail("Step", "x %v, output %v: the shapes must be equal", x.Shape(), output.Shape())
	}
	p.calls++
	return p.step(p.calls-1, x.Detach(), output.Detach())
}

// spaced are n timesteps from high to low. Source: diffusers' DDIMScheduler.set_timesteps.
func (c Config) spaced(n int) []int {
	T, out := c.NumTrainTimesteps, make([]int, n)
	for i := range out {
		switch back := n - 1 - i; c.TimestepSpacing {
		case "linspace":
			if n > 1 {
				out[i] = round(float64(back) * float64(T-1) / float64(n-1))
			}
		case "trailing":
			out[i] = round(float64(T)-float64(i)*float64(T)/float64(n)) - 1
		default:
			out[i] = back*(T/n) + c.StepsOffset
		}
	}
	return out
}

// round is NumPy's: halves go to the even number.
func round(x float64) int { return int(math.RoundToEven(x)) }

// bar is ᾱ_t, and beyond the last step what set_alpha_to_one says.
func (s *Schedule) bar(t int) float64 {
	switch {
	case t >= 0:
		return s.bars[min(t, len(s.bars)-1)]
	case s.config.SetAlphaToOne:
		return 1
	}
	return s.bars[0]
}

// predicted says how the sample x_0 and the noise ε that a model's output stands for are made of x and the output: the
// coefficients of both. Here x = alpha·x_0 + sigma·ε.
func (c Config) predicted(alpha, sigma float64) (x0, eps [2]float64) {
	switch c.PredictionType {
	case "v_prediction":
		return [2]float64{alpha, -sigma}, [2]float64{sigma, alpha}
	case "sample":
		return [2]float64{0, 1}, [2]float64{1 / sigma, -alpha / sigma}
	}
	return [2]float64{1 / alpha, -sigma / alpha}, [2]float64{0, 1}
}

// move goes from ᾱ = from to ᾱ = to along the predicted x_0 and ε. Source: Song et al. 2021, "Denoising Diffusion
// Implicit Models", equation 12 with σ = 0.
func (s *Schedule) move(x, output *tensor.Tensor, from, to float64, clip bool) *tensor.Tensor {
	x0, eps := s.config.predicted(math.Sqrt(from), math.Sqrt(1-from))
	a, b := math.Sqrt(to), math.Sqrt(1-to)
	if clip {
		r := float32(s.config.ClipSampleRange)
		sample := sum(term{x0[0], x}, term{x0[1], output})
		sample = sample.MaskedFill(sample.Less(tensor.Full(-r)), -r)
		sample = sample.MaskedFill(tensor.Full(r).Less(sample), r)
		return sum(term{a, sample}, term{b * eps[0], x}, term{b * eps[1], output})
	}
	return sum(term{a*x0[0] + b*eps[0], x}, term{a*x0[1] + b*eps[1], output})
}

func (s *Schedule) ddim(steps int) ([]int, rule) {
	ts, stride := s.config.spaced(steps), s.config.NumTrainTimesteps/steps
	return ts, func(k int, x, output *tensor.Tensor) *tensor.Tensor {
		return s.move(x, output, s.bar(ts[k]), s.bar(ts[k]-stride), s.config.ClipSample)
	}
}

// term is c·x.
type term struct {
	c float64
	x *tensor.Tensor
}

// sum adds up the terms whose coefficients are not 0, and the first in any case.
func sum(terms ...term) *tensor.Tensor {
	y := terms[0].x.Scale(float32(terms[0].c))
	for _, t := range terms[1:] {
		if t.c != 0 {
			y = y.Add(t.x.Scale(float32(t.c)))
		}
	}
	return y
}
