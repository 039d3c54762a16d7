package eval

import (
	"image"

	"github.com/gollava/gollava/data/shapes"
)

// Detection is what [Find] sees of a colour.
type Detection struct {
	Box    [4]int // x1, y1, x2, y2 in pixels, the last two just outside
	Shape  shapes.Shape
	Pixels int
}

// leastPixels is how large a connected part must be to count.
const leastPixels = 8

// Find looks in an image of w's size, drawn or generated, for the largest connected part of a colour: pixels that are
// nearer to it than to the other colours and to a light background. The shape is the one whose own drawing, of
// either size, covers the part best when both are brought to the same box. It is false if there is no such part.
func Find(w *shapes.World, img *image.RGBA, c shapes.Color) (Detection, bool) {
	found, ok := largest(img, c)
	if !ok {
		return Detection{}, false
	}
	d, best := Detection{Box: found.box, Pixels: len(found.at)}, -1.0
	scene := w.Scene(shapes.Train, 0, shapes.Options{Sign: shapes.NoSign})
	for shape := shapes.Circle; shape <= shapes.Cross; shape++ {
		for _, size := range []shapes.Size{shapes.Small, shapes.Large} {
			scene.Objects = []shapes.Object{{Color: c, Shape: shape, Size: size}}
			template, ok := largest(scene.Image(), c)
			if !ok {
				continue
			}
			if like := found.like(template); like > best {
				best, d.Shape = like, shape
			}
		}
	}
	return d, true
}

// part is a connected set of pixels.
type part struct {
	at  map[image.Point]bool
	box [4]int
}

// largest is the largest connected part of a colour.
func largest(img *image.RGBA, c shapes.Color) (best part, ok bool) {
	b := img.Bounds()
	seen := map[image.Point]bool{}
	is := func(p image.Point) bool { return p.In(b) && !seen[p] && nearest(img, p) == int(c) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if !is(image.Pt(x, y)) {
				continue
			}
			p := part{map[image.Point]bool{}, [4]int{x, y, x + 1, y + 1}}
			seen[image.Pt(x, y)] = true
			for todo := []image.Point{{X: x, Y: y}}; len(todo) > 0; {
				at := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				p.at[at] = true
				p.box = [4]int{min(p.box[0], at.X), min(p.box[1], at.Y), max(p.box[2], at.X+1), max(p.box[3], at.Y+1)}
				for _, d := range []image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}} {
					if n := at.Add(d); is(n) {
						seen[n] = true
						todo = append(todo, n)
					}
				}
			}
			if len(p.at) > len(best.at) {
				best = p
			}
		}
	}
	return best, len(best.at) >= leastPixels
}

// nearest is the colour that a pixel is nearest to, or −1 for the background.
func nearest(img *image.RGBA, p image.Point) int {
	pix := img.Pix[img.PixOffset(p.X, p.Y):]
	away := func(c [3]uint8) (d int) {
		for k := range 3 {
			e := int(pix[k]) - int(c[k])
			d += e * e
		}
		return d
	}
	at, least := -1, away([3]uint8{242, 240, 242})
	for c := shapes.Red; c <= shapes.Orange; c++ {
		if d := away(c.RGB()); d < least {
			at, least = int(c), d
		}
	}
	return at
}

// like is how well two parts cover each other, brought to the same box: intersection over union.
func (p part) like(q part) float64 {
	const n = 24
	at := func(p part, i, j int) bool {
		x := p.box[0] + (2*i+1)*(p.box[2]-p.box[0])/(2*n)
		y := p.box[1] + (2*j+1)*(p.box[3]-p.box[1])/(2*n)
		return p.at[image.Pt(x, y)]
	}
	both, any := 0, 0
	for i := range n {
		for j := range n {
			a, b := at(p, i, j), at(q, i, j)
			if a && b {
				both++
			}
			if a || b {
				any++
			}
		}
	}
	return float64(both) / float64(any)
}

// IoU is the intersection over union of two boxes x1, y1, x2, y2.
func IoU(a, b [4]int) float64 {
	area := func(b [4]int) float64 { return float64(max(b[2]-b[0], 0)) * float64(max(b[3]-b[1], 0)) }
	both := area([4]int{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	if union := area(a) + area(b) - both; union > 0 {
		return both / union
	}
	return 0
}
