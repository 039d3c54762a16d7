package shapes

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/internal/misuse"
)

// World draws scenes. It is never changed after [New], so it may be used from several goroutines.
type World struct {
	Config
	seen    []Pair  // the pairs that training pictures show
	colors  []Color // those of seen
	popular []Pair  // the six of seen whose colour and shape are most often in it
	held    map[Pair]bool
	sprites [][]uint8 // [shape·2+size][cell·cell] coverage in 64ths
	noise   []int32   // a table of normal quantiles, in 256ths of a level
}

// New checks a configuration and makes its world.
func New(c Config) (*World, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.HeldOut = slices.Clone(c.HeldOut)
	w := &World{Config: c, held: map[Pair]bool{}}
	for _, p := range c.HeldOut {
		w.held[p] = true
	}
	for _, p := range AllPairs() {
		if !w.held[p] {
			w.seen = append(w.seen, p)
		}
	}
	w.count()
	w.sprites = sprites(c)
	w.noise = quantiles(c.Noise)
	return w, nil
}

// count fills in which colours are seen, and which pairs are popular.
func (w *World) count() {
	var color, shape [6]int
	for _, p := range w.seen {
		color[p.Color]++
		shape[p.Shape]++
		if !slices.Contains(w.colors, p.Color) {
			w.colors = append(w.colors, p.Color)
		}
	}
	w.popular = slices.Clone(w.seen)
	slices.SortStableFunc(w.popular, func(a, b Pair) int {
		return cmp.Compare(color[b.Color]+shape[b.Shape], color[a.Color]+shape[a.Shape])
	})
	w.popular = w.popular[:min(6, len(w.popular))]
}

// objects is how few and how many objects the scenes of a split have.
func (w *World) objects(split Split) (lo, hi int) {
	if split == Count5 {
		return w.MaxObjects + 1, w.MaxObjects + 1
	}
	return w.MinObjects, w.MaxObjects
}

// has reports whether there are scenes of a split: their objects have room, and it has signs or held-out pairs if it
// needs them.
func (w *World) has(split Split) bool {
	room := w.Grid * w.Grid
	if w.Signs > 0 {
		room -= w.Grid
	}
	_, hi := w.objects(split)
	return hi <= room && (split != NewWord || w.Signs > 0) && (split != Comp || len(w.HeldOut) > 0)
}

// Side is the side of a picture in pixels.
func (w *World) Side() int { return w.Grid * w.Cell }

// SeenPairs are the pairs that training pictures show, colour by colour.
func (w *World) SeenPairs() []Pair { return slices.Clone(w.seen) }

// Split names a set of scenes.
type Split string

// The splits. All but Train and Validation are drawn from the same part of the space of scenes, which those two never
// enter.
const (
	Train      Split = "train"
	Validation Split = "validation"
	Test       Split = "test"   // new scenes of the same kind
	Comp       Split = "comp"   // one object of each scene carries a held-out pair
	Count5     Split = "count5" // one object more than in training
	NewWord    Split = "word"   // each scene has a sign with a word that training never shows
	Style      Split = "style"  // blurred, noisier, other hues and backgrounds

	// Text is for training a language model on scenes told in words, which are never drawn. It may show held-out pairs,
	// as [Config.TextHeldOut] has it, and shares its part of the space of scenes with Train.
	Text Split = "text"
)

// Splits are all splits with pictures.
func Splits() []Split { return []Split{Train, Validation, Test, Comp, Count5, NewWord, Style} }

// known reports whether the split is one of them, or Text.
func (s Split) known() bool { return s == Text || slices.Contains(Splits(), s) }

// has reports whether scenes with this fingerprint belong to the split: five of eight to Train, one to Validation, two
// to the rest.
func (s Split) has(fingerprint uint64) bool {
	switch part := fingerprint >> 61; s {
	case Train, Text:
		return part >= 3
	case Validation:
		return part == 2
	default:
		return part < 2
	}
}

// SignKind says which sign a scene gets.
type SignKind int

