package seem

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Segmenter answers prompts about pictures.
//
//	s, err := seem.Open("./seem", nn.LoadOptions{})
//	p, err := s.Look(picture)
//	a, err := p.Segment(seem.Prompt{Clicks: []seem.Pixel{{Y: 120, X: 200}}})
//	// a.Mask says which pixels
//
// It is safe for concurrent use while nobody changes its model, and so are its pictures.
type Segmenter struct {
	Model     *Model
	Tokenizer *tokenizer.Tokenizer // nil: no texts

	missing error // why there is no tokenizer
}

// Open loads a model, see [Load], and the tokenizer beside it, which is CLIP's. Without one, texts are errors.
func Open(path string, o nn.LoadOptions) (*Segmenter, error) {
	m, err := Load(path, o)
	if err != nil {
		return nil, err
	}
	dir := path
	if ext := strings.ToLower(filepath.Ext(path)); ext == ".pt" || ext == ".pth" || ext == ".safetensors" {
		dir = filepath.Dir(path)
	}
	s := &Segmenter{Model: m}
	s.Tokenizer, s.missing = tokenizer.Load(dir)
	return s, nil
}

// Picture is a picture that any number of prompts may be asked about.
type Picture struct {
	W, H int // of the picture itself

	s          *Segmenter
	view       *View
	w, h       int // scaled
	padW, padH int // and filled up with the mean colour
}

// Look scales a picture so that its shorter side is INPUT's gollava_size, 512 by default, and makes its features.
func (s *Segmenter) Look(m *imaging.RGB) (*Picture, error) {
	if m == nil || m.W < 1 || m.H < 1 {
		return nil, errors.New("segment: the picture has no pixels")
	}
	size, step := s.Model.config.Input.size(), s.Model.config.Focal.Stride()
	short := min(m.W, m.H)
	p := &Picture{W: m.W, H: m.H, s: s, w: max(m.W*size/short, 1), h: max(m.H*size/short, 1)}
	if p.w > maxSide || p.h > maxSide {
		return nil, fmt.Errorf(
			"segment: a picture of %d×%d becomes one of %d×%d, and at most %d pixels a side are looked at",
			m.W, m.H, p.w, p.h, maxSide)
	}
	p.padW, p.padH = (p.w+step-1)/step*step, (p.h+step-1)/step*step
	scaled := imaging.Resize(m, p.w, p.h, imaging.Bicubic)
	x := tensor.New(1, 3, p.padH, p.padW)
	mean, std := s.Model.config.Input.Mean, s.Model.config.Input.Std
	for c := range 3 {
		for y := range p.h {
			row := x.Data()[(c*p.padH+y)*p.padW:]
			for i := range p.w {
				row[i] = (float32(scaled.Pix[(y*p.w+i)*3+c]) - mean[c]) / std[c]
			}
		}
	}
	err := tensor.Catch(func() { p.view = s.Model.View(x.NoGrad()) })
	return p, err
}

// maxSide bounds the pictures that are looked at.
const maxSide = 4096

// Box is a rectangle of pixels, right and bottom excluded.
type Box struct{ Left, Top, Right, Bottom int }

// Prompt says what is meant: either a text, or strokes of any number and kind on this picture or another one. All
// places are pixels of the picture that they were drawn on.
type Prompt struct {
	Text string

	Clicks    []Pixel   // what is meant
	Not       []Pixel   // what is not
	Boxes     []Box     // regions of what is meant
	Scribbles [][]Pixel // lines through what is meant
	Mask      *Mask     // a region of what is meant, of the picture's size

	On *Picture // the picture that the strokes are on, where the same is to be found in this one; nil: this one
	// what this picture's round before answered, for the model's memory; strokes are to be given again
	Previous *Answer
}

// Answer is what a prompt means.
type Answer struct {
	Mask Mask

	picture *Picture
	logits  *tensor.Tensor // [1, 1, h, w]
}

