package nn

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/tensor"
)

// RoPEConfig describes rotary position embeddings by the fields of transformers' rope_parameters (5) and rope_scaling
// (4).
type RoPEConfig struct {
	Type                string    `json:"rope_type"` // default (or ""), linear, dynamic, llama3, longrope
	Theta               float64   `json:"rope_theta"`
	Factor              float64   `json:"factor,omitempty"`
	LowFreqFactor       float64   `json:"low_freq_factor,omitempty"`
	HighFreqFactor      float64   `json:"high_freq_factor,omitempty"`
	OriginalMaxPosition int       `json:"original_max_position_embeddings,omitempty"`
	ShortFactor         []float64 `json:"short_factor,omitempty"`
	LongFactor          []float64 `json:"long_factor,omitempty"`
	AttentionFactor     float64   `json:"attention_factor,omitempty"`
	Partial             float64   `json:"partial_rotary_factor,omitempty"` // share of each head that is rotated; 0: all
}

// RoPE makes the tables of rotary position embeddings; [tensor.RoPE] applies them. Sources: Su et al. 2021;
// transformers' modeling_rope_utils for the scaled kinds. It is safe for concurrent use.
type RoPE struct {
	c           RoPEConfig
	rotated     int // R, even
	maxPosition int
	base        []float32 // [R/2], for the kinds whose frequencies do not depend on the length
	attention   float64   // scale of cos and sin
}