// The kinds of signs.
const (
	SignByChance SignKind = iota // as the split and the configuration have it
	NoSign
	WordSign
	NumberSign
	NewWordSign // a word of the split NewWord
)

// Options narrow the scenes that [World.Scene] draws. The zero value leaves them to the split and the configuration.
type Options struct {
	MinObjects, MaxObjects int // 0: as the split and the configuration have it
	Sign                   SignKind

	pair *Pair  // one object has it, if not nil
	text string // what the sign says, if not empty
}

// Cell is a place in the grid, counted from the top left.
type Cell struct{ Row, Col int }

// Object is one thing in a scene.
type Object struct {
	Color  Color
	Shape  Shape
	Size   Size
	Cell   Cell
	DX, DY int     // pixels off the middle of the cell
	shade  [3]int8 // added to the colour's red, green and blue
}

// Pair is the object's colour and shape.
func (o Object) Pair() Pair { return Pair{o.Color, o.Shape} }

// Sign is a white plate that fills a row of the grid.
type Sign struct {
	Text string // three letters or two digits
	Row  int
	DX   int // pixels right of the middle
}

// Scene is a picture before it is drawn. Objects are in reading order.
type Scene struct {
	Split   Split
	Index   int
	Objects []Object
	Sign    *Sign // nil: none
	Tint    int   // which of the six backgrounds

	world *World
	grain uint64 // seed of the noise
	style bool
	hue   float64 // degrees
}

// World is the world that the scene was drawn in.
func (s Scene) World() *World { return s.world }

// Rand is a random stream that depends on the world's seed, a name and an index only.
func (w *World) Rand(name string, index int) *rand.Rand {
	h := mix(w.Seed ^ 0x9e3779b97f4a7c15)
	for i := range len(name) {
		h = mix(h ^ uint64(name[i]))
	}
	return rand.New(rand.NewPCG(h, mix(h+uint64(index))))
}

// mix spreads the bits of x (the finaliser of SplitMix64, Steele et al. 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Scene is scene number index of a split. It panics if the split is unknown, index is negative or the options ask for
// more objects than there are cells.
func (w *World) Scene(split Split, index int, o Options) Scene {
	if !split.known() || index < 0 {
		panic(misuse.Errorf("shapes", "no scene %d of split %q", index, split))
	}
	if (split == NewWord || split == Comp) && !w.has(split) {
		panic(misuse.Errorf("shapes", "split %q in a world without signs or without held-out pairs", split))
	}
	r := w.Rand("scene/"+string(split), index)
	s := w.draw(r, split, o)
	s.Index = index
	return s
}

// draw draws a scene of the split from a stream.
func (w *World) draw(r *rand.Rand, split Split, o Options) Scene {
	lo, hi := w.objects(split)
	if o.MaxObjects > 0 {
		hi = o.MaxObjects
		lo = min(lo, hi)
	}
	if o.MinObjects > 0 {
		lo = o.MinObjects
		hi = max(lo, hi)
	}
	if split == NewWord && o.Sign == SignByChance {
		o.Sign = NewWordSign
	}
	if o.Sign != NoSign && (w.Signs > 0 || o.Sign != SignByChance) && hi > w.Grid*(w.Grid-1) || hi > w.Grid*w.Grid {
		panic(misuse.Errorf("shapes", "%d objects do not fit into %d×%d cells", hi, w.Grid, w.Grid))
	}
	if o.Sign > NoSign && w.Grid < 3 {
		panic(misuse.Errorf("shapes", "a sign does not fit into a grid of 2"))
	}
	for {
		s := w.sample(r, split, lo+r.IntN(hi-lo+1), o)
		if split.has(s.fingerprint()) {
			return s
		}
	}
}

