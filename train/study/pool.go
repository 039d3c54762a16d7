package study

import (
	"image"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Pool is a set of pictures, rendered once. It is safe for concurrent use, but for Look.
type Pool struct {
	Scenes   []shapes.Scene
	of       [][]int // of[n] are the scenes with n objects
	side     int
	bytes    []uint8        // [N, 3, S, S]
	features *tensor.Tensor // [N, P, D], what the frozen tower makes of them; nil until it is trained
}

// The pictures' brightness is near white: these numbers bring them to mean 0 and deviation 1, roughly.
const (
	pixelMean = 0.85
	pixelStd  = 0.25
)

// processor says the same to other programs.
func processor(side int) *imaging.Processor {
	p := imaging.CLIP(side)
	for c := range 3 {
		p.Mean[c], p.Std[c] = pixelMean, pixelStd
	}
	return p
}

// newPool draws and renders n training scenes, as many of each number of objects.
func newPool(w *shapes.World, n int) *Pool { return poolOf(w, drawScenes(w, shapes.Train, n, nil)) }

// tell draws n scenes for the text stage, which are never rendered. In half of those with two objects or more, two are
// to be in one row. When few are, the language model finds out the row of a thing, looks for whatever is in that row
// to tell the column, and is right too often to learn better.
func tell(w *shapes.World, n int) *Pool {
	return sorted(w, drawScenes(w, shapes.Text, n, func(i int, s shapes.Scene) bool {
		return i/w.MaxObjects%2 == 0 || len(s.Objects) < 2 || rowShared(s)
	}))
}

func rowShared(s shapes.Scene) bool {
	rows := map[int]bool{}
	for _, o := range s.Objects {
		rows[o.Cell.Row] = true
	}
	return len(rows) < len(s.Objects)
}

// drawScenes draws scenes with as many of each number of objects. What is not wanted at i (nil: everything is) is
// drawn again.
func drawScenes(w *shapes.World, split shapes.Split, n int, wanted func(i int, s shapes.Scene) bool) []shapes.Scene {
	scenes := make([]shapes.Scene, n)
	spread(n, func(i int) {
		objects := w.MinObjects + i%(w.MaxObjects-w.MinObjects+1)
		for draw := i; ; draw += n {
			scenes[i] = w.Scene(split, draw, shapes.Options{MinObjects: objects, MaxObjects: objects})
			if wanted == nil || wanted(i, scenes[i]) {
				break
			}
		}
	})
	return scenes
}

// sorted notes which scenes have how many objects.
func sorted(w *shapes.World, scenes []shapes.Scene) *Pool {
	p := &Pool{Scenes: scenes, side: w.Side(), of: make([][]int, w.Grid*w.Grid+1)}
	for i, s := range scenes {
		p.of[len(s.Objects)] = append(p.of[len(s.Objects)], i)
	}
	return p
}

// poolOf renders scenes.
func poolOf(w *shapes.World, scenes []shapes.Scene) *Pool {
	p := sorted(w, scenes)
	size := 3 * p.side * p.side
	p.bytes = make([]uint8, len(scenes)*size)
	spread(len(scenes), func(i int) { planes(p.bytes[i*size:(i+1)*size], scenes[i].Image()) })
	return p
}

// planes lays a picture out as [3, S, S].
func planes(to []uint8, m *image.RGBA) {
	n := len(to) / 3
	for i := range n {
		to[i], to[n+i], to[2*n+i] = m.Pix[4*i], m.Pix[4*i+1], m.Pix[4*i+2]
	}
}

// spread calls f(0), …, f(n−1) on all processors.
func spread(n int, f func(i int)) {
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		all.Go(func() {
			for i := k; i < n; i += workers {
				f(i)
			}
		})
	}
	all.Wait()
}

// Unseen are the same pictures before a tower looked at them.
func (p *Pool) Unseen() *Pool {
	q := *p
	q.features = nil
	return &q
}

// first are the first n pictures, as the tower saw them.
func (p *Pool) first(n int) *Pool {
	return &Pool{Scenes: p.Scenes[:n], side: p.side, features: p.features.Slice(0, 0, n)}
}

// Pick draws a scene with so many objects.
func (p *Pool) Pick(r *rand.Rand, objects int) int {
	of := p.of[objects]
	return of[r.IntN(len(of))]
}

var levels = func() (f [256]float32) {
	for i := range f {
		f[i] = (float32(i)/255 - pixelMean) / pixelStd
	}
	return f
}()

// Pixels are what the tower looks at: [B, 3, S, S].
func (p *Pool) Pixels(chosen []int) *tensor.Tensor {
	size := 3 * p.side * p.side
	out := make([]float32, 0, len(chosen)*size)
	for _, i := range chosen {
		for _, b := range p.bytes[i*size : (i+1)*size] {
			out = append(out, levels[b])
		}
	}
	return tensor.Wrap(out, len(chosen), 3, p.side, p.side)
}

// Look runs the frozen tower over all pictures, so that stages 1 and 2 need not.
func (p *Pool) Look(t vit.Tower, s vit.Select) {
	const batch = 200
	for from := 0; from < len(p.Scenes); from += batch {
		var chosen []int
		for i := from; i < min(from+batch, len(p.Scenes)); i++ {
			chosen = append(chosen, i)
		}
		tensor.Scope(func(a *tensor.Arena) {
			f := vit.Features(t, p.Pixels(chosen).NoGrad().In(a), s) // [B, P, D]
			if p.features == nil {
				p.features = tensor.New(len(p.Scenes), f.Dim(1), f.Dim(2))
			}
			p.features.Overwrite(0, from, f)
		})
	}
}

// feature is what the tower makes of a picture: [P·D].
func (p *Pool) feature(i int) []float32 {
	n := p.features.Dim(1) * p.features.Dim(2)
	return p.features.Host().Data()[i*n : (i+1)*n]
}

// Seen are the features of pictures: [B, P, D].
func (p *Pool) Seen(chosen []int) *tensor.Tensor {
	P, D := p.features.Dim(1), p.features.Dim(2)
	out := make([]float32, 0, len(chosen)*P*D)
	for _, i := range chosen {
		out = append(out, p.feature(i)...)
	}
	return tensor.Wrap(out, len(chosen), P, D)
}

// varied are the pictures moved by any number of whole cells, where what leaves at one edge comes in at the other, and
// the mirror images of all of them. Scene i's variants, itself the first, stand together.
func (p *Pool) varied(cell int) *Pool {
	S, n := p.side, p.side/cell
	q := &Pool{side: S, bytes: make([]uint8, 0, 2*n*n*len(p.bytes))}
	for i, scene := range p.Scenes {
		for k := range 2 * n * n {
			dy, dx, mirrored := k/(2*n)*cell, k/2%n*cell, k%2 == 1
			for c := range 3 {
				for y := range S {
					row := p.bytes[((i*3+c)*S+(y+dy)%S)*S:][:S]
					for x := range S {
						if mirrored {
							x = S - 1 - x
						}
						q.bytes = append(q.bytes, row[(x+dx)%S])
					}
				}
			}
			q.Scenes = append(q.Scenes, scene)
		}
	}
	return q
}