// NewRoPE prepares tables for heads of the given size and a model trained up to maxPosition. It returns an error that
// names the field for a kind or value that it does not know.
func NewRoPE(headDim, maxPosition int, c RoPEConfig) (*RoPE, error) {
	r := &RoPE{c: c, rotated: headDim, maxPosition: maxPosition, attention: 1}
	if c.Partial < 0 || c.Partial > 1 {
		return nil, fmt.Errorf("partial_rotary_factor %v is outside [0, 1]", c.Partial)
	}
	if c.Partial > 0 {
		r.rotated = int(float64(headDim) * c.Partial)
	}
	if r.rotated <= 0 || r.rotated%2 != 0 {
		return nil, fmt.Errorf("rotary embeddings of %d dimensions of a head of %d: needs an even number", r.rotated,
			headDim)
	}
	if !(c.Theta > 0) {
		return nil, fmt.Errorf("rope_theta %v is not positive", c.Theta)
	}
	needFactor := func() error {
		if !(c.Factor > 0) {
			return fmt.Errorf("rope_type %q needs a positive factor, got %v", c.Type, c.Factor)
		}
		return nil
	}
	switch c.Type {
	case "", "default":
		r.base = r.frequencies(c.Theta, nil)
	case "linear":
		if err := needFactor(); err != nil {
			return nil, err
		}
		r.base = r.frequencies(c.Theta, nil)
		for i := range r.base {
			r.base[i] /= float32(c.Factor)
		}
	case "dynamic":
		if err := needFactor(); err != nil {
			return nil, err
		}
		if maxPosition <= 0 || r.rotated <= 2 {
			return nil, fmt.Errorf("rope_type %q needs max_position_embeddings and more than two rotated dimensions",
				c.Type)
		}
	case "llama3":
		if err := needFactor(); err != nil {
			return nil, err
		}
		if !(c.LowFreqFactor > 0) || !(c.HighFreqFactor > c.LowFreqFactor) || c.OriginalMaxPosition <= 0 {
			return nil, fmt.Errorf("rope_type llama3 needs 0 < low_freq_factor < high_freq_factor and " +
				"original_max_position_embeddings")
		}
		r.base = r.llama3()
	case "longrope":
		if err := r.prepareLong(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("rope_type %q is not supported (default, linear, dynamic, llama3, longrope are)", c.Type)
	}
	return r, nil
}

// frequencies is θ^(−2j/R), each divided by divide[j] if given, in float32 as transformers computes it.
func (r *RoPE) frequencies(theta float64, divide []float64) []float32 {
	f := make([]float32, r.rotated/2)
	for j := range f {
		p := float32(math.Pow(theta, float64(float32(2*j)/float32(r.rotated))))
		if divide != nil {
			p *= float32(divide[j])
		}
		f[j] = 1 / p
	}
	return f
}

// llama3 slows down low frequencies by Factor, keeps high ones, and blends between.
func (r *RoPE) llama3() []float32 {
	f := r.frequencies(r.c.Theta, nil)
	o := float64(r.c.OriginalMaxPosition)
	for j, v := range f {
		wavelength := 2 * math.Pi / float64(v)
		switch {
		case wavelength < o/r.c.HighFreqFactor:
		case wavelength > o/r.c.LowFreqFactor:
			f[j] = float32(float64(v) / r.c.Factor)
		default:
			s := (o/wavelength - r.c.LowFreqFactor) / (r.c.HighFreqFactor - r.c.LowFreqFactor)
			f[j] = float32((1-s)*float64(v)/r.c.Factor + s*float64(v))
		}
	}
	return f
}

func (r *RoPE) prepareLong() error {
	half := r.rotated / 2
	if len(r.c.ShortFactor) != half || len(r.c.LongFactor) != half {
		return fmt.Errorf("rope_type longrope: short_factor has %d and long_factor %d entries, needs %d",
			len(r.c.ShortFactor), len(r.c.LongFactor), half)
	}
	factor := r.c.Factor
	if r.c.OriginalMaxPosition > 0 {
		factor = float64(r.maxPosition) / float64(r.c.OriginalMaxPosition)
	} else {
		r.c.OriginalMaxPosition = r.maxPosition
	}
	if r.c.OriginalMaxPosition <= 1 {
		return fmt.Errorf("rope_type longrope needs original_max_position_embeddings above 1")
	}
	switch {
	case r.c.AttentionFactor > 0:
		r.attention = r.c.AttentionFactor
	case factor > 1:
		r.attention = math.Sqrt(1 + math.Log(factor)/math.Log(float64(r.c.OriginalMaxPosition)))
	}
	return nil
}

// Long reports whether a batch whose largest position is last uses other frequencies than shorter ones do (LongRoPE
// above its original length): keys that were cached below must then be computed again.
func (r *RoPE) Long(last int) bool { return r.c.Type == "longrope" && last+1 > r.c.OriginalMaxPosition }

// Varies reports whether the frequencies depend on the largest position of a batch (dynamic NTK and LongRoPE).
func (r *RoPE) Varies() bool { return r.c.Type == "dynamic" || r.c.Type == "longrope" }

// At returns cosines and sines [len(positions), R/2] of the angles at the given positions. For dynamic NTK and LongRoPE
// the largest of them decides the frequencies of all.
func (r *RoPE) At(positions []int32) (cos, sin *tensor.Tensor) { return r.AtLength(positions, 0) }

// AtLength is At in a batch whose longest sequence has at least the given number of positions.
func (r *RoPE) AtLength(positions []int32, longest int) (cos, sin *tensor.Tensor) {
	last := max(longest-1, 0)
	for _, p := range positions {
		last = max(last, int(p))
	}
	f := r.base
	switch r.c.Type {
	case "dynamic":
		theta, d := r.c.Theta, float64(r.rotated)
		if n := float64(last + 1); n > float64(r.maxPosition) {
			theta *= math.Pow(r.c.Factor*n/float64(r.maxPosition)-(r.c.Factor-1), d/(d-2))
		}
		f = r.frequencies(theta, nil)
	case "longrope":
		f = r.frequencies(r.c.Theta, r.c.ShortFactor)
		if r.Long(last) {
			f = r.frequencies(r.c.Theta, r.c.LongFactor)
		}
	}
	half := r.rotated / 2
	c, s := make([]float32, len(positions)*half), make([]float32, len(positions)*half)
	for i, p := range positions {
		for j, v := range f {
			si, co := math.Sincos(float64(float32(p) * v))
			c[i*half+j], s[i*half+j] = float32(co*r.attention), float32(si*r.attention)
		}
	}
	return tensor.Wrap(c, len(positions), half), tensor.Wrap(s, len(positions), half)
}