// Segment answers a prompt. An empty one, one with both text and strokes, places outside of the picture, a box without
// pixels and a mask of another size are errors that name them.
func (p *Picture) Segment(q Prompt) (*Answer, error) {
	on := q.On
	if on == nil {
		on = p
	}
	strokes, err := on.strokes(q)
	text := strings.TrimSpace(q.Text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("segment: %w", err)
	case text != "" && (len(strokes.Positive) > 0 || len(strokes.Negative) > 0 || q.On != nil || q.Previous != nil):
		return nil, errors.New("segment: a prompt is a text or strokes, not both")
	case text == "" && len(strokes.Positive) == 0:
		return nil, errors.New(
			"segment: the prompt is empty: a text or at least one click, box, scribble or mask is needed")
	case q.Previous != nil && q.Previous.picture != p:
		return nil, errors.New("segment: the previous answer is about another picture")
	}
	a := &Answer{picture: p}
	caught := tensor.Catch(func() {
		d := p.s.Model.Decoder
		if text != "" {
			a.logits, err = p.byText(text)
			return
		}
		s := Spatial{H: on.padH, W: on.padW, Prompts: [][]Strokes{{strokes}}}
		if q.Previous != nil {
			s.Previous = q.Previous.logits
		}
		e := d.Encode(on.view, s)
		layers := d.Prompt(p.view, e)
		last := layers[len(layers)-1]
		a.logits = Chosen(last, d.Answer(last, e))
	})
	if err == nil {
		err = caught
	}
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	a.Mask = p.whole(a.logits)
	return a, nil
}

// byText are the mask logits of what a text refers to: [1, 1, h, w].
func (p *Picture) byText(text string) (*tensor.Tensor, error) {
	ids, n, err := p.s.ids(text)
	if err != nil {
		return nil, err
	}
	d := p.s.Model.Decoder
	words := d.Language.Words(ids)
	layers := d.Ground(p.view, Words{States: words, Lengths: []int32{int32(n)}})
	last := layers[len(layers)-1]
	phrase := d.Language.Phrases(ids, words)
	return Chosen(last, d.AnswerText(last, phrase.Reshape(1, 1, phrase.Dim(1)))), nil
}

// ids are the tokens of a text, [1, n], and how many there are. A text that is too long keeps its end.
func (s *Segmenter) ids(text string) (ids *tensor.Tensor, n int, err error) {
	t := s.Tokenizer
	if t == nil {
		return nil, 0, fmt.Errorf("the model's tokenizer cannot be read: %w", s.missing)
	}
	list := t.Wrap(t.Encode(text))
	if end := t.EOS(); end >= 0 && (len(list) == 0 || list[len(list)-1] != end) {
		list = append(list, end)
	}
	c := s.Model.config.Text
	for _, id := range list {
		if id < 0 || int(id) >= c.VocabSize {
			return nil, 0, fmt.Errorf(
				"token id %d is outside of the model's vocabulary of %d: the tokenizer belongs to another model",
				id, c.VocabSize)
		}
	}
	if n = len(list); n > c.ContextLength {
		list = append(list[:c.ContextLength-1:c.ContextLength-1], list[n-1])
	}
	return tensor.WrapInts(list, 1, len(list)), len(list), nil
}

// Objects are all objects of the given classes, without overlap; see [Segments] for score and overlap, of which the
// authors take 0.8. Each class is the mean of its name in every template, with {} in its place; none: the name alone.
func (p *Picture) Objects(classes, templates []string, score, overlap float64) ([]Segment, error) {
	if len(classes) == 0 {
		return nil, errors.New("segment: there are no classes")
	}
	if len(templates) == 0 {
		templates = []string{"{}"}
	}
	d := p.s.Model.Decoder
	embed := func(texts ...string) (*tensor.Tensor, error) {
		var sum *tensor.Tensor
		for _, text := range texts {
			ids, _, err := p.s.ids(text)
			if err != nil {
				return nil, err
			}
			x := d.Language.Classes(ids) // [1, E]
			if sum != nil {
				x = sum.Add(x)
			}
			sum = x
		}
		return unit(sum), nil
	}
	var out []Segment
	var err error
	caught := tensor.Catch(func() {
		rows := make([]*tensor.Tensor, len(classes)+1)
		for i := range rows {
			texts := []string{background}
			if i < len(classes) {
				texts = nil
				for _, t := range templates {
					texts = append(texts, strings.ReplaceAll(t, "{}", classes[i]))
				}
			}
			if rows[i], err = embed(texts...); err != nil {
				err = fmt.Errorf("class %d: %w", i, err)
				return
			}
		}
		layers := d.Objects(p.view)
		last := layers[len(layers)-1]
		logits := d.Logits(last.Class, tensor.Concat(0, rows...)) // [1, Q, C+1]
		masks := tensor.Interpolate(last.Masks, p.padH, p.padW, tensor.InterpolateConfig{Mode: tensor.Bilinear})
		masks = masks.Slice(2, 0, p.h).Slice(3, 0, p.w)
		out = Segments(row(logits, 0), row(masks, 0), p.H, p.W, score, overlap)
	})
	if err == nil {
		err = caught
	}
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	return out, nil
}

