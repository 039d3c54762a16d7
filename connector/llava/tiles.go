package llava

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

func shrunk(l imaging.Layout) bool {
	return l.Features != imaging.Size{W: l.Kept.Dx(), H: l.Kept.Dy()}
}

// packing says which of the projected features, and how much of each, make up the tokens of a batch's pictures: token
// i is Σ weight[k][i]·row rows[k][i]. Without shrunk pictures there is one row for each token and no weight.
type packing struct {
	rows    [4][]int32 // of [V·P features, newline]
	weights [4][]float32
	mixed   bool
}

func (p *packing) add(row int) {
	for k := range 4 {
		p.rows[k] = append(p.rows[k], int32(row))
		p.weights[k] = append(p.weights[k], 0)
	}
	p.weights[0][len(p.weights[0])-1] = 1
}

// pack lays out images, whose V views have P features each. Per picture: the base view, then the
// tiles laid together, without padding and perhaps shrunk, a newline after each row. Of LLaVA-OneVision's several
// images in a sample: the base view and a newline. Source: LLaVA's and LLaVA-NeXT's
// prepare_inputs_labels_for_multimodal, spatial_unpad and anyres_max.
func (c Config) pack(images []connector.Media, P, V int) (packing, error) {
	a := c.AnyRes()
	g := a.Side
	var p packing
	if g*g != P {
		return p, fmt.Errorf("%d features per view; tiles need %d×%d", P, g, g)
	}
	view := 0
	for _, m := range images {
		s := m.Size
		if s.W <= 0 || s.H <= 0 {
			return p, fmt.Errorf("a picture of %d×%d pixels", s.W, s.H)
		}
		if m.Several && c.alone() && view < V {
			for i := range P {
				p.add(view*P + i)
			}
			p.add(V * P)
			view++
			continue
		}
		l := a.Layout(s.W, s.H)
		if view+1+l.Cols*l.Rows > V {
			return p, fmt.Errorf("%d views; images %v need more", V, images)
		}
		for i := range P {
			p.add(view*P + i)
		}
		at := func(x, y int) int { // feature of the tiles laid together, counted from what is kept
			x, y = x+l.Kept.Min.X, y+l.Kept.Min.Y
			return (view+1+(y/g)*l.Cols+x/g)*P + (y%g)*g + x%g
		}
		if shrunk(l) {
			p.mixed = true
		}
		for y := range l.Features.H {
			y0, y1, fy := between(y, l.Features.H, l.Kept.Dy())
			for x := range l.Features.W {
				x0, x1, fx := between(x, l.Features.W, l.Kept.Dx())
				for k, n := range [4]int{at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1)} {
					p.rows[k] = append(p.rows[k], int32(n))
				}
				for k, w := range [4]float32{(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy} {
					p.weights[k] = append(p.weights[k], w)
				}
			}
			p.add(V * P)
		}
		view += 1 + l.Cols*l.Rows
	}
	if view != V {
		return p, fmt.Errorf("%d views; images %v have %d", V, images, view)
	}
	return p, nil
}

// between is where point i of to lies among from points, and how far beyond the lower one: PyTorch's bilinear
// interpolation, align_corners false.
func between(i, to, from int) (lower, upper int, beyond float32) {
	if to == from {
		return i, i, 0
	}
	x := max(float32(from)/float32(to)*(float32(i)+0.5)-0.5, 0)
	lower = min(int(math.Floor(float64(x))), from-1)
	return lower, min(lower+1, from-1), x - float32(lower)
}

// apply builds the tokens [N, C] from features [V·P, C] and the newline [C].
func (p *packing) apply(features, newline *tensor.Tensor) *tensor.Tensor {
	table := tensor.Concat(0, features, newline.Reshape(1, -1))
	n := len(p.rows[0])
	if !p.mixed {
		return tensor.Gather(table, tensor.WrapInts(p.rows[0], n))
	}
	var sum *tensor.Tensor
	for k := range 4 {
		part := tensor.Gather(table, tensor.WrapInts(p.rows[k], n)).Mul(tensor.Wrap(p.weights[k], n, 1))
		if sum == nil {
			sum = part
		} else {
			sum = sum.Add(part)
		}
	}
	return sum
}
