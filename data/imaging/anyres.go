package imaging

import (
	"fmt"
	"image"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/misuse"
)

// Size is a width and a height.
type Size struct{ W, H int }

// AnyRes is how LLaVA-1.6 (LLaVA-NeXT) shows a picture at higher resolution: scaled onto the best of some canvases,
// which is cut into tiles, beside a base view of the whole. Each view becomes Side×Side features; those of the tiles
// are laid together again and freed from the padding.
type AnyRes struct {
	Canvases []Size // image_grid_pinpoints, as width and height; where two are equally good the first wins
	Tile     int    // pixels along a view's side
	Side     int    // features along a view's side
	Max      int    // anyres_max_N: more tiles than this are shrunk in feature space; 0 for none
	HF       bool   // round as transformers does when unpadding (llava-hf weights), not as LLaVA
}

// Canvases16 are the canvases of LLaVA-1.6, for tiles of 336 pixels.
func Canvases16() []Size { return []Size{{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}} }

// ParseCanvases reads the form "(1x1),...,(6x6)" that LLaVA-NeXT allows for image_grid_pinpoints: all grids between the
// first and the last, widths outermost, in units of tile pixels.
func ParseCanvases(s string, tile int) ([]Size, error) {
	m := regexp.MustCompile(`\((\d{1,3})x(\d{1,3})\)`).FindAllStringSubmatch(s, -1)
	if len(m) == 0 || tile <= 0 {
		return nil, fmt.Errorf("imaging: grid pinpoints %q: not of the form (1x1),...,(6x6)", s)
	}
	var n [4]int
	for i, v := range append(m[0][1:], m[len(m)-1][1:]...) {
		n[i], _ = strconv.Atoi(v)
	}
	var out []Size
	for w := max(n[0], 1); w <= min(n[2], 64); w++ {
		for h := max(n[1], 1); h <= min(n[3], 64); h++ {
			out = append(out, Size{w * tile, h * tile})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("imaging: grid pinpoints %q: the last grid is smaller than the first", s)
	}
	return out, nil
}

// Validate returns an error where a canvas is not whole tiles.
func (a AnyRes) Validate() error {
	if err := a.check(); err != nil {
		return fmt.Errorf("imaging: %w", err)
	}
	return nil
}

func (a AnyRes) check() error {
	if a.Tile <= 0 || a.Side < 0 || len(a.Canvases) == 0 {
		return fmt.Errorf("image_grid_pinpoints: %d canvases of tiles of %d pixels, with %d features a side",
			len(a.Canvases), a.Tile, a.Side)
	}
	for _, c := range a.Canvases {
		if c.W <= 0 || c.H <= 0 || c.W%a.Tile != 0 || c.H%a.Tile != 0 || c.W > DefaultPixels/c.H {
			return fmt.Errorf("image_grid_pinpoints: canvas %d×%d is not made of tiles of %d pixels", c.W, c.H, a.Tile)
		}
	}
	return nil
}

// Layout is where the parts of one picture go.
type Layout struct {
	Picture    Size            // as it came
	Canvas     Size            // the chosen one
	Scaled     Size            // the picture on the canvas, the rest is black
	At         image.Point     // its upper left corner there
	Cols, Rows int             // tiles
	Kept       image.Rectangle // features that remain of the Cols·Side × Rows·Side after unpadding
	// of the tiles as the language model sees them: Kept, or less where AnyRes.Max shrinks it
	Features Size
	Tokens   int // base view, and Features with one newline at the end of each row
}

// Layout computes the geometry for a picture of w×h pixels, as select_best_resolution, resize_and_pad_image and
// unpad_image of LLaVA do. It panics where a is not valid or a side is not positive.
func (a AnyRes) Layout(w, h int) Layout {
	if err := a.Validate(); err != nil || w <= 0 || h <= 0 {
		panic(misuse.Errorf("imaging", "layout of %d×%d pixels: %v", w, h, err))
	}
	l := Layout{Picture: Size{w, h}, Canvas: a.best(w, h)}
	c := l.Canvas
	sw, sh := float64(c.W)/float64(w), float64(c.H)/float64(h)
	if sw < sh {
		l.Scaled = Size{c.W, min(int(math.Ceil(float64(h)*sw)), c.H)}
	} else {
		l.Scaled = Size{min(int(math.Ceil(float64(w)*sh)), c.W), c.H}
	}
	l.At = image.Pt((c.W-l.Scaled.W)/2, (c.H-l.Scaled.H)/2)
	l.Cols, l.Rows = c.W/a.Tile, c.H/a.Tile
	l.Kept = a.unpad(l.Cols*a.Side, l.Rows*a.Side, w, h)
	l.Features = Size{l.Kept.Dx(), l.Kept.Dy()}
	if a.Max > 0 && a.Side > 0 {
		f := l.Features
		if times := math.Sqrt(float64(f.W*f.H) / float64(a.Max*a.Side*a.Side)); times > 1.1 {
			l.Features = Size{int(float64(f.W) / times), int(float64(f.H) / times)}
		}
	}
	l.Tokens = a.Side*a.Side + l.Features.H*(l.Features.W+1)
	return l
}

// best chooses the canvas that keeps most of the picture's pixels, then the one that wastes least.
func (a AnyRes) best(w, h int) Size {
	var best Size
	keeps, wastes := -1, 0
	for _, c := range a.Canvases {
		scale := min(float64(c.W)/float64(w), float64(c.H)/float64(h))
		keep := min(int(float64(w)*scale)*int(float64(h)*scale), w*h)
		waste := c.W*c.H - keep
		if keep > keeps || keep == keeps && waste < wastes {
			best, keeps, wastes = c, keep, waste
		}
	}
	return best
}

// unpad returns what of a features map of cols×rows shows the picture and not the black around it.
func (a AnyRes) unpad(cols, rows, w, h int) image.Rectangle {
	whole := func(x float64) int {
		if a.HF { // to seven decimals first, as Python's round does
			x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'f', 7, 64), 64)
		}
		return int(x)
	}
	if float64(w)/float64(h) > float64(cols)/float64(rows) {
		p := (rows - whole(float64(h)*(float64(cols)/float64(w)))) / 2
		return image.Rect(0, p, cols, rows-p)
	}
	p := (cols - whole(float64(w)*(float64(rows)/float64(h)))) / 2
	return image.Rect(p, 0, cols-p, rows)
}

// Views returns the base view and the tiles, row by row, all of Tile×Tile pixels.
func (a AnyRes) Views(m *RGB, f Filter) ([]*RGB, Layout) {
	l := a.Layout(m.W, m.H)
	canvas := New(l.Canvas.W, l.Canvas.H)
	canvas.Paste(Resize(m, l.Scaled.W, l.Scaled.H, f), l.At.X, l.At.Y)
	views := []*RGB{Resize(m, a.Tile, a.Tile, f)}
	for y := range l.Rows {
		for x := range l.Cols {
			views = append(views, canvas.Crop(image.Rect(x*a.Tile, y*a.Tile, (x+1)*a.Tile, (y+1)*a.Tile)))
		}
	}
	return views, l
}

// maxTiles reads the N of "anyres_max_N".
func maxTiles(aspect string) (n int, ok bool) {
	s, ok := strings.CutPrefix(aspect, "anyres_max_")
	if !ok {
		return 0, aspect == "anyres"
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}
