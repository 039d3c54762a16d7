package seem

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// best is the least sum over all ways to pair min(n, m) rows and columns.
func best(cost [][]float64, row int, used []bool, left int) float64 {
	if left == 0 {
		return 0
	}
	if row == len(cost) {
		return math.Inf(1)
	}
	least := best(cost, row+1, used, left) // the row stays alone
	for j, c := range cost[row] {
		if !used[j] {
			used[j] = true
			least = min(least, c+best(cost, row+1, used, left-1))
			used[j] = false
		}
	}
	return least
}

func TestAssign(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n, m := 1+r.IntN(6), 1+r.IntN(6)
		cost := make([][]float64, n)
		for i := range cost {
			for range m {
				cost[i] = append(cost[i], math.Round(r.NormFloat64()*3)) // ties are common
			}
		}
		rows, cols := Assign(cost)
		require.Len(t, rows, min(n, m))
		require.True(t, slices.IsSorted(rows))
		sum, seen := 0.0, map[int]bool{}
		for k, i := range rows {
			require.False(t, seen[cols[k]])
			seen[cols[k]] = true
			sum += cost[i][cols[k]]
		}
		require.InDelta(t, best(cost, 0, make([]bool, m), min(n, m)), sum, 1e-9, "%v", cost)
	}
	rows, cols := Assign([][]float64{{math.Inf(1), 1}, {math.Inf(1), 2}})
	require.Equal(t, []int{0, 1}, rows)
	require.ElementsMatch(t, []int{0, 1}, cols)
	require.ErrorContains(t, tensor.Catch(func() { Assign([][]float64{{1}, {1, 2}}) }), "row 1 has 2 costs")
	require.ErrorContains(t, tensor.Catch(func() { Assign([][]float64{{math.NaN()}}) }), "is NaN")
	rows, _ = Assign(nil)
	require.Empty(t, rows)
}

func randomMask(r *rand.Rand, h, w int) Mask {
	m := NewMask(h, w)
	for i := range m.On {
		m.On[i] = r.IntN(5) > 0
	}
	return m
}

// Distances are those of a search through all pixels, the ring around the picture included.
func TestDistances(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][2]int{{1, 1}, {1, 7}, {9, 3}, {17, 13}} {
		m := randomMask(r, s[0], s[1])
		for i, d := range squaredDistances(m) {
			want := math.Inf(1)
			for y := -1; y <= m.H; y++ {
				for x := -1; x <= m.W; x++ {
					if !m.At(Pixel{y, x}) {
						want = min(want, float64((y-i/m.W)*(y-i/m.W)+(x-i%m.W)*(x-i%m.W)))
					}
				}
			}
			require.Equal(t, want, d, "%v at %d", s, i)
		}
	}
}

func rectangle(h, w, top, left, bottom, right int) Mask {
	m := NewMask(h, w)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			m.On[y*w+x] = true
		}
	}
	return m
}

