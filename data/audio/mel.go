package audio

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

// FilterBank describes Kaldi's log-mel energies: frames without padding at the ends, each minus its mean, pre-emphasis
// 0.97, a symmetric Hann window, the power spectrum of the next power of two, triangles on the mel scale, and the
// logarithm with floor 2⁻²³; no dither, no energy. Source: torchaudio.compliance.kaldi.fbank with the arguments of
// ImageBind.
type FilterBank struct {
	Rate  int     // samples a second
	Bins  int     // triangles
	Frame float64 // length of a frame in milliseconds
	Shift float64 // from one frame to the next, in milliseconds
	Low   float64 // lowest frequency in Hz
	High  float64 // highest; 0: half the rate
}

const preEmphasis = 0.97

// Validate returns an error that names the first field with a value that cannot be.
func (f FilterBank) Validate() error {
	high := f.high()
	switch {
	case f.Rate < 1 || f.Rate > 1<<24:
		return fmt.Errorf("filter bank: Rate %d is not in 1 to %d", f.Rate, 1<<24)
	case f.Bins < 1 || f.Bins > 1<<16:
		return fmt.Errorf("filter bank: Bins %d is not in 1 to %d", f.Bins, 1<<16)
	case !(f.Frame > 0 && f.Frame <= 1e4) || f.window() < 2:
		return fmt.Errorf("filter bank: a Frame of %v ms needs at least two samples, and at most 10 s", f.Frame)
	case !(f.Shift > 0) || f.shift() < 1:
		return fmt.Errorf("filter bank: a Shift of %v ms needs at least one sample", f.Shift)
	case !(f.Low >= 0 && f.Low < high && high <= float64(f.Rate)/2):
		return fmt.Errorf("filter bank: Low %v Hz and High %v Hz: need 0 ≤ Low < High ≤ %v, half the rate", f.Low,
			f.High, float64(f.Rate)/2)
	}
	return nil
}

func (f FilterBank) high() float64 {
	if f.High == 0 {
		return float64(f.Rate) / 2
	}
	return f.High
}

func (f FilterBank) window() int { return int(float64(f.Rate) * f.Frame * 0.001) }
func (f FilterBank) shift() int  { return int(float64(f.Rate) * f.Shift * 0.001) }

// LogMel returns the logarithms of the energies, Bins numbers a frame, frame after frame. Samples that fill no frame
// are an error.
func (f FilterBank) LogMel(samples []float32) (energies []float32, frames int, err error) {
	if err := f.Validate(); err != nil {
		return nil, 0, fmt.Errorf("filter bank: %w", err)
	}
	window, shift := f.window(), f.shift()
	if len(samples) < window {
		return nil, 0, fmt.Errorf("filter bank: %d samples are fewer than the %d of a frame of %v ms", len(samples),
			window, f.Frame)
	}
	padded := 1
	for padded < window {
		padded *= 2
	}
	hann := make([]float32, window)
	for i := range hann {
		angle := float32(i) * float32(2*math.Pi/float64(window-1))
		hann[i] = 0.5 - float32(0.5*float32(math.Cos(float64(angle))))
	}
	triangles := f.triangles(padded)
	fft := fourier.NewFFT(padded)
	frame, spectrum := make([]float64, padded), make([]complex128, padded/2+1)
	frames = 1 + (len(samples)-window)/shift
	energies = make([]float32, 0, frames*f.Bins)
	for i := range frames {
		mean := 0.0
		for _, v := range samples[i*shift:][:window] {
			mean += float64(v) / float64(window)
		}
		last := samples[i*shift] - float32(mean) // the first sample is emphasised against itself
		for j, v := range samples[i*shift:][:window] {
			x := v - float32(mean)
			emphasised := x - float32(preEmphasis*last)
			frame[j], last = float64(float32(emphasised*hann[j])), x
		}
		clear(frame[window:])
		spectrum = fft.Coefficients(spectrum, frame)
		for _, t := range triangles {
			sum := 0.0
			for k, w := range t.weight {
				c := spectrum[t.first+k]
				sum += w * (real(c)*real(c) + imag(c)*imag(c))
			}
			energies = append(energies, float32(math.Log(max(sum, 0x1p-23))))
		}
	}
	return energies, frames, nil
}

// triangle weighs the frequencies from first on.
type triangle struct {
	first  int
	weight []float64
}

// triangles overlap by halves and are equally wide in mel.
func (f FilterBank) triangles(padded int) []triangle {
	mel := func(hz float64) float64 { return 1127 * math.Log(1+hz/700) }
	low := mel(f.Low)
	step := (mel(f.high()) - low) / float64(f.Bins+1)
	out := make([]triangle, f.Bins)
	for b := range out {
		left := low + float64(b)*step
		for k := range padded / 2 {
			m := mel(float64(f.Rate) / float64(padded) * float64(k))
			w := min((m-left)/step, (left+2*step-m)/step)
			if w <= 0 {
				continue
			}
			if out[b].weight == nil {
				out[b].first = k
			}
			out[b].weight = append(out[b].weight, w)
		}
	}
	return out
}
