package diffusion

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
)

// The schedulers of diffusers that [Schedule.Sampler] knows, and DDPM's, which only trains.
const (
	DDIM = "DDIMScheduler"
	PNDM = "PNDMScheduler"
	DPM  = "DPMSolverMultistepScheduler"
	DDPM = "DDPMScheduler"
)

// Config describes a noise schedule and a way of sampling by the fields of diffusers' scheduler_config.json.
type Config struct {
	ClassName         string    `json:"_class_name"`         // [DDIM], [PNDM], [DPM] or [DDPM]
	NumTrainTimesteps int       `json:"num_train_timesteps"` // T of the paper
	BetaSchedule      string    `json:"beta_schedule"`       // linear, scaled_linear or squaredcos_cap_v2
	BetaStart         float64   `json:"beta_start"`
	BetaEnd           float64   `json:"beta_end"`
	TrainedBetas      []float64 `json:"trained_betas"`   // if not empty, β_t in place of BetaSchedule
	PredictionType    string    `json:"prediction_type"` // epsilon, v_prediction or sample: what the model's output is
	TimestepSpacing   string    `json:"timestep_spacing"`
	StepsOffset       int       `json:"steps_offset"` // added to every timestep with the spacing "leading"

	ClipSample      bool    `json:"clip_sample"` // DDIM, DDPM: predicted samples are clipped to ±ClipSampleRange
	ClipSampleRange float64 `json:"clip_sample_range"`
	SetAlphaToOne   bool    `json:"set_alpha_to_one"` // DDIM, PNDM: ᾱ after the last step is 1, not ᾱ_0
	SkipPRKSteps    bool    `json:"skip_prk_steps"`   // PNDM: a linear multistep rule from the start (PLMS)

	AlgorithmType   string `json:"algorithm_type"` // DPM: dpmsolver++
	SolverOrder     int    `json:"solver_order"`   // DPM: 1, 2 or 3
	SolverType      string `json:"solver_type"`    // DPM: midpoint or heun
	LowerOrderFinal bool   `json:"lower_order_final"`
	EulerAtFinal    bool   `json:"euler_at_final"`
	FinalSigmasType string `json:"final_sigmas_type"` // DPM: zero or sigma_min
}

// fields of the configuration that each scheduler has beyond those of all.
var fields = map[string][]string{
	DDIM: {"clip_sample", "clip_sample_range", "set_alpha_to_one"},
	DDPM: {"clip_sample", "clip_sample_range"},
	PNDM: {"set_alpha_to_one", "skip_prk_steps"},
	DPM: {"algorithm_type", "solver_order", "solver_type", "lower_order_final", "euler_at_final",
		"final_sigmas_type"},
}

// special lists the fields that only some schedulers have.
func special() (names []string) {
	for _, list := range fields {
		names = append(names, list...)
	}
	return names
}

// StableDiffusion is the schedule that Stable Diffusion 1 and GLIGEN were trained with, sampled by DDIM.
func StableDiffusion() Config {
	c := defaults(DDIM)
	c.BetaSchedule, c.BetaStart, c.BetaEnd, c.StepsOffset = "scaled_linear", 0.00085, 0.012, 1
	c.ClipSample, c.SetAlphaToOne = false, false
	return c
}

// defaults are those of diffusers' constructors: files leave out what equals them.
func defaults(class string) Config {
	c := Config{ClassName: class, NumTrainTimesteps: 1000, BetaSchedule: "linear", BetaStart: 0.0001, BetaEnd: 0.02,
		PredictionType: "epsilon", TimestepSpacing: "leading", ClipSample: true, ClipSampleRange: 1,
		SetAlphaToOne: class == DDIM, AlgorithmType: "dpmsolver++", SolverOrder: 2, SolverType: "midpoint",
		LowerOrderFinal: true, FinalSigmasType: "zero"}
	if class == DPM {
		c.TimestepSpacing = "linspace"
	}
	return c
}

// As is c with the sampler of another class and the same schedule: the defaults of that class where c has nothing to
// say, and PNDM without Runge-Kutta steps, as Stable Diffusion uses it.
func (c Config) As(class string) Config {
	if class == c.ClassName {
		return c
	}
	to := defaults(class)
	to.NumTrainTimesteps, to.BetaSchedule, to.BetaStart, to.BetaEnd = c.NumTrainTimesteps, c.BetaSchedule, c.BetaStart,
		c.BetaEnd
	to.TrainedBetas, to.PredictionType, to.StepsOffset = c.TrainedBetas, c.PredictionType, c.StepsOffset
	to.ClipSample, to.ClipSampleRange, to.SetAlphaToOne, to.SkipPRKSteps = c.ClipSample, c.ClipSampleRange,
		c.SetAlphaToOne, true
	return to
}

