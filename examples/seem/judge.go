package main

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// mean is an average in %.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }

func (m mean) String() string { return fmt.Sprintf("%.1f", 100*m.sum/float64(max(m.n, 1))) }

// middle is the pixel of a mask that is nearest to its mean.
func middle(m seem.Mask) seem.Pixel {
	y, x, on := 0, 0, m.Pixels()
	for _, px := range on {
		y, x = y+px.Y, x+px.X
	}
	y, x = y/len(on), x/len(on)
	best := on[0]
	for _, px := range on {
		if (px.Y-y)*(px.Y-y)+(px.X-x)*(px.X-x) < (best.Y-y)*(best.Y-y)+(best.X-x)*(best.X-x) {
			best = px
		}
	}
	return best
}

// judge prints mean IoUs in % on scenes of two to four objects, of seen pairs and with a held-out one, which is then
// what is asked for.
func (s *student) judge(p preset, out io.Writer) {
	fmt.Fprintf(out, "%-44s %8s %8s\n", "mean IoU in %", "seen", "held out")
	rows := map[string][2]string{}
	var order []string
	for i, split := range []shapes.Split{shapes.Test, shapes.Comp} {
		put := func(name string, v fmt.Stringer) {
			r, there := rows[name]
			if !there {
				order = append(order, name)
			}
			r[i] = v.String()
			rows[name] = r
		}
		s.judgeSplit(split, p.test, put)
	}
	for _, name := range order {
		fmt.Fprintf(out, "%-44s %8s %8s\n", name, rows[name][0], rows[name][1])
	}
}

// plain is a number that is no share.
type plain float64

func (p plain) String() string { return fmt.Sprintf("%.1f", float64(p)) }

// judgeSplit tests every kind of prompt on n scenes.
func (s *student) judgeSplit(split shapes.Split, n int, put func(string, fmt.Stringer)) {
	d, S := s.Model.Decoder, s.world.Side()
	var byName, byPlace, click, line, boxes, boxItself, chance, referred, wrong mean
	var clicks, forgetful [][]float64
	var quality seem.Panoptic
	classes := d.Language.Classes(s.classes).Detach()
	var before *seem.View // of a scene that holds the next one's target
	for i := range n {
		r := rand.New(rand.NewPCG(s.seed, uint64(i)))
		sc := s.scene(split, i, 2)
		k := r.IntN(len(sc.Objects))
		for j, o := range sc.Objects { // of held-out scenes, the object that is new
			if split == shapes.Comp && heldOut(s.world, o.Pair()) {
				k = j
			}
		}
		target := sc.objects[k]
		v := s.Model.View(s.Model.Normalize(s.pixels([]scene{sc})).NoGrad())
		iou := func(strokes seem.Strokes, on *seem.View) float64 {
			got, _ := s.answer(on, v, s.prompt([]seem.Strokes{strokes}))
			return seem.IoU(target, got[0])
		}
		byName.add(s.text(v, s.phrase(sc, k, ""), target))
		byPlace.add(s.text(v, s.phrase(sc, k, "place"), target))
		click.add(iou(seem.Strokes{Positive: seem.Click(middle(target), S, S)}, v))
		line.add(iou(seem.Strokes{Positive: stroke(r, target)}, v))
		whole, inBox := box(r, target, 16)
		boxes.add(iou(seem.Strokes{Positive: inBox}, v))
		boxItself.add(seem.IoU(whole, target))
		chance.add(seem.IoU(target, sc.objects[r.IntN(len(sc.objects))]))

		// the same kind of object in another picture, which is this one's target drawn elsewhere
		other := s.partner(sc, k, i)
		before = s.Model.View(s.Model.Normalize(s.pixels([]scene{other})).NoGrad())
		got, _ := s.answer(before, v, s.prompt([]seem.Strokes{{Positive: other.objects[0].Pixels()}}))
		referred.add(seem.IoU(target, got[0]))
		most := 0.0
		for j, m := range sc.objects {
			if j != k {
				most = max(most, seem.IoU(m, got[0]))
			}
		}
		wrong.add(most)

		set := union(sc.objects[:min(2+i%2, len(sc.objects))]...)
		clicks = append(clicks, s.interact(v, set, sc.objects[0], true))
		forgetful = append(forgetful, s.interact(v, set, sc.objects[0], false))

		layers := d.Objects(v)
		last := layers[len(layers)-1]
		logits := d.Logits(last.Class, classes)
		var truth []seem.Segment
		for j, o := range sc.Objects {
			truth = append(truth, seem.Segment{Class: class(o.Pair()), Mask: sc.objects[j]})
		}
		Q, h, w := last.Masks.Dim(1), last.Masks.Dim(2), last.Masks.Dim(3)
		quality.Add(seem.Segments(logits.Reshape(Q, -1), last.Masks.Reshape(Q, h, w), S, S, 0.5, 0.5), truth)
	}
	put(`text "the red circle"`, byName)
	put(`text "the object at the top left"`, byPlace)
	put("a random object instead (chance)", chance)
	put("one click in the middle", click)
	put("a stroke", line)
	put("16 points in the box", boxes)
	put("the box itself (baseline)", boxItself)
	for _, c := range []int{1, 2, 3, 6} {
		put(fmt.Sprintf("a set of 2 or 3 objects after %d clicks", c), plain(100*seem.AfterClicks(clicks, c)))
	}
	put("  after 3 clicks, without memory", plain(100*seem.AfterClicks(forgetful, 3)))
	put("  clicks to 85 % (20: never)", plain(seem.NumberOfClicks(clicks, 0.85, 20)))
	put("  clicks to 85 %, without memory", plain(seem.NumberOfClicks(forgetful, 0.85, 20)))
	put("the object of another picture", referred)
	put("  the best wrong object", wrong)
	pq, sq, _ := quality.Quality()
	put("all objects: PQ", plain(100*pq))
	put("  SQ of the hits", plain(100*sq))
}

