package audio

import (
	"fmt"

	"github.com/gollava/gollava/tensor"
)

// Processor makes a model's input of a sound: clips, each a log-mel spectrogram of a fixed number of frames. It is safe
// for concurrent use.
type Processor struct {
	FilterBank
	Frames    int     // of a clip: longer spectrograms are cut, shorter ones filled with 0 before they are normalised
	Clips     int     // spread evenly over the sound
	Seconds   float64 // of a clip
	Mean, Std float32 // x becomes (x − Mean)/Std
}

// ImageBind is the released model's processor: 3 clips of 2 s at 16 kHz, 128 bins, 204 frames.
func ImageBind() Processor {
	return Processor{FilterBank: FilterBank{Rate: 16000, Bins: 128, Frame: 25, Shift: 10, Low: 20}, Frames: 204,
		Clips: 3, Seconds: 2,
		Mean: -4.268, Std: 9.138}
}

// ClipTimes are the beginnings and ends in seconds of the clips of a sound that lasts so many seconds. All begin at 0
// where it is no longer than one clip. Source: pytorchvideo's ConstantClipsPerVideoSampler.
func (p Processor) ClipTimes(seconds float64) [][2]float64 {
	gap := max(seconds-p.Seconds, 0) / float64(max(p.Clips-1, 1))
	times := make([][2]float64, p.Clips)
	for i := range times {
		times[i] = [2]float64{float64(i) * gap, float64(i)*gap + p.Seconds}
	}
	return times
}

// Inputs are the clips of a sound of any rate: [Clips, 1, Bins, Frames]. The mean over all channels of a clip is taken
// off, and its first channel counts. A sound without samples, or shorter than one frame, is an error. Source:
// load_and_transform_audio_data of ImageBind.
func (p Processor) Inputs(w Wave) (*tensor.Tensor, error) {
	if p.Frames < 1 || p.Clips < 1 || !(p.Seconds > 0) || p.Std == 0 {
		return nil, fmt.Errorf("audio processor: Frames %d, Clips %d, Seconds %v and Std %v must be above 0",
			p.Frames, p.Clips, p.Seconds, p.Std)
	}
	w, err := w.Resample(p.Rate)
	if err != nil {
		return nil, err
	}
	out := tensor.New(p.Clips, 1, p.Bins, p.Frames)
	for i, t := range p.ClipTimes(w.Seconds()) {
		clip := w.Slice(int(t[0]*float64(w.Rate)), int(t[1]*float64(w.Rate)))
		if err := p.input(clip, out.Data()[i*p.Bins*p.Frames:][:p.Bins*p.Frames]); err != nil {
			return nil, fmt.Errorf("clip %d at %.2f s: %w", i, t[0], err)
		}
	}
	return out, nil
}

// input writes the spectrogram of a clip [Bins, Frames] to x.
func (p Processor) input(clip Wave, x []float32) error {
	mean := 0.0
	for _, ch := range clip.Channels {
		for _, v := range ch {
			mean += float64(v) / float64(clip.Len()*len(clip.Channels))
		}
	}
	centred := make([]float32, clip.Len())
	for i, v := range clip.Channels[0] {
		centred[i] = v - float32(mean)
	}
	energies, frames, err := p.LogMel(centred)
	if err != nil {
		return err
	}
	for b := range p.Bins {
		for f := range p.Frames {
			v := float32(0)
			if f < frames {
				v = energies[f*p.Bins+b]
			}
			x[b*p.Frames+f] = (v - p.Mean) / p.Std
		}
	}
	return nil
}
