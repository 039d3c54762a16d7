// Package audio reads sound and makes of it what models take: WAV files, resampling as torchaudio does it, and the
// log-mel spectrograms of Kaldi's filter bank.
//
//	w, err := audio.Read("bell.wav")
//	…
//	x, err := audio.ImageBind().Inputs(w) // [3, 1, 128, 204]: three clips of two seconds
package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Wave is sampled sound.
type Wave struct {
	Rate     int         // samples a second
	Channels [][]float32 // of equal length, full scale being −1 to 1
}

// Len is the number of samples of each channel.
func (w Wave) Len() int {
	if len(w.Channels) == 0 {
		return 0
	}
	return len(w.Channels[0])
}

// Seconds is how long the sound lasts.
func (w Wave) Seconds() float64 { return float64(w.Len()) / float64(max(w.Rate, 1)) }

// check returns an error if there is nothing to hear, or channels that do not belong together.
func (w Wave) check() error {
	switch n := w.Len(); {
	case w.Rate < 1:
		return fmt.Errorf("the sample rate is %d, and must be at least 1", w.Rate)
	case n == 0:
		return errors.New("there are no samples")
	default:
		for c, ch := range w.Channels {
			if len(ch) != n {
				return fmt.Errorf("channel %d has %d samples, channel 0 has %d", c, len(ch), n)
			}
		}
	}
	return nil
}

// Slice is the part from sample from up to sample to, as far as there are any; it shares memory with w.
func (w Wave) Slice(from, to int) Wave {
	n := w.Len()
	from, to = min(max(from, 0), n), min(max(to, 0), n)
	out := Wave{Rate: w.Rate}
	for _, ch := range w.Channels {
		out.Channels = append(out.Channels, ch[from:max(to, from)])
	}
	return out
}

// maxFile is the most that a file may have: an hour and a half of stereo at 48 kHz in 16 bits.
const maxFile = 1 << 30

// Read reads a WAV file; see [Decode]. Errors name it.
func Read(path string) (Wave, error) {
	f, err := os.Open(path)
	if err != nil {
		return Wave{}, err
	}
	defer f.Close()
	w, err := Decode(f)
	if err != nil {
		return Wave{}, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// Decode reads a WAV file of at most 1 GiB: integers of 8, 16, 24 or 32 bits, or floats of 32 or 64. Compressed sound,
// a file without samples and one that is cut off in its headers are errors; of samples that are cut off the whole ones
// are read.
func Decode(r io.Reader) (Wave, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return Wave{}, err
	case len(raw) > maxFile:
		return Wave{}, fmt.Errorf("is larger than %d bytes, the most that is read", maxFile)
	}
	h, err := readHeader(raw)
	if err != nil {
		return Wave{}, err
	}
	w := Wave{Rate: h.rate, Channels: make([][]float32, h.channels)}
	if h.float {
		h.floats(&w)
	} else if err := integers(raw, h, &w); err != nil {
		return Wave{}, err
	}
	return w, w.check()
}

// header is what a WAV file says about its samples.
type header struct {
	rate, channels, bits int
	float                bool
	data                 []byte // whole samples of all channels
}

// The formats of samples.
const (
	pcm        = 1
	ieeeFloat  = 3
	extensible = 0xfffe // the format stands in a field of its own
)

// readHeader walks the chunks: they lie within the file, and the samples have a form that is known.
func readHeader(raw []byte) (h header, err error) {
	le := binary.LittleEndian
	if len(raw) < 12 || string(raw[:4]) != "RIFF" || string(raw[8:12]) != "WAVE" {
		return h, errors.New("is no WAV file (RIFF, WAVE)")
	}
	format := 0
	for at := 12; at+8 <= len(raw); {
		id, size := string(raw[at:at+4]), int(le.Uint32(raw[at+4:]))
		body := raw[at+8:]
		switch {
		case id == "data":
			if format == 0 {
				return h, errors.New(`the samples come before the chunk "fmt " that describes them`)
			}
			body = body[:min(size, len(body))]
			h.data = body[:len(body)-len(body)%(h.channels*h.bits/8)]
			return h, nil
		case size > len(body):
			return h, fmt.Errorf("chunk %q has %d bytes, of which %d are there: the file is cut off or damaged", id,
				size, len(body))
		case id == "fmt ":
			if size < 16 {
				return h, fmt.Errorf(`chunk "fmt " has %d bytes, and needs 16`, size)
			}
			format, h.channels = int(le.Uint16(body)), int(le.Uint16(body[2:]))
			h.rate, h.bits = int(le.Uint32(body[4:])), int(le.Uint16(body[14:]))
			if format == extensible && size >= 26 {
				format = int(le.Uint16(body[24:]))
			}
			if err := h.known(format); err != nil {
				return h, err
			}
		}
		at += 8 + size + size%2
	}
	return h, errors.New(`there is no chunk "data" with samples`)
}

func (h *header) known(format int) error {
	h.float = format == ieeeFloat
	switch {
	case h.channels < 1 || h.rate < 1:
		return fmt.Errorf("%d channels at %d samples a second: both must be at least 1", h.channels, h.rate)
	case format == pcm && (h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32), h.float && (h.bits == 32 ||
		h.bits == 64):
		return nil
	case format == pcm || h.float:
		return fmt.Errorf(
			"samples of %d bits are not supported: integers of 8, 16, 24 and 32 and floats of 32 and 64 are", h.bits)
	}
	return fmt.Errorf("sound in WAV format %d is compressed or unknown: save it as PCM (1) or IEEE float (3)", format)
}

// floats spreads floating-point samples over the channels. What is not finite becomes silence.
func (h *header) floats(w *Wave) {
	size := h.bits / 8
	for i := 0; i+size <= len(h.data); i += size {
		v := float64(0)
		if size == 4 {
			v = float64(math.Float32frombits(binary.LittleEndian.Uint32(h.data[i:])))
		} else {
			v = math.Float64frombits(binary.LittleEndian.Uint64(h.data[i:]))
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = 0
		}
		c := i / size % h.channels
		w.Channels[c] = append(w.Channels[c], float32(v))
	}
}