// sample draws a scene of n objects, whichever split it falls into.
func (w *World) sample(r *rand.Rand, split Split, n int, o Options) Scene {
	s := Scene{Split: split, world: w, Objects: make([]Object, n), Tint: r.IntN(len(tints)), grain: r.Uint64(),
		style: split == Style}
	if s.style {
		s.hue = 20*r.Float64() - 10
	}
	s.Sign = w.sampleSign(r, o.Sign)
	if o.text != "" {
		s.Sign.Text = o.text
	}

	cells := make([]Cell, 0, 9)
	for row := range w.Grid {
		for col := range w.Grid {
			if s.Sign == nil || s.Sign.Row != row {
				cells = append(cells, Cell{row, col})
			}
		}
	}
	shuffle(r, cells)
	if o.pair == nil && (split == Comp || split == Text && w.has(Comp) && r.Float64() < w.TextHeldOut) {
		o.pair = &w.HeldOut[r.IntN(len(w.HeldOut))]
	}
	pairs := w.samplePairs(r, n, o.pair)
	for i := range s.Objects {
		s.Objects[i] = Object{
			Color: pairs[i].Color, Shape: pairs[i].Shape, Size: Size(r.IntN(2)), Cell: cells[i],
			DX: r.IntN(2*w.Jitter+1) - w.Jitter, DY: r.IntN(2*w.Jitter+1) - w.Jitter,
			shade: [3]int8{int8(r.IntN(25) - 12), int8(r.IntN(25) - 12), int8(r.IntN(25) - 12)},
		}
	}
	s.sort()
	return s
}

func (w *World) sampleSign(r *rand.Rand, kind SignKind) *Sign {
	if kind == SignByChance {
		switch x := r.Float64(); {
		case x >= w.Signs:
			kind = NoSign
		case x < 0.7*w.Signs:
			kind = WordSign
		default:
			kind = NumberSign
		}
	}
	if kind == NoSign {
		return nil
	}
	sign := &Sign{Row: r.IntN(w.Grid), DX: r.IntN(5) - 2}
	switch kind {
	case WordSign:
		sign.Text = words[r.IntN(len(words))]
	case NumberSign:
		sign.Text = fmt.Sprint(10 + r.IntN(90))
	case NewWordSign:
		sign.Text = newWords[r.IntN(len(newWords))]
	}
	return sign
}

// samplePairs draws n different pairs: one that is given, unless nil, and others that are seen. In 35 % of scenes two
// objects share their colour.
func (w *World) samplePairs(r *rand.Rand, n int, given *Pair) []Pair {
	pairs := make([]Pair, 0, n)
	if given != nil {
		pairs = append(pairs, *given)
	}
	twin := n > 1 && r.Float64() < 0.35
	for tries := 0; len(pairs) < n; tries++ {
		p := w.seen[r.IntN(len(w.seen))]
		if twin && len(pairs) == 1 && tries < 100 { // there may be no other pair of this colour
			p.Color = pairs[0].Color
		}
		if !slices.Contains(pairs, p) && !w.held[p] {
			pairs = append(pairs, p)
		}
	}
	shuffle(r, pairs)
	return pairs
}

func shuffle[T any](r *rand.Rand, a []T) {
	r.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
}

// sort brings the objects into reading order.
func (s *Scene) sort() {
	slices.SortFunc(s.Objects, inReadingOrder)
}

func inReadingOrder(a, b Object) int {
	return cmp.Or(cmp.Compare(a.Cell.Row, b.Cell.Row), cmp.Compare(a.Cell.Col, b.Cell.Col))
}

// fingerprint hashes what a scene shows; its high bits decide the splits to which it may belong. Two or more objects
// are told apart by their colours, shapes, sizes and cells alone, so a training scene that is only shifted is no test
// scene. A single object has too few such arrangements: there the shift and the background count too.
func (s Scene) fingerprint() uint64 {
	h := uint64(len(s.Objects))
	for _, o := range s.Objects {
		h = mix(h ^ uint64(o.Color)<<32 ^ uint64(o.Shape)<<24 ^ uint64(o.Size)<<16 ^
			uint64(o.Cell.Row)<<8 ^ uint64(o.Cell.Col))
		if len(s.Objects) == 1 {
			h = mix(h ^ uint64(o.DX+128)<<16 ^ uint64(o.DY+128)<<8 ^ uint64(s.Tint))
		}
	}
	return mix(h)
}
