package verify

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/gollava/gollava/data/imaging"
)

// layout is a line of the list of sizes: a picture and everything that LLaVA computes from its size.
type layout struct {
	Size       [2]int          // width, height, as all pairs here
	Tile, Side int             // pixels and features along a tile
	Canvases   json.RawMessage `json:"grid_pinpoints"` // pairs, or "336" for those of LLaVA-1.6
	derived
	Resized [2]int
	Paste   [2]int
	Grid    [2]int
	HF      *struct { // where transformers computes something else
		derived
		Error string
	}
}

type derived struct {
	Best   [2]int
	Unpad  [4]int // top, left, bottom, right, in features
	Tokens int
}

// anyRes checks the geometry of tiles: a list of picture sizes with everything that follows from them.
func anyRes(r *Report, c struct{ Cases string }) {
	var t pixelTable
	eachLine(inside(r.Dir, c.Cases), func(l layout) { check(l.check(&t)) })
	t.report(r)
}

func (l *layout) check(t *pixelTable) error {
	a := imaging.AnyRes{Tile: l.Tile, Side: l.Side}
	var pairs [][2]int
	if string(l.Canvases) == `"336"` {
		a.Canvases = imaging.Canvases16()
	} else if err := json.Unmarshal(l.Canvases, &pairs); err != nil {
		return fmt.Errorf("grid_pinpoints: %w", err)
	}
	a.Canvases = append(a.Canvases, canvases(pairs)...)
	if err := a.Validate(); err != nil {
		return err
	}
	if w, h := l.Size[0], l.Size[1]; w <= 0 || h <= 0 || max(w, h) > math.MaxInt32 {
		return fmt.Errorf("size: %d×%d", w, h)
	}
	where := fmt.Sprintf("%d×%d", l.Size[0], l.Size[1])
	compare := func(what string, got, want []int) {
		t.kind(what).add(where, differenceOf(got, want), levels{})
	}
	derived := func(suffix string, g imaging.Layout, want derived) {
		compare("geometry best"+suffix, []int{g.Canvas.W, g.Canvas.H}, want.Best[:])
		compare("geometry unpad"+suffix, []int{g.Kept.Min.Y, g.Kept.Min.X, g.Kept.Max.Y, g.Kept.Max.X}, want.Unpad[:])
		compare("geometry tokens"+suffix, []int{g.Tokens}, []int{want.Tokens})
	}
	g := a.Layout(l.Size[0], l.Size[1])
	derived("", g, l.derived)
	compare("geometry resized", []int{g.Scaled.W, g.Scaled.H}, l.Resized[:])
	compare("geometry paste", []int{g.At.X, g.At.Y}, l.Paste[:])
	compare("geometry grid", []int{g.Cols, g.Rows}, l.Grid[:])
	want := l.derived
	if l.HF != nil {
		if want = l.HF.derived; l.HF.Error != "" {
			t.kind("geometry tokens (transformers)").skip("%s: transformers itself fails with %s", where, l.HF.Error)
			return nil
		}
	}
	a.HF = true
	derived(" (transformers)", a.Layout(l.Size[0], l.Size[1]), want)
	return nil
}

func canvases(pairs [][2]int) (out []imaging.Size) {
	for _, p := range pairs {
		out = append(out, imaging.Size{W: p[0], H: p[1]})
	}
	return out
}
