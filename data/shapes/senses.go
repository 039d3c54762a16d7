package shapes

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/misuse"
)

// A scene can be seen, heard and measured: what follows are its other senses, for models that bind several. All of them
// are functions of the scene.

// Coverage is how much of each pixel of the picture object i covers, 0 to 64: [side·side], row by row.
func (s Scene) Coverage(i int) []uint8 {
	if i < 0 || i >= len(s.Objects) {
		panic(misuse.Errorf("shapes", "no object %d in a scene of %d", i, len(s.Objects)))
	}
	w, o := s.world, s.Objects[i]
	side, sprite := w.Side(), w.sprites[2*int(o.Shape)+int(o.Size)]
	out := make([]uint8, side*side)
	x0, y0 := o.Cell.Col*w.Cell+o.DX, o.Cell.Row*w.Cell+o.DY
	for y := max(0, -y0); y < min(w.Cell, side-y0); y++ {
		for x := max(0, -x0); x < min(w.Cell, side-x0); x++ {
			out[(y0+y)*side+x0+x] = sprite[y*w.Cell+x]
		}
	}
	return out
}

// Depth is how near everything is, 0 to 1: a floor that comes nearer from 0 at the top to 0.35 at the bottom, small
// objects at 0.7 and large ones at 0.9, with noise of deviation 0.02. Colours it does not show. [side·side], row by
// row.
func (s Scene) Depth() []float32 {
	side := s.world.Side()
	out := make([]float32, side*side)
	for i := range out {
		out[i] = 0.35 * float32(i/side) / float32(side-1)
	}
	for i, o := range s.Objects {
		near := float32(0.7)
		if o.Size == Large {
			near = 0.9
		}
		for j, c := range s.Coverage(i) {
			out[j] += (near - out[j]) * float32(c) / (samples * samples)
		}
	}
	r := rand.New(rand.NewPCG(s.grain, 1))
	for i := range out {
		out[i] += 0.02 * float32(r.NormFloat64())
	}
	return out
}

// SoundRate is that of [Scene.Sound], in samples a second.
const SoundRate = 16000

// partials are the amplitudes of a shape's tone at multiples of its pitch.
var partials = [5][6]float64{{1, 0, 0, 0, 0, 0}, {1, 0, 0.7, 0, 0.5, 0}, {1, 0.8, 0.6, 0.45, 0.3, 0.2}, {0.4, 1, 0,
	0.8, 0, 0.6}, {0.3, 0, 0, 1, 0.9, 0.8}}

// Sound is half a second of the scene, full scale being −1 to 1: a line sweeps from left to right, and each object that
// it reaches sounds for 0.13 s. Its colour is the pitch, its shape the timbre, its row a glide up, level or down, its
// size the loudness; there is noise of deviation 0.01.
func (s Scene) Sound() []float32 {
	const seconds, length, attack, decay = 0.5, 0.13, 0.010, 0.090
	x := make([]float64, int(seconds*SoundRate))
	for _, o := range s.Objects {
		start := 0.03 + 0.15*float64(o.Cell.Col) + 0.004*float64(o.DX)
		pitch := 220 * math.Pow(2, 5*float64(o.Color)/12)
		glide := 0.12 * (1 - float64(o.Cell.Row))
		loud := 0.25
		if o.Size == Small {
			loud /= 2
		}
		for i := range int(length * SoundRate) {
			at := int(start*SoundRate) + i
			if at < 0 || at >= len(x) {
				continue
			}
			t := float64(i) / SoundRate
			phase := 2 * math.Pi * pitch * (t + glide*t*t/(2*length)) // the pitch changes by glide over the tone
			envelope := min(t/attack, 1) * math.Exp(-max(t-attack, 0)/decay)
			for k, a := range partials[o.Shape] {
				x[at] += loud * envelope * a * math.Sin(float64(k+1)*phase)
			}
		}
	}
	r := rand.New(rand.NewPCG(s.grain, 2))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v + 0.01*r.NormFloat64())
	}
	return out
}
