package audio

import (
	"fmt"
	"math"
)

// The low-pass filter of [Wave.Resample]: a sinc of so many zero crossings on each side under a Hann window, and its
// cut-off as a share of the lower Nyquist frequency.
const (
	zeroCrossings = 6
	rolloff       = 0.99
)

// Resample is the sound at another rate, with a band-limited sinc. Source: torchaudio.functional.resample with its
// default arguments. A rate below 1, or a sound without samples, is an error.
func (w Wave) Resample(rate int) (Wave, error) {
	if err := w.check(); err != nil {
		return Wave{}, err
	}
	if rate < 1 {
		return Wave{}, fmt.Errorf("resample: the sample rate is %d, and must be at least 1", rate)
	}
	if rate == w.Rate {
		return w, nil
	}
	g := gcd(w.Rate, rate)
	from, to := w.Rate/g, rate/g
	if to > maxPhases {
		return Wave{}, fmt.Errorf("resample: %d to %d samples a second: the rates have no common measure to speak of "+
			"(%d phases, and at most %d are made)", w.Rate, rate, to, maxPhases)
	}
	phases, first := kernels(from, to)
	n := w.Len()
	out := Wave{Rate: rate}
	for _, x := range w.Channels {
		y := make([]float32, (to*n+from-1)/from)
		for i := range y {
			k := phases[i%to]
			at := i/to*from + first[i%to]
			sum := 0.0
			for j := max(0, -at); j < min(len(k), n-at); j++ {
				sum += float64(k[j]) * float64(x[at+j])
			}
			y[i] = float32(sum)
		}
		out.Channels = append(out.Channels, y)
	}
	return out, nil
}

// maxPhases bounds the kernels that are made for a pair of rates.
const maxPhases = 1 << 16

// kernels are the weights of each of the to outputs that from inputs make, and the first input that each belongs to.
func kernels(from, to int) (phases [][]float32, first []int) {
	base := float64(min(from, to)) * rolloff
	width := int(math.Ceil(zeroCrossings * float64(from) / base))
	for p := range to {
		var k []float32
		at := 0
		for i := -width; i < width+from; i++ {
			t := (float64(-p)/float64(to) + float64(i)/float64(from)) * base
			if math.Abs(t) >= zeroCrossings { // the window is 0
				continue
			}
			if k == nil {
				at = i
			}
			c := math.Cos(t * math.Pi / zeroCrossings / 2)
			v := c * c * base / float64(from)
			if t != 0 {
				v *= math.Sin(t*math.Pi) / (t * math.Pi)
			}
			k = append(k, float32(v))
		}
		phases, first = append(phases, k), append(first, at)
	}
	return phases, first
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
