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
// default arguments. A rate below 1, a sound without samples, rates that would need too many kernels, and a result of
// more than 2²⁸ samples are errors.
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
	if to > maxPhases || from > maxInputs {
		return Wave{}, fmt.Errorf("resample: %d to %d samples a second: the rates have no common measure to speak of "+
			"(%d phases of %d inputs, and at most %d of %d are made)", w.Rate, rate, to, from, maxPhases, maxInputs)
	}
	n := w.Len()
	if n*to/from > maxResult/len(w.Channels) {
		return Wave{}, fmt.Errorf("resample: %d samples in each of %d channels, from %d to %d a second, would become "+
			"more than %d", n, len(w.Channels), w.Rate, rate, maxResult)
	}
	phases, first := kernels(from, to)
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

// The bounds of what is made for a pair of rates, which may come from a file.
const (
	maxPhases = 1 << 16 // kernels
	maxInputs = 1 << 20 // samples that one round of these advances by
	maxResult = 1 << 28 // samples of all channels together: 1 GiB
)

// kernels are the weights of each of the to outputs that from inputs make, and the first input that each belongs to.
func kernels(from, to int) (phases [][]float32, first []int) {
	base := float64(min(from, to)) * rolloff
	width := int(math.Ceil(zeroCrossings * float64(from) / base))
	for p := range to {
		var k []float32
		at := 0
		middle, reach := int(int64(p)*int64(from)/int64(to)), int(zeroCrossings*float64(from)/base)+2
		for i := max(-width, middle-reach); i < min(width+from, middle+reach+1); i++ {
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
