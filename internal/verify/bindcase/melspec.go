package bindcase

import (
	"fmt"
	"strconv"

	"github.com/gollava/gollava/data/audio"
	"github.com/gollava/gollava/internal/verify"
)

// targetRate is what recorded sounds were resampled to.
const targetRate = 16000

// sounds is case.json of the task melspec.
type sounds struct {
	Banks map[string]struct {
		Rate   int `json:"sample_rate"`
		Bins   int `json:"num_mel_bins"`
		Target int `json:"target_length"`
		Frames int
	} `json:"filter_bank"`
	Clips map[string][][2]float64 `json:"clips_of_2s_3_per_file"`
}

// MelSpec checks a case of the task melspec.
func MelSpec(dir string) ([]verify.Row, error) { return verify.Check(dir, melSpec) }

func melSpec(e *verify.Report, c sounds) error {
	for _, name := range verify.Sorted(c.Banks) {
		b, p := c.Banks[name], audio.ImageBind()
		pcm := e.Ints("in." + name + ".pcm")
		samples := make([]float32, len(pcm))
		for i, v := range pcm {
			samples[i] = float32(v) / 32768
		}
		p.Rate, p.Bins, p.Frames = b.Rate, b.Bins, b.Target
		p.Clips, p.Seconds = 1, float64(len(samples))/float64(max(b.Rate, 1))
		x, err := p.Inputs(audio.Wave{Rate: b.Rate, Channels: [][]float32{samples}})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.Add(verify.Absolute(name+": input", verify.Widen(x.Data()), e.Numbers("out."+name+".input"), e.Tolerance.Out))
		if e.Has("out." + name + ".fbank") {
			energies, frames, err := p.LogMel(centred(samples))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			e.Add(verify.Absolute(name+": fbank", verify.Widen(energies), e.Numbers("out."+name+".fbank"),
				e.Tolerance.Out),
				verify.Absolute(name+": frames", []float64{float64(frames)}, []float64{float64(b.Frames)}, 0))
		}
	}
	for _, text := range e.Under("in.resample.") {
		rate, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("in.resample.%s: no sample rate: %w", text, err)
		}
		x := e.Tensor("in.resample." + text)
		if x == nil {
			return e.Err
		}
		w, err := audio.Wave{Rate: rate, Channels: [][]float32{x.Data()}}.Resample(targetRate)
		if err != nil {
			return err
		}
		e.Add(verify.Absolute("resample "+text, verify.Widen(w.Channels[0]), e.Numbers("out.resample."+text),
			e.Tolerance.Out/100))
	}
	for _, text := range verify.Sorted(c.Clips) {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("clips_of_2s_3_per_file: %q: %w", text, err)
		}
		var got, want []float64
		for _, t := range audio.ImageBind().ClipTimes(seconds) {
			got = append(got, t[:]...)
		}
		for _, t := range c.Clips[text] {
			want = append(want, t[:]...)
		}
		e.Add(verify.Absolute("clips of "+text+" s", got, want, 1e-9))
	}
	return nil
}

// centred is samples minus their mean.
func centred(samples []float32) []float32 {
	mean := 0.0
	for _, v := range samples {
		mean += float64(v) / float64(len(samples))
	}
	out := make([]float32, len(samples))
	for i, v := range samples {
		out[i] = v - float32(mean)
	}
	return out
}
