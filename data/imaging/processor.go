package imaging

import (
	"errors"
	"fmt"
	"image"
	"slices"
)

// Processor turns a picture into what a vision encoder reads, as the CLIPImageProcessor, SiglipImageProcessor and
// LlavaNextImageProcessor of transformers do (the ones that work with Pillow), together with LLaVA's
// image_aspect_ratio. It is safe for concurrent use.
type Processor struct {
	// "square" (or ""): the plain pipeline; "pad": onto a square of the mean colour first; "anyres", "anyres_max_N":
	// tiles
	Aspect     string
	Resize     bool
	Edge       int  // scale the shorter side to this,
	Size       Size // or, where Edge is 0, to this, whatever the aspect
	Filter     Filter
	CenterCrop bool
	Crop       Size
	Rescale    bool
	Factor     float64 // what a byte is multiplied with
	Normalize  bool
	Mean, Std  [3]float64
	Canvases   []Size // for anyres

	// Second is how a second encoder, which is shown the same views, wants them normalised; zero: there is none
	Second Normalization
}

// Normalization is what is subtracted from each channel and what the difference is divided by.
type Normalization struct{ Mean, Std [3]float64 }

// ForSecond is p as the second encoder's own, and whether there is one.
func (p *Processor) ForSecond() (*Processor, bool) {
	q := *p
	q.Mean, q.Std, q.Second = p.Second.Mean, p.Second.Std, Normalization{}
	return &q, p.Second != Normalization{}
}

// CLIP is the processor of openai/clip-vit-*, for pictures of size×size pixels.
func CLIP(size int) *Processor {
	return &Processor{
		Resize: true, Edge: size, Filter: Bicubic, CenterCrop: true, Crop: Size{size, size}, Rescale: true,
		Factor:    1. / 255,
		Normalize: true, Mean: [3]float64{0.48145466, 0.4578275, 0.40821073},
		Std: [3]float64{0.26862954, 0.26130258, 0.27577711},
	}
}

// DINOv2 is the processor of facebook/dinov2-*, for pictures of size×size pixels, which are cut out of larger ones: 224
// of 256.
func DINOv2(size int) *Processor {
	p := CLIP(size)
	p.Edge = (size*256 + 112) / 224
	p.Mean, p.Std = [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	return p
}

// SigLIP is the processor of google/siglip-*, for pictures of size×size pixels; it does not keep the aspect.
func SigLIP(size int) *Processor {
	half := [3]float64{0.5, 0.5, 0.5}
	return &Processor{Resize: true, Size: Size{size, size}, Filter: Bicubic, Rescale: true, Factor: 1. / 255,
		Normalize: true, Mean: half, Std: half}
}

// maxSide bounds what a configuration may ask for.
const maxSide = 1 << 14

// Validate returns an error where the fields contradict each other; it calls them as preprocessor_config.json does.
func (p *Processor) Validate() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("imaging: %w", err)
	}
	return nil
}

func (p *Processor) check() error {
	bad := func(s Size) bool { return s.W <= 0 || s.H <= 0 || max(s.W, s.H) > maxSide || s.W*s.H > DefaultPixels }
	switch _, tiles := maxTiles(p.Aspect); {
	case p.Resize && p.Edge == 0 && bad(p.Size), p.Edge < 0 || p.Edge > maxSide:
		return fmt.Errorf("size: shortest_edge %d, width and height %v: sides of 1 to %d pixels are possible", p.Edge,
			p.Size, maxSide)
	case p.CenterCrop && bad(p.Crop):
		return fmt.Errorf("crop_size: %v: sides of 1 to %d pixels are possible", p.Crop, maxSide)
	case p.Resize && (p.Filter < Lanczos || p.Filter > Hamming):
		return fmt.Errorf("resample: %d is not known: use 1 (Lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 "+
			"(Hamming)", int(p.Filter))
	case p.Rescale && p.Factor == 0:
		return errors.New("rescale_factor: with 0 nothing remains of the picture")
	case p.Normalize && (p.Std[0] == 0 || p.Std[1] == 0 || p.Std[2] == 0):
		return fmt.Errorf("image_std: %v has a zero", p.Std)
	case p.Second != (Normalization{}) && (!p.Normalize || slices.Contains(p.Second.Std[:], 0)):
		return fmt.Errorf("image_std: %v of a second encoder: both normalise, and not by zero", p.Second.Std)
	case tiles:
		if s := p.view(); s.W != s.H || p.Resize && p.Edge > 0 && p.Edge != s.W {
			return fmt.Errorf("size: anyres needs square views of the resized size, not shortest_edge %d, width and "+
				"height %v, cropped to %v", p.Edge, p.Size, p.Crop)
		}
		return p.AnyRes(0).check()
	case p.Aspect != "" && p.Aspect != "square" && p.Aspect != "pad":
		return fmt.Errorf("image_aspect_ratio: %q is not known: use square, pad, anyres or anyres_max_N", p.Aspect)
	}
	return nil
}

// view is the size of each view, zero where it depends on the picture.
func (p *Processor) view() Size {
	switch {
	case p.CenterCrop:
		return p.Crop
	case p.Resize && p.Edge == 0:
		return p.Size
	}
	return Size{}
}