// harmless are the values of fields beyond these that change nothing.
var harmless = map[string][]string{"thresholding": {"false"}, "rescale_betas_zero_snr": {"false"},
	"use_karras_sigmas": {"false"}, "use_exponential_sigmas": {"false"}, "use_beta_sigmas": {"false"},
	"use_lu_lambdas": {"false"}, "use_flow_sigmas": {"false"}}

// UnmarshalJSON reads a configuration with the defaults of its class, and validates it. Fields that ask for what is not
// supported are errors.
func (c *Config) UnmarshalJSON(raw []byte) error {
	if err := jsonfile.Only(raw, harmless); err != nil {
		return err
	}
	var head struct {
		Class string `json:"_class_name"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if fields[head.Class] == nil {
		return fmt.Errorf("_class_name %q is not supported (%s, %s, %s and %s are)", head.Class, DDIM, PNDM, DPM, DDPM)
	}
	type plain Config
	p := plain(defaults(head.Class))
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = Config(p)
	return c.Validate()
}

// MarshalJSON writes the fields that diffusers' class has.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	raw, err := json.Marshal(plain(c))
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	for _, name := range special() {
		if !slices.Contains(fields[c.ClassName], name) {
			delete(all, name)
		}
	}
	return json.Marshal(all)
}

// minusInfinity is what Python writes for the default of a field of DPM-Solver, which is no JSON.
var minusInfinity = regexp.MustCompile(`("lambda_min_clipped"\s*:\s*)-Infinity`)

// ReadConfig reads dir/scheduler_config.json. Its errors name the file and the field.
func ReadConfig(dir string) (c Config, err error) {
	path := filepath.Join(dir, "scheduler_config.json")
	raw, err := jsonfile.Bytes(path, jsonfile.Max)
	if err != nil {
		return c, err
	}
	if err := jsonfile.Unmarshal(minusInfinity.ReplaceAll(raw, []byte("${1}null")), &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Validate returns an error that names the first field that is wrong.
func (c *Config) Validate() error {
	oneOf := func(field, v string, allowed ...string) error {
		if slices.Contains(allowed, v) {
			return nil
		}
		return fmt.Errorf("%s %q is not supported: %q are", field, v, allowed)
	}
	if err := oneOf("_class_name", c.ClassName, DDIM, PNDM, DPM, DDPM); err != nil {
		return err
	}
	if c.NumTrainTimesteps < 1 || c.NumTrainTimesteps > 1<<20 {
		return fmt.Errorf("num_train_timesteps %d is out of range", c.NumTrainTimesteps)
	}
	predictions := []string{"epsilon", "v_prediction", "sample"}
	if c.ClassName == PNDM {
		predictions = predictions[:2]
	}
	if err := oneOf("prediction_type", c.PredictionType, predictions...); err != nil {
		return err
	}
	if err := oneOf("timestep_spacing", c.TimestepSpacing, "leading", "linspace", "trailing"); err != nil {
		return err
	}
	if err := oneOf("beta_schedule", c.BetaSchedule, "linear", "scaled_linear", "squaredcos_cap_v2"); err != nil {
		return err
	}
	switch {
	case len(c.TrainedBetas) > 0 && len(c.TrainedBetas) != c.NumTrainTimesteps:
		return fmt.Errorf("trained_betas has %d values for num_train_timesteps %d", len(c.TrainedBetas),
			c.NumTrainTimesteps)
	case !(c.BetaStart > 0 && c.BetaStart < 1):
		return fmt.Errorf("beta_start %v is outside (0, 1)", c.BetaStart)
	case !(c.BetaEnd > 0 && c.BetaEnd < 1):
		return fmt.Errorf("beta_end %v is outside (0, 1)", c.BetaEnd)
	case c.StepsOffset < 0 || c.StepsOffset >= c.NumTrainTimesteps:
		return fmt.Errorf("steps_offset %d is outside [0, %d)", c.StepsOffset, c.NumTrainTimesteps)
	case !(c.ClipSampleRange > 0):
		return fmt.Errorf("clip_sample_range %v is not positive", c.ClipSampleRange)
	}
	for t, b := range c.TrainedBetas {
		if !(b > 0 && b < 1) {
			return fmt.Errorf("trained_betas: %v of timestep %d is outside (0, 1)", b, t)
		}
	}
	if c.ClassName != DPM {
		return nil
	}
	if c.SolverOrder < 1 || c.SolverOrder > 3 {
		return fmt.Errorf("solver_order %d is not supported: 1, 2 and 3 are", c.SolverOrder)
	}
	if err := oneOf("algorithm_type", c.AlgorithmType, "dpmsolver++"); err != nil {
		return err
	}
	if err := oneOf("solver_type", c.SolverType, "midpoint", "heun"); err != nil {
		return err
	}
	return oneOf("final_sigmas_type", c.FinalSigmasType, "zero", "sigma_min")
}
