package study

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// Features that say in one place of a cell's patches what the cell holds are read without a fault, wherever the cell;
// features that say nothing leave the most frequent kind.
func TestLinearProbe(t *testing.T) {
	w, err := shapes.New(shapes.Default(3))
	require.NoError(t, err)
	known, test := newPool(w, 120), sorted(w, drawScenes(w, shapes.Test, 60, nil))
	const side, D = 6, 8
	fill := func(p *Pool, telling bool) {
		p.features = tensor.New(len(p.Scenes), side*side, D)
		r := w.Rand("noise", len(p.Scenes))
		for i := range p.features.Data() {
			p.features.Data()[i] = float32(r.NormFloat64()) * 0.05
		}
		for i, s := range p.Scenes {
			for _, o := range s.Objects {
				if telling { // the colour in the patch at the top right of the cell, the shape in the one at its bottom left
					at := func(dy, dx int) []float32 { return p.feature(i)[((2*o.Cell.Row+dy)*side+2*o.Cell.Col+dx)*D:][:D] }
					at(0, 1)[o.Color]++
					at(1, 0)[o.Shape]++
				}
			}
		}
	}
	for _, telling := range []bool{true, false} {
		fill(known, telling)
		fill(test, telling)
		for _, of := range traits {
			x, kinds := of.cells(test)
			require.Equal(t, []int{len(kinds), 4 * D}, x.Shape())
			if of.name == "occupied" {
				require.Len(t, kinds, 9*len(test.Scenes))
			}
			l, err := of.fit(t.Context(), known, w.Rand("probe", 0))
			require.NoError(t, err)
			got := of.score(l, test)
			if telling {
				require.Equal(t, 1.0, got, of.name)
			} else if of.name != "occupied" {
				require.Less(t, got, 0.4, of.name)
			}
		}
	}
}
