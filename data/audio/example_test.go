package audio_test

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/data/audio"
)

// A second of the note A at 44.1 kHz, as ImageBind hears it; audio.Read reads it from a file.
func Example() {
	note := make([]float32, 44100)
	for i := range note {
		note[i] = float32(math.Sin(2 * math.Pi * 440 * float64(i) / 44100))
	}
	x, err := audio.ImageBind().Inputs(audio.Wave{Rate: 44100, Channels: [][]float32{note}})
	if err != nil {
		panic(err)
	}
	fmt.Println(x.Shape(), "clips, 1, mel bins, frames")
	// Output: [3 1 128 204] clips, 1, mel bins, frames
}
