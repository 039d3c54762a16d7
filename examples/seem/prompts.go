package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// scene is a picture and the masks of its objects.
type scene struct {
	shapes.Scene
	objects []seem.Mask
}

func (s *student) scene(split shapes.Split, i, least int) scene {
	return s.masked(s.world.Scene(split, i, shapes.Options{MinObjects: least, MaxObjects: 4, Sign: shapes.NoSign}))
}

// masked is a scene with the masks of its objects.
func (s *student) masked(sc shapes.Scene) scene {
	x := scene{Scene: sc}
	for k := range x.Objects {
		m := seem.NewMask(s.world.Side(), s.world.Side())
		for j, c := range x.Coverage(k) {
			m.On[j] = c > 32
		}
		x.objects = append(x.objects, m)
	}
	return x
}

// pixels are the pictures, 0 … 255: [B, 3, S, S].
func pixels(scenes []scene) *tensor.Tensor {
	return study.Pixels(scenes, func(v float32) float32 { return v })
}

// phrase tells object k apart from the others: by place, by shape if it is alone in that, or by colour and shape.
func (s *student) phrase(sc scene, k int, kind string) string {
	o := sc.Objects[k]
	alone := true
	for i, x := range sc.Objects {
		alone = alone && (i == k || x.Shape != o.Shape)
	}
	switch {
	case kind == "place":
		return "the object at the " + s.world.Place(o.Cell)
	case kind == "shape" && alone:
		return fmt.Sprintf("the %v", o.Shape)
	}
	return fmt.Sprintf("the %v %v", o.Color, o.Shape)
}

// point is a random pixel of a mask, clicked at.
func point(r *rand.Rand, m seem.Mask) []seem.Pixel {
	on := m.Pixels()
	return seem.Click(on[r.IntN(len(on))], m.H, m.W)
}

// stroke is a line between two pixels of a mask, as far as it stays inside.
func stroke(r *rand.Rand, m seem.Mask) (list []seem.Pixel) {
	on := m.Pixels()
	for _, px := range seem.Scribble([]seem.Pixel{on[r.IntN(len(on))], on[r.IntN(len(on))]}, m.H, m.W) {
		if m.At(px) {
			list = append(list, px)
		}
	}
	return list
}

// box is the rectangle around a mask, and n random pixels of it.
func box(r *rand.Rand, m seem.Mask, n int) (whole seem.Mask, list []seem.Pixel) {
	on := m.Pixels()
	top, left, bottom, right := on[0].Y, on[0].X, on[0].Y, on[0].X
	for _, px := range on {
		top, left, bottom, right = min(top, px.Y), min(left, px.X), max(bottom, px.Y), max(right, px.X)
	}
	whole = seem.NewMask(m.H, m.W)
	for y := top; y <= bottom; y++ {
		for x := left; x <= right; x++ {
			whole.On[y*m.W+x] = true
		}
	}
	for range n {
		list = append(list, seem.Pixel{Y: top + r.IntN(bottom-top+1), X: left + r.IntN(right-left+1)})
	}
	return whole, list
}

// union is all of some masks.
func union(masks ...seem.Mask) seem.Mask {
	u := seem.NewMask(masks[0].H, masks[0].W)
	for _, m := range masks {
		for i, on := range m.On {
			u.On[i] = u.On[i] || on
		}
	}
	return u
}

// batches makes batch n.
func (s *student) batches(p preset) train.Batches[batch] {
	return func(_ context.Context, n int) (batch, error) {
		r := s.world.Rand("seem", n)
		b := batch{rounds: r.IntN(3), draw: uint64(n)}
		referred := n%5 == 4 // the strokes are drawn in other pictures, on objects of the same kind
		var others []scene
		if referred {
			b.rounds = 0
		}
		var scenes []scene
		var phrases []string
		for range p.batch {
			sc := s.scene(shapes.Train, r.IntN(1<<30), 1)
			var labels []int
			for _, o := range sc.Objects {
				labels = append(labels, class(o.Pair()))
			}
			k := r.IntN(len(sc.Objects))
			phrases = append(phrases, s.phrase(sc, k, []string{"", "", "shape", "place", "place"}[r.IntN(5)]))
			scenes, b.objects, b.labels = append(scenes, sc), append(b.objects, sc.objects), append(b.labels, labels)
			b.phrase = append(b.phrase, sc.objects[k])

			k = r.IntN(len(sc.Objects))
			target := sc.objects[k]
			on := target // what the strokes are drawn on
			if referred {
				other, i := s.alike(r, sc.Objects[k].Pair())
				others, on = append(others, other), other.objects[i]
			}
			var x seem.Strokes
			switch u := r.Float64(); {
			case referred && u < 0.3:
				x.Positive = on.Pixels()
			case !referred && len(sc.Objects) > 1 && r.Float64() < sets:
				x.Positive = point(r, on)
				set := []seem.Mask{target}
				for i := range sc.objects {
					if i != k && len(set) < 2+r.IntN(2) {
						set = append(set, sc.objects[i])
					}
				}
				target = union(set...)
			case u < 0.5:
				x.Positive = point(r, on)
			case u < 0.6:
				for range 2 + r.IntN(5) {
					x.Positive = append(x.Positive, point(r, on)...)
				}
			case u < 0.8:
				x.Positive = stroke(r, on)
			default:
				_, x.Positive = box(r, on, 16)
			}
			b.strokes, b.meant = append(b.strokes, x), append(b.meant, target)
		}
		b.pixels, b.ids = pixels(scenes), s.texts(phrases)
		if referred {
			b.others = pixels(others)
		}
		return b, nil
	}
}

// alike is a random training scene of one or two objects, of which number i is of the pair.
func (s *student) alike(r *rand.Rand, pair shapes.Pair) (sc scene, i int) {
	for {
		x := s.world.Scene(shapes.Train, r.IntN(1<<30), shapes.Options{MinObjects: 1, MaxObjects: 2,
			Sign: shapes.NoSign})
		for i, o := range x.Objects {
			if o.Pair() == pair {
				return s.masked(x), i
			}
		}
	}
}

// class is the number of a pair.
func class(p shapes.Pair) int {
	for i, q := range shapes.AllPairs() {
		if p == q {
			return i
		}
	}
	return -1
}
