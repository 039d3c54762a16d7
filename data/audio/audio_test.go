package audio

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// riff is a WAV file with the given format chunk and samples.
func riff(format, channels, rate, bits int, data []byte, before ...string) []byte {
	var b bytes.Buffer
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.WriteString("RIFF")
	le(uint32(36 + len(data)))
	b.WriteString("WAVE")
	for _, s := range before {
		b.WriteString("note")
		le(uint32(len(s)))
		b.WriteString(s)
		b.Write(make([]byte, len(s)%2))
	}
	b.WriteString("fmt ")
	le(uint32(16))
	le(uint16(format))
	le(uint16(channels))
	le(uint32(rate))
	le(uint32(rate * channels * bits / 8))
	le(uint16(channels * bits / 8))
	le(uint16(bits))
	b.WriteString("data")
	le(uint32(len(data)))
	b.Write(data)
	return b.Bytes()
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		file []byte
		want [][]float32
	}{
		"16 bits, stereo, a chunk before": {riff(1, 2, 8000, 16, []byte{0, 0x80, 0, 0x40, 0, 0, 0xff, 0x7f}, "abc"),
			[][]float32{{-1, 0}, {0.5, 32767.0 / 32768}}},
		"8 bits": {riff(1, 1, 8000, 8, []byte{0, 128, 192}), [][]float32{{-1, 0, 0.5}}},
		"24 bits": {riff(1, 1, 8000, 24, []byte{0, 0, 0x80, 0, 0, 0x40, 1, 0, 0}),
			[][]float32{{-1, 0.5, 1.0 / (1 << 23)}}},
		"32 bits": {riff(1, 1, 8000, 32, []byte{0, 0, 0, 0x80, 0, 0, 0, 0x40}),
			[][]float32{{-1, 0.5}}},
		"floats": {riff(3, 1, 8000, 32, []byte{0, 0, 0, 0x3f, 0, 0, 0x80, 0xff}),
			[][]float32{{0.5, 0}}},
		"half a sample at the end": {riff(1, 1, 8000, 16, []byte{0, 0x40, 7}), [][]float32{{0.5}}},
	} {
		w, err := Decode(bytes.NewReader(c.file))
		require.NoError(t, err, name)
		require.Equal(t, Wave{Rate: 8000, Channels: c.want}, w, name)
	}
}

func TestBadFiles(t *testing.T) {
	good := riff(1, 1, 8000, 16, []byte{1, 2})
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[16:], math.MaxUint32)
	for want, file := range map[string][]byte{
		"is no WAV file":                    []byte("OggS"),
		"there are no samples":              riff(1, 1, 8000, 16, nil),
		"samples of 12 bits":                riff(1, 1, 8000, 12, []byte{1, 2}),
		"WAV format 85 is compressed":       riff(85, 1, 8000, 16, []byte{1, 2}),
		"0 channels at 8000":                riff(1, 0, 8000, 16, []byte{1, 2}),
		`chunk "fmt " has 4294967295 bytes`: huge,
		`there is no chunk "data"`:          good[:36],
		"1 channels at 0 samples a second":  riff(1, 1, 0, 16, []byte{1, 2}),
		`before the chunk "fmt "`:           append(bytes.Clone(good[:12]), good[36:]...),
	} {
		_, err := Decode(bytes.NewReader(file))
		require.ErrorContains(t, err, want)
	}
	_, err := Read(t.TempDir() + "/none.wav")
	require.ErrorContains(t, err, "none.wav")
}

// Whatever bytes are changed, there is a sound or an error, and no panic.
func TestDamaged(t *testing.T) {
	good := riff(1, 2, 8000, 24, bytes.Repeat([]byte{1, 2, 3}, 8), "x")
	rapid.Check(t, func(t *rapid.T) {
		file := bytes.Clone(good)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			file[rapid.IntRange(0, len(file)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		file = file[:rapid.IntRange(0, len(file)).Draw(t, "length")]
		if w, err := Decode(bytes.NewReader(file)); err == nil && w.Len() == 0 {
			t.Fatal("no samples and no error")
		}
	})
}

// tone is a sine of a frequency in Hz.
func tone(rate, n int, hz float64) Wave {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(2 * math.Pi * hz * float64(i) / float64(rate)))
	}
	return Wave{Rate: rate, Channels: [][]float32{x}}
}

