package main

import (
	"fmt"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// convCases are 3×3 convolutions of pictures with as many channels in as out: forward, and forward and backward with
// the gradients of input and weights.
func convCases() []Case {
	var list []Case
	for _, s := range [][2]int{{64, 32}, {64, 64}, {128, 32}, {128, 64}, {256, 32}, {256, 64}, {512, 32}, {512, 64}} {
		for _, backward := range []bool{false, true} {
			list = append(list, convCase(1, s[0], s[1], backward))
		}
	}
	return append(list, convCase(16, 128, 16, true), convCase(8, 320, 8, true))
}

func convCase(b, channels, side int, backward bool) Case {
	name, products := "forward", 1
	if backward {
		name, products = "forward+backward", 3
	}
	n, w := b*channels*side*side, channels*channels*9
	return Case{
		Name: fmt.Sprintf("conv/3×3/%s/%d×%d×%d²", name, b, channels, side), Op: "conv",
		Args: size{"b": b, "channels": channels, "side": side, "backward": backward}, Rivals: []string{"torch"},
		Unit: "GFLOP/s", Work: 2e-9 * float64(products) * float64(n) * float64(channels*9), Share: byArithmetic,
		Setup: func() func() {
			d := cpu.New()
			square := func(n int) [3]int { return [3]int{1, n, n} }
			c := backend.Conv{X: random(d, n), W: random(d, w), Y: random(d, n), B: b, C: channels, O: channels,
				Groups: 1,
				In:     square(side), Out: square(side), Kernel: square(3), Stride: square(1), Pad: [3]int{0, 1, 1},
				Dilation: square(1)}
			dx, dw := c, c
			dx.X, dx.Y, dw.W = random(d, n), random(d, n), random(d, w)
			dw.Y = dx.Y
			return func() {
				if d.Conv(&c); backward {
					d.ConvInput(&dx)
					d.ConvWeight(&dw)
				}
			}
		},
	}
}