// AnyRes returns the tiling that Aspect "anyres" stands for, where an encoder makes side×side features of a view.
func (p *Processor) AnyRes(side int) AnyRes {
	n, _ := maxTiles(p.Aspect)
	return AnyRes{Canvases: p.Canvases, Tile: p.view().W, Side: side, Max: n}
}

// Ground is the colour that Aspect "pad" fills a square with: the mean, in whole levels, rounded down.
func (p *Processor) Ground() (c [3]byte) {
	for i, v := range p.Mean {
		c[i] = byte(min(max(v*255, 0), 255))
	}
	return c
}

// Pixels are views of one picture, ready for the encoder.
type Pixels struct {
	N, H, W int
	Data    []float32 // [N, 3, H, W]; with [Processor].Second [N, 6, H, W], its channels behind the first's
}

// Process returns the views of a picture: one, or with anyres the base view and the tiles.
func (p *Processor) Process(m *RGB) (Pixels, error) {
	views, err := p.Views(m)
	if err != nil {
		return Pixels{}, err
	}
	v := views[0]
	out := Pixels{N: len(views), H: v.H, W: v.W, Data: make([]float32, 0, len(views)*len(v.Pix))}
	second, two := p.ForSecond()
	others := views
	if two && p.Aspect == "pad" { // onto its own mean colour
		if others, err = second.Views(m); err != nil {
			return Pixels{}, err
		}
	}
	for i, v := range views {
		if out.Data = p.Floats(out.Data, v); two {
			out.Data = second.Floats(out.Data, others[i])
		}
	}
	return out, nil
}

// Views is Process before the numbers are rescaled and normalised.
func (p *Processor) Views(m *RGB) ([]*RGB, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if m.W <= 0 || m.H <= 0 {
		return nil, fail(BadHeader, "the picture is %d×%d pixels", m.W, m.H)
	}
	if _, tiles := maxTiles(p.Aspect); tiles {
		views, _ := p.AnyRes(0).Views(m, p.Filter)
		for i, v := range views {
			views[i] = p.fit(canvas{m: v, w: v.W, h: v.H})
		}
		return views, nil
	}
	c := canvas{m: m, w: m.W, h: m.H}
	if p.Aspect == "pad" {
		c.w, c.h = max(m.W, m.H), max(m.W, m.H)
		c.x, c.y, c.ground = (c.w-m.W)/2, (c.h-m.H)/2, p.Ground()
	}
	if side := int64(max(c.w, c.h)); !p.Resize && !p.CenterCrop || !p.CenterCrop && p.Edge > 0 {
		if e := int64(p.Edge); p.Resize && e*e*side/int64(min(c.w, c.h)) > DefaultPixels {
			return nil, fail(BadAspect, "%d×%d pixels, scaled to a shorter side of %d without a crop, is too large",
				c.w, c.h, p.Edge)
		} else if !p.Resize && side*side > DefaultPixels {
			return nil, fail(TooLarge, "%d×%d pixels without a resize", c.w, c.h)
		}
	}
	return []*RGB{p.fit(c)}, nil
}

// fit resizes and crops, and computes only what the crop keeps.
func (p *Processor) fit(c canvas) *RGB {
	w, h := c.w, c.h
	switch {
	case p.Resize && p.Edge > 0:
		w, h = shortestEdge(w, h, p.Edge)
	case p.Resize:
		w, h = p.Size.W, p.Size.H
	}
	f := max(p.Filter, Lanczos)
	if !p.CenterCrop {
		return resample(c, w, h, image.Rect(0, 0, w, h), f)
	}
	x, y := (w-p.Crop.W)>>1, (h-p.Crop.H)>>1 // >> rounds down below zero too
	window := image.Rect(x, y, x+p.Crop.W, y+p.Crop.H)
	inside := window.Intersect(image.Rect(0, 0, w, h))
	part := resample(c, w, h, inside, f)
	if inside == window {
		return part
	}
	out := New(p.Crop.W, p.Crop.H)
	out.Paste(part, inside.Min.X-x, inside.Min.Y-y)
	return out
}

// shortestEdge is the size that brings the shorter side to edge; the longer one is truncated.
func shortestEdge(w, h, edge int) (int, int) {
	long := int(float64(edge*max(w, h)) / float64(min(w, h)))
	if w <= h {
		return edge, long
	}
	return long, edge
}

// Floats appends the picture's numbers [3, H, W] to dst, rescaled and normalised in float32 as numpy does it.
func (p *Processor) Floats(dst []float32, m *RGB) []float32 {
	for c := range 3 {
		var table [256]float32
		for i := range table {
			v := float32(i)
			if p.Rescale {
				v = float32(float64(i) * p.Factor)
			}
			if p.Normalize {
				v = (v - float32(p.Mean[c])) / float32(p.Std[c])
			}
			table[i] = v
		}
		for i := c; i < len(m.Pix); i += 3 {
			dst = append(dst, table[m.Pix[i]])
		}
	}
	return dst
}