// heldOut reports whether training shows no such pair.
func heldOut(w *shapes.World, p shapes.Pair) bool {
	for _, q := range w.SeenPairs() {
		if p == q {
			return false
		}
	}
	return true
}

// text is the IoU of what a phrase refers to.
func (s *student) text(v *seem.View, phrase string, target seem.Mask) float64 {
	d, ids := s.Model.Decoder, s.texts([]string{phrase})
	words := d.Language.Words(ids)
	layers := d.Ground(v, seem.Words{States: words, Lengths: s.lengths(ids)})
	last := layers[len(layers)-1]
	e := d.Language.Phrases(ids, words)
	return seem.IoU(target, s.masks(seem.Chosen(last, d.AnswerText(last, e.Reshape(1, 1, e.Dim(1)))).Detach())[0])
}

// partner is another scene whose only object is of the kind of object k, drawn by search among scenes of one object.
func (s *student) partner(sc scene, k, i int) scene {
	split := shapes.Test
	if heldOut(s.world, sc.Objects[k].Pair()) {
		split = shapes.Comp
	}
	for j := 1000 * (i + 1); ; j++ {
		x := s.world.Scene(split, j, shapes.Options{MinObjects: 1, MaxObjects: 1, Sign: shapes.NoSign})
		if x.Objects[0].Pair() == sc.Objects[k].Pair() {
			m := seem.NewMask(s.world.Side(), s.world.Side())
			for at, c := range x.Coverage(0) {
				m.On[at] = c > 32
			}
			return scene{Scene: x, objects: []seem.Mask{m}}
		}
	}
}

// interact clicks until the masks overlap by 90 %, up to 20 times: the IoUs after each click. The first is in the
// middle of one of the objects.
func (s *student) interact(v *seem.View, set, first seem.Mask, memory bool) (ious []float64) {
	strokes := []seem.Strokes{{Positive: seem.Click(middle(first), set.H, set.W)}}
	var previous *tensor.Tensor
	for len(ious) < 20 {
		p := s.prompt(strokes)
		if memory {
			p.Previous = previous
		}
		got, logits := s.answer(v, v, p)
		ious, previous = append(ious, seem.IoU(set, got[0])), logits
		next := s.click(logits, []seem.Mask{set}, strokes, 0.9)
		if len(next[0].Positive)+len(next[0].Negative) == len(strokes[0].Positive)+len(strokes[0].Negative) {
			break
		}
		strokes = next
	}
	return ious
}
