package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// score is what the world's detector finds of what was asked for.
type score struct {
	objects, color, shape int
	iou                   float64
}

func (s score) String() string {
	n := float64(max(s.objects, 1))
	return fmt.Sprintf("%d objects: colour %.0f %%, shape %.0f %%, box IoU %.1f %%", s.objects, 100*float64(s.color)/n,
		100*float64(s.shape)/n, 100*s.iou/n)
}

// count looks in an image for the objects of the scene that it was to show. Their boxes are those that the detector
// finds in the scene's own image.
func (s *score) count(scene shapes.Scene, img *image.RGBA) {
	for _, o := range scene.Objects {
		s.objects++
		d, ok := eval.Find(scene.World(), img, o.Color)
		want, there := eval.Find(scene.World(), scene.Image(), o.Color)
		if !ok || !there {
			continue
		}
		if s.color++; d.Shape == o.Shape {
			s.shape++
		}
		s.iou += eval.IoU(d.Box, want.Box)
	}
}

// report draws unseen scenes without boxes and, if boxes is set, with them. It prints what is found of them, and how a
// vision-language model describes them if there is one, and writes the images: the scenes, and below them each way of
// drawing them.
func report(ctx context.Context, p *gligen.Pipeline, w *shapes.World, r recipe, path string, boxes bool,
	out io.Writer) error {
	scenes := unseen(w, shapes.Test, r.tests, r.objects)
	var real score
	rows := [][]image.Image{nil}
	for _, s := range scenes {
		real.count(s, s.Image())
		rows[0] = append(rows[0], s.Image())
	}
	say := func(name string, found score, row []image.Image) error {
		fmt.Fprintf(out, "%-20s %v\n", name, found)
		if r.reader == nil {
			return nil
		}
		told, err := roundTrip(ctx, r.reader, scenes, row)
		if err == nil {
			fmt.Fprintf(out, "%-20s %v\n", "", told)
		}
		return err
	}
	if err := say("the scenes", real, rows[0]); err != nil {
		return err
	}
	x := p.VAE.Decode(latents(nil, p, scenes)).Affine(0.5, 0.5).ReLU()
	x = x.MaskedFill(tensor.Full(1).Less(x), 1)
	var kept score
	var row []image.Image
	for i, s := range scenes {
		row = append(row, gligen.Image(x, i))
		kept.count(s, row[i].(*image.RGBA))
	}
	if err := say("the scenes, decoded", kept, row); err != nil {
		return err
	}
	rows = append(rows, row)
	for _, way := range []struct {
		name          string
		places, boxes bool
		tau           float64
	}{{"prompt", false, false, 0}, {"prompt with places", true, false, 0}, {"boxes, tau 0.3", false, true, 0.3},
		{"boxes, tau 1", false, true, 1}} {
		if way.boxes && !boxes {
			continue
		}
		got, row, err := drawn(ctx, p, scenes, r, way.places, way.boxes, way.tau)
		if err != nil {
			return err
		}
		if err := say(way.name, got, row); err != nil {
			return err
		}
		for i, s := range scenes {
			if way.boxes {
				outline(row[i].(*image.RGBA), s)
			}
		}
		rows = append(rows, row)
	}
	if boxes {
		right, wrong := heeded(p, scenes, r)
		fmt.Fprintf(out, "loss with the boxes %.4f, with those of other images %.4f\n", right, wrong)
	}
	for i, row := range rows {
		rows[i] = row[:min(len(row), 12)]
	}
	return eval.WriteSheet(path, 4, rows)
}

// watch draws unseen scenes by their prompts with places, or with boxes, and measures what is there, in %. With boxes
// it gives the losses of [heeded] too, and how far the widest gate has opened.
func watch(p *gligen.Pipeline, w *shapes.World, r recipe,
	boxes bool) func(context.Context) (map[string]float64, error) {
	scenes := unseen(w, shapes.Validation, min(r.tests, 16), r.objects)
	return func(ctx context.Context) (map[string]float64, error) {
		got, _, err := drawn(ctx, p, scenes, r, !boxes, boxes, 1)
		if err != nil {
			return nil, err
		}
		n := float64(max(got.objects, 1)) / 100
		scores := map[string]float64{"color": float64(got.color) / n, "shape": float64(got.shape) / n,
			"iou": got.iou / n}
		if boxes {
			right, wrong := heeded(p, scenes, r)
			scores["loss"], scores["loss_wrong_boxes"] = float64(right), float64(wrong)
			for name, x := range nn.Params(p) {
				if strings.Contains(name, ".alpha_") {
					scores["gate"] = max(scores["gate"], math.Abs(math.Tanh(float64(x.Data()[0]))))
				}
			}
		}
		return scores, nil
	}
}

// unseen are scenes with one object, or with one and two in turn. The detector tells objects by colour, so two have two
// colours.
func unseen(w *shapes.World, split shapes.Split, n, objects int) (scenes []shapes.Scene) {
	for i := 0; len(scenes) < n; i++ {
		k := 1 + i%objects
		s := w.Scene(split, i, shapes.Options{MinObjects: k, MaxObjects: k})
		if len(s.Objects) == 1 || s.Objects[0].Color != s.Objects[1].Color {
			scenes = append(scenes, s)
		}
	}
	return scenes
}

// drawn asks for scenes, and says what is found of them.
func drawn(ctx context.Context, p *gligen.Pipeline, scenes []shapes.Scene, r recipe, places, boxes bool,
	tau float64) (got score, images []image.Image, err error) {
	random := rand.New(rand.NewPCG(r.seed, 7))
	var rs []gligen.Request
	for _, s := range scenes {
		rs = append(rs, request(random, s, places, boxes))
	}
	x, err := p.Draw(ctx, rs, gligen.Options{Steps: r.steps, Guidance: 2, Tau: tau, Seed: r.seed})
	if err != nil {
		return got, nil, err
	}
	for i, s := range scenes {
		img := gligen.Image(x, i)
		got.count(s, img)
		images = append(images, img)
	}
	return got, images, nil
}

// outline draws the boxes that were asked for.
func outline(img *image.RGBA, s shapes.Scene) {
	for _, o := range s.Objects {
		b := s.Box(o) // x0, y0, x1, y1, the last two just outside
		for x := b[0]; x < b[2]; x++ {
			img.Set(x, b[1], color.Black)
			img.Set(x, b[3]-1, color.Black)
		}
		for y := b[1]; y < b[3]; y++ {
			img.Set(b[0], y, color.Black)
			img.Set(b[2]-1, y, color.Black)
		}
	}
}

// heeded is the loss without prompts on scenes with their own boxes, and with those of the scene before.
func heeded(p *gligen.Pipeline, scenes []shapes.Scene, r recipe) (right, wrong float32) {
	random := rand.New(rand.NewPCG(r.seed, 8))
	var rs []gligen.Request
	for _, s := range scenes {
		rs = append(rs, gligen.Request{Objects: request(random, s, false, true).Objects})
	}
	b := p.Batch(random, latents(nil, p, scenes).NoGrad(), rs, true, gligen.Drop{})
	tensor.Scope(func(s *tensor.Arena) { right = p.Loss(b.In(s)).Item() })
	b.Requests = append(slices.Clone(rs[1:]), rs[0])
	tensor.Scope(func(s *tensor.Arena) { wrong = p.Loss(b.In(s)).Item() })
	return right, wrong
}
