package shapes

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Coverage adds up to the object's area and lies in its cell, up to the shift; depth shows sizes and no colours; the
// sound begins when the line reaches the object's column.
func TestSenses(t *testing.T) {
	w, err := New(Default(3))
	require.NoError(t, err)
	s := w.Scene(Train, 5, Options{MinObjects: 1, MaxObjects: 1, Sign: NoSign})
	o := s.Objects[0]
	c := s.Coverage(0)
	area, at := 0.0, (o.Cell.Row*w.Cell+w.Cell/2+o.DY)*w.Side()+o.Cell.Col*w.Cell+w.Cell/2+o.DX // the middle
	for i, v := range c {
		area += float64(v) / 64
		if v > 0 {
			x, y := i%w.Side()-o.DX, i/w.Side()-o.DY
			require.Equal(t, o.Cell, Cell{y / w.Cell, x / w.Cell})
		}
	}
	require.Greater(t, area, 20.0)
	require.Less(t, area, 140.0)
	near := s.Depth()[at]
	other := s
	other.Objects = []Object{o}
	other.Objects[0].Color = (o.Color + 1) % 6
	require.Equal(t, s.Depth(), other.Depth())
	other.Objects[0].Size = 1 - o.Size
	require.InDelta(t, 0.2, math.Abs(float64(other.Depth()[at]-near)), 0.05)

	x := s.Sound()
	require.Len(t, x, SoundRate/2)
	start := int((0.03 + 0.15*float64(o.Cell.Col) + 0.004*float64(o.DX)) * SoundRate)
	loudness := func(from, to int) (sum float64) {
		for _, v := range x[from:to] {
			sum += float64(v) * float64(v) / float64(to-from)
		}
		return math.Sqrt(sum)
	}
	require.Less(t, loudness(0, start), 0.012)
	require.Greater(t, loudness(start+160, start+1000), 0.03)
	require.Equal(t, x, w.Scene(Train, 5, Options{MinObjects: 1, MaxObjects: 1, Sign: NoSign}).Sound())
	require.Panics(t, func() { s.Coverage(1) })
}
