package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/safetensors"
)

// picture is a line of the index.
type picture struct {
	File      string
	Format    string
	Size      [2]int
	Lossy     bool
	Tolerance levels
	Optional  bool // of a format that need not be readable
	Ops       []operation
}

// result is the bytes that an operation should give.
type result struct {
	Shape  []int
	DType  string
	SHA256 string
	Tensor string // where the bytes are kept; empty where they are not
}

type operation struct {
	Op string
	result
	Size, Crop    int
	Square        int // side of the padded square
	Color         *[3]byte
	Filter        string
	Width, Height int
	Pad           *bool
	Tile          int
	Canvases      [][2]int `json:"grid_pinpoints"`
	Best          *[2]int
	Boxes         [][4]int
	Padded        *result
}

// pixelCase is case.json.
type pixelCase struct {
	Index     string // file with the images
	Tensors   string // file with results
	Mean, Std [3]float64
}

// pixelRun is one run over the index.
type pixelRun struct {
	pixelCase
	pixelTable
	dir     string
	tensors *safetensors.File // nil: only sums are compared
}

// pixels checks decoding, resizing, preprocessing and tiling. The index has one picture a line and, for each,
// operations with the SHA-256 of their results, of which another file keeps those bytes that are few or compared within
// a tolerance.
func pixels(r *Report, c pixelCase) {
	run := &pixelRun{pixelCase: c, dir: r.Dir}
	if c.Tensors != "" {
		run.tensors = must(safetensors.Open(inside(r.Dir, c.Tensors)))
		defer run.tensors.Close()
	}
	eachLine(inside(r.Dir, c.Index), run.picture)
	run.report(r)
}

// picture checks all operations of one picture. For a lossy one, what comes after decoding begins with the reference's
// decoded pixels where those are kept, and is otherwise compared within the tolerance.
func (r *pixelRun) picture(p picture) {
	decode := "decode " + p.Format
	if p.Lossy {
		decode += " (lossy)"
	}
	data := must(os.ReadFile(inside(r.dir, p.File)))
	m, err := imaging.Decode(data, imaging.Options{})
	if err != nil {
		var e *imaging.Error
		if p.Optional && errors.As(err, &e) && (e.Kind == imaging.Unsupported || e.Kind == imaging.NotImage) {
			r.kind(decode).skip("%s is optional: %v", p.File, err)
			return
		}
		r.kind(decode).fail("%s: %v", p.File, err)
		return
	}
	if m.W != p.Size[0] || m.H != p.Size[1] {
		r.kind(decode).fail("%s: %d×%d pixels, not %d×%d", p.File, m.W, m.H, p.Size[0], p.Size[1])
		return
	}
	tol := levels{} // after decoding
	for _, op := range p.Ops {
		where := fmt.Sprintf("%s %s", p.File, op.Op)
		switch op.Op {
		case "decode":
			r.compare(decode, where, m.Pix, []int{m.H, m.W, 3}, op.result, p.Tolerance)
			if p.Lossy && sum(m.Pix) != op.SHA256 {
				tol = p.Tolerance
				if pix, err := r.read(op.result, []int{m.H, m.W, 3}); err == nil && len(pix) == len(m.Pix) {
					m.Pix, tol = pix, levels{}
				}
			}
		case "decode_exif":
			turned := must(imaging.Decode(data, imaging.Options{Orient: true}))
			r.compare(decode+", turned", where, turned.Pix, []int{turned.H, turned.W, 3}, op.result, p.Tolerance)
		default:
			if err := r.operation(where, m, op, tol); err != nil {
				r.kind(op.Op).fail("%s: %v", where, err)
			}
		}
	}
}

