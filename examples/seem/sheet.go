package main

import (
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
)

// sheet writes unseen scenes and masks, a row each: the scene; what is meant by the next five; the masks of its colour
// and shape in words, of its place in words, of a click, of a stroke and of points in its box; the set of objects that
// the next three mean; its masks after one, two and three clicks; and all objects, found without a prompt. Pixels of
// strokes are white where they are positive and black where negative.
func (s *student) sheet(path string) error {
	var rows [][]image.Image
	for i := range 6 {
		r := rand.New(rand.NewPCG(s.seed, uint64(i)))
		sc := s.scene(shapes.Test, 1<<20+i, 2)
		k, S := r.IntN(len(sc.Objects)), s.world.Side()
		target, img := sc.objects[k], sc.Image()
		v := s.Model.View(s.Model.Normalize(pixels([]scene{sc})).NoGrad())
		row := []image.Image{img, painted(img, seem.Strokes{}, target),
			painted(img, seem.Strokes{}, s.text(v, s.phrase(sc, k, ""))),
			painted(img, seem.Strokes{}, s.text(v, s.phrase(sc, k, "place")))}
		_, inBox := box(r, target, 16)
		for _, pixels := range [][]seem.Pixel{seem.Click(middle(target), S, S), stroke(r, target), inBox} {
			strokes := seem.Strokes{Positive: pixels}
			got, _ := s.answer(v, v, s.prompt([]seem.Strokes{strokes}))
			row = append(row, painted(img, strokes, got[0]))
		}
		set := union(sc.objects[:min(2+i%2, len(sc.objects))]...)
		row = append(row, painted(img, seem.Strokes{}, set))
		rounds := s.interact(v, set, sc.objects[0], 3, true)
		for n := range 3 {
			last := rounds[min(n, len(rounds)-1)] // fewer were enough
			row = append(row, painted(img, last.strokes, last.mask))
		}
		var masks []seem.Mask
		for _, found := range s.all(v) {
			masks = append(masks, found.Mask)
		}
		rows = append(rows, append(row, painted(img, seem.Strokes{}, masks...)))
	}
	return eval.WriteSheet(path, 2, rows)
}

// painted darkens what no mask covers, and of several masks gives each a tint of its own.
func painted(img *image.RGBA, s seem.Strokes, masks ...seem.Mask) image.Image {
	tints := []color.RGBA{{255, 60, 60, 255}, {60, 200, 60, 255}, {80, 80, 255, 255}, {240, 200, 0, 255},
		{200, 0, 220, 255}, {0, 200, 220, 255}}
	m := image.NewRGBA(img.Rect)
	mix := func(a, b uint8) uint8 { return uint8((int(a) + int(b)) / 2) }
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			c := img.RGBAAt(x, y)
			shown := color.RGBA{c.R / 4, c.G / 4, c.B / 4, 255}
			for i, mask := range masks {
				if t := tints[i%len(tints)]; mask.At(seem.Pixel{Y: y, X: x}) {
					if shown = c; len(masks) > 1 {
						shown = color.RGBA{mix(c.R, t.R), mix(c.G, t.G), mix(c.B, t.B), 255}
					}
				}
			}
			m.SetRGBA(x, y, shown)
		}
	}
	for _, px := range s.Positive {
		m.Set(px.X, px.Y, color.White)
	}
	for _, px := range s.Negative {
		m.Set(px.X, px.Y, color.Black)
	}
	return m
}
