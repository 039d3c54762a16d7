package audio

import (
	"bytes"
	"fmt"

	goaudio "github.com/go-audio/audio"
	"github.com/go-audio/wav"
)

// integers decodes PCM samples. The headers have been checked before, so that sizes in them are no larger than the
// file; should the decoder still panic on a damaged one, that is an error.
func integers(raw []byte, h header, w *Wave) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the samples cannot be decoded: %v", p)
		}
	}()
	d := wav.NewDecoder(bytes.NewReader(raw))
	left := len(h.data) / (h.bits / 8)
	scale, offset := 1/float32(int64(1)<<(h.bits-1)), 0
	if h.bits == 8 { // unsigned
		offset = 128
	}
	for i := 0; left > 0; {
		buf := &goaudio.IntBuffer{Data: make([]int, min(left, 1<<16))}
		n, err := d.PCMBuffer(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%d samples are missing at the end", left)
		}
		for _, v := range buf.Data[:n] {
			c := i % h.channels
			w.Channels[c] = append(w.Channels[c], float32(v-offset)*scale)
			i++
		}
		left -= n
	}
	return nil
}