// operation checks one operation on decoded pixels.
func (r *pixelRun) operation(where string, m *imaging.RGB, op operation, tol levels) error {
	what := op.Op
	if tol.Max > 0 {
		what += " (lossy)"
	}
	p := imaging.CLIP(op.Size)
	p.Mean, p.Std = r.Mean, r.Std
	if op.Crop > 0 {
		p.Crop = imaging.Size{W: op.Crop, H: op.Crop}
	}
	var err error
	if op.Filter != "" {
		if p.Filter, err = imaging.ParseFilter(op.Filter); err != nil {
			return err
		}
	}
	switch op.Op {
	case "square", "resize":
		if op.Op == "square" {
			op.Width, op.Height = op.Size, op.Size
		}
		p.Edge, p.Size, p.CenterCrop = 0, imaging.Size{W: op.Width, H: op.Height}, false
	case "clip":
	case "pad":
		p.Aspect = "pad"
		if op.Color != nil && *op.Color != p.Ground() {
			return fmt.Errorf("color %v, where the mean gives %v", *op.Color, p.Ground())
		}
		if side := max(m.W, m.H); op.Square != 0 && op.Square != side {
			return fmt.Errorf("a square of %d pixels, not %d", side, op.Square)
		}
	case "normalized":
		if op.Pad != nil && *op.Pad {
			p.Aspect = "pad"
		}
		if tol.Max > 0 {
			scale := 1 / (255 * min(p.Std[0], p.Std[1], p.Std[2]))
			tol.Max, tol.Mean = tol.Max*scale, tol.Mean*scale
		} else {
			tol = levels{Max: 1e-6, Mean: 1e-6}
		}
		x, err := p.Process(m)
		if err != nil {
			return err
		}
		r.compare(what, where, rawFloats(x.Data), []int{3, x.H, x.W}, op.result, tol)
		return nil
	case "anyres":
		p.Edge, p.Crop, p.Aspect, p.Canvases = op.Tile, imaging.Size{W: op.Tile, H: op.Tile}, "anyres", canvases(op.Canvases)
	default:
		return errors.New("the operation is not known")
	}
	views, err := p.Views(m)
	if err != nil {
		return err
	}
	shape := []int{views[0].H, views[0].W, 3}
	if op.Op == "anyres" {
		if err := r.layout(what, where, p.AnyRes(0).Layout(m.W, m.H), views[1:], op, tol); err != nil {
			return err
		}
		shape = append([]int{len(views)}, shape...)
	}
	var pix []byte
	for _, v := range views {
		pix = append(pix, v.Pix...)
	}
	r.compare(what, where, pix, shape, op.result, tol)
	return nil
}

// layout checks which canvas was chosen, and what of it each tile shows.
func (r *pixelRun) layout(what, where string, l imaging.Layout, tiles []*imaging.RGB, op operation, tol levels) error {
	if op.Best != nil && *op.Best != [2]int{l.Canvas.W, l.Canvas.H} {
		return fmt.Errorf("canvas %v, not %v", l.Canvas, *op.Best)
	}
	canvas := imaging.New(l.Canvas.W, l.Canvas.H)
	var boxes [][4]int
	for i, tile := range tiles {
		x, y := i%l.Cols*op.Tile, i/l.Cols*op.Tile
		canvas.Paste(tile, x, y)
		boxes = append(boxes, [4]int{x, y, x + op.Tile, y + op.Tile})
	}
	if op.Boxes != nil && !slices.Equal(op.Boxes, boxes) {
		return fmt.Errorf("tiles at %v, not %v", boxes, op.Boxes)
	}
	if op.Padded != nil {
		r.compare(what+", padded", where, canvas.Pix, []int{canvas.H, canvas.W, 3}, *op.Padded, tol)
	}
	return nil
}

// compare holds the bytes of a result against its sum, and where that differs against the bytes that are kept.
func (r *pixelRun) compare(what, where string, got []byte, shape []int, want result, tol levels) {
	k := r.kind(what)
	switch {
	case !slices.Equal(shape, want.Shape):
		k.fail("%s: shape %v, not %v", where, shape, want.Shape)
		return
	case sum(got) == want.SHA256:
		k.add(where, difference{}, tol)
		return
	case tol.Max >= 1 && !r.kept(want):
		k.skip("%s: the bytes differ, and the expected ones are not kept, so that none can say by how much", where)
		return
	case !r.kept(want):
		k.fail("%s: the bytes have another SHA-256", where)
		return
	}
	raw, err := r.read(want, shape)
	switch {
	case err != nil:
		k.fail("%s: %v", where, err)
	case len(raw) != len(got):
		k.fail("%s: %d bytes, not %d", where, len(got), len(raw))
	case want.DType == "F32":
		k.add(where, differenceOf(asFloats(got), asFloats(raw)), tol)
	default:
		k.add(where, differenceOf(got, raw), tol)
	}
}

// kept reports whether the expected bytes are there.
func (r *pixelRun) kept(want result) bool { return r.tensors != nil && want.Tensor != "" }

func (r *pixelRun) read(want result, shape []int) ([]byte, error) {
	if !r.kept(want) {
		return nil, errors.New("the expected bytes are not kept")
	}
	i, ok := r.tensors.Info(want.Tensor)
	if !ok || i.DType != want.DType || !slices.Equal(i.Shape, shape) {
		return nil, fmt.Errorf("%s: %s is %s %v, not %s %v", r.tensors.Path(), want.Tensor, i.DType, i.Shape,
			want.DType, shape)
	}
	return r.tensors.Bytes(want.Tensor)
}

func sum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
