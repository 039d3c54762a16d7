package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
)

// described is how many of the objects that were asked for a vision-language model names when it sees what was drawn.
type described struct {
	objects, color, shape, place, all int
}

func (d described) String() string {
	n := float64(max(d.objects, 1)) / 100
	return fmt.Sprintf("described: colour %.0f %%, shape %.0f %%, place %.0f %%, all three %.0f %%", float64(d.color)/n,
		float64(d.shape)/n, float64(d.place)/n, float64(d.all)/n)
}

// roundTrip shows images to a model of the quickstart, and compares its descriptions with the scenes that were asked
// for. Those are of two by two cells, and become the top left of the quickstart's three by three.
func roundTrip(ctx context.Context, a *connector.Assistant, scenes []shapes.Scene, images []image.Image) (d described,
	err error) {
	world, err := shapes.New(shapes.Default(0))
	if err != nil {
		return d, err
	}
	for i, s := range scenes {
		question := []chat.Turn{{From: chat.Human, Value: chat.ImageToken + "\n" + shapes.BriefPrompts()[0]}}
		text, err := a.Reply(ctx, question, []*imaging.RGB{enlarged(images[i], world.Side())}, nil)
		if err != nil {
			return d, err
		}
		d.count(s, world, eval.Mentions(text))
	}
	return d, nil
}

// count compares the objects of a scene with those that a text mentions. One is judged by the mention of its colour.
func (d *described) count(s shapes.Scene, w *shapes.World, said []eval.Mention) {
	for _, o := range s.Objects {
		d.objects++
		i := slices.IndexFunc(said, func(m eval.Mention) bool { return m.Pair.Color == o.Color })
		if i < 0 {
			continue
		}
		d.color++
		shape, place := said[i].Pair.Shape == o.Shape, said[i].Place == w.Place(o.Cell)
		if shape {
			d.shape++
		}
		if place {
			d.place++
		}
		if shape && place {
			d.all++
		}
	}
}

// enlarged is an image at the top left of a square one, whose rest has the image's median colour: its background.
func enlarged(m image.Image, side int) *imaging.RGB {
	var planes [3][]uint8
	b := m.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
			for k, v := range [3]uint8{c.R, c.G, c.B} {
				planes[k] = append(planes[k], v)
			}
		}
	}
	out := imaging.New(side, side)
	for k, plane := range planes {
		sorted := slices.Clone(plane)
		slices.Sort(sorted)
		for i := range side * side {
			out.Pix[3*i+k] = sorted[len(sorted)/2]
		}
		for i, v := range plane {
			out.Pix[3*(i/b.Dx()*side+i%b.Dx())+k] = v
		}
	}
	return out
}