// A click goes into the middle of what is missed, then of what is wrong, and stops once the masks overlap.
func TestNextClick(t *testing.T) {
	want := rectangle(20, 30, 5, 10, 14, 19)
	s, ok := NextClick(want, NewMask(20, 30), Strokes{}, 0.9)
	require.True(t, ok)
	require.Equal(t, Strokes{Positive: Click(Pixel{9, 14}, 20, 30)}, s)
	s, ok = NextClick(want, rectangle(20, 30, 5, 10, 14, 30), s, 0.9)
	require.True(t, ok)
	require.Len(t, s.Positive, 9)
	require.Equal(t, Click(Pixel{9, 23}, 20, 30), s.Negative)
	_, ok = NextClick(want, want, s, 0.9)
	require.False(t, ok)
	corner := rectangle(3, 3, 0, 0, 1, 1)
	s, _ = NextClick(corner, NewMask(3, 3), Strokes{}, 0.9)
	require.Equal(t, []Pixel{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, s.Positive)
	_, ok = NextClick(corner, NewMask(3, 3), s, 0.9)
	require.False(t, ok, "everything that is wrong has been clicked at")
}

func TestMetrics(t *testing.T) {
	rounds := [][]float64{{0.5, 0.86}, {0.9}, {0.1, 0.2, 0.3}}
	require.InDelta(t, (2.0+1+20)/3, NumberOfClicks(rounds, 0.85, 20), 1e-12)
	require.InDelta(t, (0.86+0.9+0.2)/3, AfterClicks(rounds, 2), 1e-12)
	require.InDelta(t, 0.5, IoU(rectangle(4, 4, 0, 0, 2, 3), rectangle(4, 4, 0, 0, 1, 3)), 1e-6)
	require.Zero(t, IoU(NewMask(2, 2), NewMask(2, 2)))

	var p Panoptic
	a, b := rectangle(4, 4, 0, 0, 2, 4), rectangle(4, 4, 2, 0, 4, 4)
	p.Add([]Segment{{Class: 0, Mask: a}, {Class: 1, Mask: rectangle(4, 4, 2, 0, 4, 3)}, {Class: 1, Mask: a}},
		[]Segment{{Class: 0, Mask: a}, {Class: 1, Mask: b}})
	pq, sq, rq := p.Quality() // class 0: 1·1; class 1: 3/4 · 1/(1+½)
	require.InDelta(t, (1+0.75*2/3)/2, pq, 1e-6)
	require.InDelta(t, (1+0.75)/2, sq, 1e-6)
	require.InDelta(t, (1+2.0/3)/2, rq, 1e-6)
}

// Two queries of one object make one segment, and a query that is none makes nothing.
func TestSegments(t *testing.T) {
	logits := tensor.From([]float32{9, 0, 0, 6, 0, 0, 0, 0, 9}, 3, 3)
	masks := tensor.New(3, 4, 4)
	for q := range 3 {
		for i := range 16 {
			v := float32(-5)
			if i < 8 {
				v = 5
			}
			masks.Data()[q*16+i] = v
		}
	}
	got := Segments(logits, masks, 4, 4, 0.8, 0.8)
	require.Len(t, got, 1)
	require.Equal(t, 0, got[0].Class)
	require.Equal(t, rectangle(4, 4, 0, 0, 2, 4), got[0].Mask)
}

// The focal loss of a pixel that is right is smaller than its cross-entropy, and cross-entropy is finite at any logit.
func TestCrossEntropy(t *testing.T) {
	z, y := tensor.From([]float32{200, -200, 0, 2}, 1, 4), tensor.From([]float32{1, 1, 0.5, 0}, 1, 4)
	got := crossEntropy(z, y).Data()
	for i, want := range []float64{0, 200, math.Ln2, 2 + math.Log1p(math.Exp(-2))} {
		require.InDelta(t, want, got[i], 1e-4)
	}
	c := NewCriterion(Uniform(rand.New(rand.NewPCG(1, 2))))
	c.Points = 50
	logits, target := tensor.Full(2, 1, 1, 3, 3), []*tensor.Tensor{tensor.Full(1, 1, 6, 6)}
	match := []Match{{Query: []int{0}, Target: []int{0}}}
	bce, dice := c.masks(logits, target, match, 1)
	c.FocalGamma = 2
	focal, _ := c.masks(logits, target, match, 1)
	require.Less(t, dice.Item(), float32(0.3)) // points at the edge are read as if there were zeros outside
	require.Less(t, focal.Item(), 0.25*bce.Item())
}

// Cells has one point in each cell of the grid, for every mask.
func TestCells(t *testing.T) {
	const n, columns, rows = 3, 5, 7
	got := Cells(rand.New(rand.NewPCG(1, 2)), columns)(n, columns*rows)
	require.Len(t, got, 2*n*columns*rows)
	seen := map[[3]int]bool{}
	for i := range n * columns * rows {
		seen[[3]int{i / (columns * rows), int(got[2*i] * columns), int(got[2*i+1] * rows)}] = true
	}
	require.Len(t, seen, n*columns*rows)
}