// A tone below both Nyquist frequencies is the same tone at the other rate; one above the new one is gone.
func TestResample(t *testing.T) {
	for _, rates := range [][2]int{{8000, 16000}, {44100, 16000}, {48000, 16000}, {22050, 16000}, {16000, 11025}} {
		got, err := tone(rates[0], rates[0]/2, 440).Resample(rates[1])
		require.NoError(t, err)
		want := tone(rates[1], rates[1]/2, 440).Channels[0]
		require.InDelta(t, len(want), got.Len(), 1)
		for i := 200; i < len(want)-200; i++ {
			require.InDelta(t, want[i], got.Channels[0][i], 5e-3, "%v at %d", rates, i)
		}
	}
	gone, err := tone(48000, 4800, 15000).Resample(16000)
	require.NoError(t, err)
	for _, v := range gone.Channels[0][100:1500] {
		require.InDelta(t, 0, v, 0.02)
	}
	_, err = tone(8000, 0, 1).Resample(16000)
	require.ErrorContains(t, err, "there are no samples")
	_, err = tone(999983, 10, 1).Resample(999979)
	require.ErrorContains(t, err, "no common measure")
	for rate, want := range map[int]string{1: "would become more than", math.MaxUint32: "no common measure"} {
		_, err = Wave{rate, [][]float32{make([]float32, 20000)}}.Resample(16000)
		require.ErrorContains(t, err, want)
	}
	half, err := tone(1000003, 1000, 440).Resample(16000) // rates without a common measure, few samples
	require.NoError(t, err)
	require.Equal(t, 16, half.Len())
}

// torchaudio computed these energies of the formula below: frame, bin, log energy.
func TestLogMel(t *testing.T) {
	x := make([]float32, 8000)
	for i := range x {
		s := float64(i) / 16000
		v := 0.5*math.Sin(2*math.Pi*(220*s+300*s*s)) + 0.3*math.Sin(2*math.Pi*1310*s+1) + 0.05
		x[i] = float32(math.Round(v*32767) / 32768)
	}
	f := FilterBank{Rate: 16000, Bins: 32, Frame: 25, Shift: 10, Low: 20}
	got, frames, err := f.LogMel(x)
	require.NoError(t, err)
	require.Equal(t, 48, frames)
	for _, c := range reference {
		require.InDelta(t, c.want, got[c.frame*32+c.bin], 2e-3, "frame %d, bin %d", c.frame, c.bin)
	}
	_, _, err = f.LogMel(x[:399])
	require.ErrorContains(t, err, "399 samples are fewer than the 400 of a frame of 25 ms")
	f.Low = 9000
	_, _, err = f.LogMel(x)
	require.ErrorContains(t, err, "Low 9000 Hz")
}

// Three clips of a sound of another rate and of two channels; what is beyond the end is 0 before it is normalised.
func TestInputs(t *testing.T) {
	p := ImageBind()
	w := tone(8000, 8000, 440)
	w.Channels = append(w.Channels, make([]float32, 8000))
	x, err := p.Inputs(w) // one second
	require.NoError(t, err)
	require.Equal(t, []int{3, 1, 128, 204}, x.Shape())
	n := 128 * 204
	require.Equal(t, x.Data()[:n], x.Data()[n:2*n], "all clips of a short sound begin at 0")
	require.InDelta(t, 4.268/9.138, x.Data()[203], 1e-6)
	_, err = p.Inputs(Wave{Rate: 8000})
	require.ErrorContains(t, err, "there are no samples")
	_, err = p.Inputs(tone(8000, 100, 1))
	require.ErrorContains(t, err, "fewer than the 400 of a frame")
	_, err = p.Inputs(Wave{Channels: [][]float32{{1}}})
	require.ErrorContains(t, err, "the sample rate is 0")
}
