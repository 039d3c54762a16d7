package verify

import (
	"strconv"

	"github.com/gollava/gollava/data/audio"
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

// melSpec checks ImageBind's sound input: spectrograms, resampling and the times of clips.
func melSpec(r *Report, c sounds) {
	for _, name := range sorted(c.Banks) {
		b, p := c.Banks[name], audio.ImageBind()
		pcm := r.ints("in." + name + ".pcm")
		samples := make([]float32, len(pcm))
		for i, v := range pcm {
			samples[i] = float32(v) / 32768
		}
		p.Rate, p.Bins, p.Frames = b.Rate, b.Bins, b.Target
		p.Clips, p.Seconds = 1, float64(len(samples))/float64(max(b.Rate, 1))
		x := must(p.Inputs(audio.Wave{Rate: b.Rate, Channels: [][]float32{samples}}))
		r.add(absolute(name+": input", widen(x.Data()), r.numbers("out."+name+".input"), r.Tolerance.Out))
		if !r.has("out." + name + ".fbank") {
			continue
		}
		energies, frames, err := p.LogMel(centred(samples))
		check(err)
		r.add(absolute(name+": fbank", widen(energies), r.numbers("out."+name+".fbank"), r.Tolerance.Out),
			count(name+": frames", frames, b.Frames))
	}
	for _, rate := range r.under("in.resample.") {
		sound := audio.Wave{Rate: must(strconv.Atoi(rate)), Channels: [][]float32{r.tensor("in.resample." + rate).Data()}}
		got := must(sound.Resample(targetRate)).Channels[0]
		r.add(absolute("resample "+rate, widen(got), r.numbers("out.resample."+rate), r.Tolerance.Out/100))
	}
	for _, seconds := range sorted(c.Clips) {
		var got, want []float64
		for _, t := range audio.ImageBind().ClipTimes(must(strconv.ParseFloat(seconds, 64))) {
			got = append(got, t[:]...)
		}
		for _, t := range c.Clips[seconds] {
			want = append(want, t[:]...)
		}
		r.add(absolute("clips of "+seconds+" s", got, want, 1e-9))
	}
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
