package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// Where is it worth something to be told the shape? Under much noise nothing is seen of it. Under little noise it can
// be told from the noisy pixels alone: this is the posterior of the right shape, with colour and cell known.
func TestWhereShapesShow(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, _, err := newPipeline(w, tiny())
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(5, 5))
	seen := map[int32]float64{}
	const n = 40
	for i := range n {
		scene := w.Scene(shapes.Train, i, shapes.Options{MaxObjects: 1})
		right := scene.Objects[0]
		var others []*tensor.Tensor // of each shape, size and place in the cell
		var shape []shapes.Shape
		for k := range 5 * 2 * 25 {
			o, s := right, scene
			o.Shape, o.Size, o.DX, o.DY = shapes.Shape(k/50), shapes.Size(k/25%2), k%5-2, k/5%5-2
			s.Objects = []shapes.Object{o}
			others, shape = append(others, plain(s)), append(shape, o.Shape)
		}
		z := plain(scene)
		noise := tensor.Randn(r, 1, z.Shape()...)
		for _, at := range []int32{800, 750, 700, 650, 600, 550, 500, 450, 400} {
			bar := p.Schedule.AlphasCumprod()[at]
			x := p.Schedule.AddNoise(z, noise, []int32{at}).Data()
			like, most := make([]float64, len(others)), math.Inf(-1)
			for k, y := range others {
				for j, v := range y.Data() {
					d := float64(x[j]) - math.Sqrt(bar)*float64(v)
					like[k] -= d * d / (2 * (1 - bar))
				}
				most = max(most, like[k])
			}
			mine, sum := 0.0, 0.0
			for k, l := range like {
				l = math.Exp(l - most)
				if sum += l; shape[k] == right.Shape {
					mine += l
				}
			}
			seen[at] += mine / sum / n
		}
	}
	t.Logf("probability of the right shape given the noisy pixels: %.3v", seen)
	require.Less(t, seen[750], 0.35)
	require.Greater(t, seen[400], 0.9)
}
