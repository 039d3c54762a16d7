package diffusion

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

func schedule(t *testing.T, c Config) *Schedule {
	s, err := New(c)
	require.NoError(t, err)
	return s
}

func normal(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Randn(rand.New(rand.NewPCG(seed, 1)), 1, shape...)
}

// configs is Stable Diffusion's schedule under every sampler.
func configs() map[string]Config {
	third := StableDiffusion().As(DPM)
	third.SolverOrder = 3
	prk := StableDiffusion().As(PNDM)
	prk.SkipPRKSteps = false
	return map[string]Config{"ddim": StableDiffusion(), "pndm": StableDiffusion().As(PNDM), "prk": prk,
		"dpm": StableDiffusion().As(DPM), "third": third}
}

// A model that knows x_0 leads every sampler there, whatever it predicts.
func TestSamplersReachWhatIsPredicted(t *testing.T) {
	x0, start := normal(1, 2, 3, 5), normal(2, 2, 3, 5)
	for name, c := range configs() {
		for _, kind := range []string{"epsilon", "v_prediction"} {
			c.PredictionType, c.SetAlphaToOne = kind, true
			s := schedule(t, c)
			p, err := s.Sampler(9)
			require.NoError(t, err)
			x := start
			for _, ts := range p.Timesteps() {
				a, b := s.roots("", x.Reshape(1, 30), []int32{int32(ts)})
				eps := x.Sub(x0.Mul(a.Reshape())).Div(b.Reshape())
				output := eps
				if kind == "v_prediction" {
					output = eps.Mul(a.Reshape()).Sub(x0.Mul(b.Reshape()))
				}
				x = p.Step(x, output)
			}
			require.InDeltaSlice(t, x0.Data(), x.Data(), 0.1, "%s, %s", name, kind)
			require.Panics(t, func() { p.Step(x, x) })
		}
	}
}

// What a sampler keeps outlives the scope of the step that it comes from.
func TestSamplersInScopes(t *testing.T) {
	for name, c := range configs() {
		walk := func(step func(p *Sampler, x, y *tensor.Tensor) *tensor.Tensor) []float32 {
			p, err := schedule(t, c).Sampler(6)
			require.NoError(t, err)
			x := normal(3, 1, 7)
			for k := range p.Timesteps() {
				x = step(p, x, normal(uint64(k), 1, 7))
			}
			return x.Data()
		}
		want := walk(func(p *Sampler, x, y *tensor.Tensor) *tensor.Tensor { return p.Step(x, y) })
		got := walk(func(p *Sampler, x, y *tensor.Tensor) (out *tensor.Tensor) {
			tensor.Scope(func(a *tensor.Arena) { out = p.Step(x.In(a), y.In(a).Affine(1, 0)).Clone() })
			return out
		})
		require.Equal(t, want, got, name)
	}
}

func TestStepsAreRefused(t *testing.T) {
	odd := StableDiffusion()
	odd.StepsOffset = 999
	for _, c := range []struct {
		config Config
		steps  int
		want   string
	}{
		{StableDiffusion(), 0, "0 steps: DDIMScheduler, a rule of order 1, needs 1 to 1000"},
		{StableDiffusion(), 1001, "1001 steps"},
		{StableDiffusion(), 1000, "ask for timestep 1000, outside [0, 1000)"},
		{odd, 2, "2 steps with steps_offset 999 ask for timestep 1499"},
		{StableDiffusion().As(PNDM), 3, "3 steps: PNDMScheduler, a rule of order 4, needs 4 to 1000"},
		{StableDiffusion().As(DPM), 1, "1 steps: DPMSolverMultistepScheduler, a rule of order 2, needs 2 to 999"},
		{configs()["third"], 2, "order 3, needs 3"},
		{StableDiffusion().As(DDPM), 10, "DDPMScheduler is for training"},
	} {
		_, err := schedule(t, c.config).Sampler(c.steps)
		require.ErrorContains(t, err, c.want)
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	read := func(text string) (Config, error) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "scheduler_config.json"), []byte(text), 0o600))
		return ReadConfig(dir)
	}
	for _, c := range configs() {
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		got, err := read(string(raw))
		require.NoError(t, err)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, string(raw), string(again))
	}
	c, err := read(`{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity,
		"thresholding": false}`)
	require.NoError(t, err)
	require.Equal(t, "linspace", c.TimestepSpacing)
	for text, want := range map[string]string{
		`{"_class_name": "EulerDiscreteScheduler"}`: `_class_name "EulerDiscreteScheduler" is not supported`,
		`{}`: "_class_name",
		`{"_class_name": "DDIMScheduler", "thresholding": true}`:                  "thresholding true is not supported",
		`{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true}`:        "rescale_betas_zero_snr true",
		`{"_class_name": "DDIMScheduler", "beta_end": 1.5}`:                       "beta_end 1.5 is outside (0, 1)",
		`{"_class_name": "DDIMScheduler", "num_train_timesteps": 0}`:              "num_train_timesteps 0",
		`{"_class_name": "DDIMScheduler", "trained_betas": [0.1]}`:                "trained_betas has 1 values",
		`{"_class_name": "PNDMScheduler", "prediction_type": "sample"}`:           `prediction_type "sample"`,
		`{"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"}`:            `beta_schedule "sigmoid"`,
		`{"_class_name": "DPMSolverMultistepScheduler", "solver_order": 4}`:       "solver_order 4",
		`{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde"}`: `algorithm_type "sde"`,
		`{"_class_name": "DDIMScheduler", "steps_offset": -1}`:                    "steps_offset -1",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "scheduler_config.json")
	}
}

func TestTarget(t *testing.T) {
	x, noise, ts := normal(1, 2, 3), normal(2, 2, 3), []int32{10, 900}
	c := StableDiffusion()
	require.Equal(t, noise, schedule(t, c).Target(x, noise, ts))
	c.PredictionType = "sample"
	require.Equal(t, x, schedule(t, c).Target(x, noise, ts))
	c.PredictionType = "v_prediction"
	s := schedule(t, c)
	a, b := s.roots("", x, ts)
	back := s.AddNoise(x, noise, ts).Mul(a).Sub(s.Target(x, noise, ts).Mul(b)) // x_0 = √ᾱ·x_t − √(1−ᾱ)·v
	require.InDeltaSlice(t, x.Data(), back.Data(), 1e-5)
	require.Panics(t, func() { s.AddNoise(x, noise, ts[:1]) })
	require.Panics(t, func() { s.AddNoise(x, noise, []int32{0, 1000}) })
}