// background is the text of the class that stands for none.
const background = "A background in coco."

// whole is a mask of the picture's size of logits [1, 1, h, w].
func (p *Picture) whole(logits *tensor.Tensor) Mask {
	z := tensor.Interpolate(logits, p.padH, p.padW, tensor.InterpolateConfig{Mode: tensor.Bilinear})
	return MaskOf(z.Slice(2, 0, p.h).Slice(3, 0, p.w).Reshape(p.h, p.w), p.H, p.W)
}

// strokes are a prompt's clicks and regions, scaled to what the model looks at.
func (p *Picture) strokes(q Prompt) (s Strokes, err error) {
	scale := func(px Pixel) Pixel { return Pixel{px.Y * p.h / p.H, px.X * p.w / p.W} }
	inside := func(what string, list []Pixel) error {
		for _, px := range list {
			if px.Y < 0 || px.X < 0 || px.Y >= p.H || px.X >= p.W {
				return fmt.Errorf("%s at x %d, y %d is outside of the picture of %d×%d", what, px.X, px.Y, p.W, p.H)
			}
		}
		return nil
	}
	region := NewMask(p.h, p.w)
	mark := func(list []Pixel) {
		for _, px := range list {
			region.On[px.Y*p.w+px.X] = true
		}
	}
	if err := errors.Join(inside("the click", q.Clicks), inside("the click on what is not meant", q.Not)); err != nil {
		return s, err
	}
	for _, px := range q.Clicks {
		mark(Click(scale(px), p.h, p.w))
	}
	for _, line := range q.Scribbles {
		if err := inside("the scribble", line); err != nil {
			return s, err
		}
		var scaled []Pixel
		for _, px := range line {
			scaled = append(scaled, scale(px))
		}
		mark(Scribble(scaled, p.h, p.w))
	}
	for _, b := range q.Boxes {
		if b.Left < 0 || b.Top < 0 || b.Right > p.W || b.Bottom > p.H || b.Left >= b.Right || b.Top >= b.Bottom {
			return s, fmt.Errorf(
				"the box from x %d, y %d to x %d, y %d has no pixels, or some outside of the picture of %d×%d",
				b.Left, b.Top, b.Right, b.Bottom, p.W, p.H)
		}
		for y := b.Top * p.h / p.H; y < max(b.Bottom*p.h/p.H, b.Top*p.h/p.H+1); y++ {
			for x := b.Left * p.w / p.W; x < max(b.Right*p.w/p.W, b.Left*p.w/p.W+1); x++ {
				region.On[y*p.w+x] = true
			}
		}
	}
	if m := q.Mask; m != nil {
		if m.H != p.H || m.W != p.W || len(m.On) != p.H*p.W {
			return s, fmt.Errorf("the mask has %d×%d pixels, the picture %d×%d", m.W, m.H, p.W, p.H)
		}
		for i := range region.On {
			if m.At(Pixel{i / p.w * p.H / p.h, i % p.w * p.W / p.w}) {
				region.On[i] = true
			}
		}
	}
	s.Positive = region.Pixels()
	for _, px := range q.Not {
		s.Negative = merge(s.Negative, Click(scale(px), p.h, p.w))
	}
	return s, nil
}
