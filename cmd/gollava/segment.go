package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image/png"
	"io"
	"strings"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
)

type segmentCommand struct {
	Model   string `arg:"" help:"Folder of a SEEM, with a tokenizer, or the file seem_focall_v1.pt."`
	Picture string `arg:"" help:"File of the picture."`

	Text     string   `help:"What to look for, in words."`
	Click    []string `sep:"none" help:"Place on what is meant, X,Y in pixels from the upper left corner; may be repeated."`
	Not      []string `sep:"none" help:"Place on what is not meant, X,Y; may be repeated."`
	Box      []string `sep:"none" help:"Region of what is meant, LEFT,TOP,RIGHT,BOTTOM, right and bottom excluded; may be repeated."`
	Scribble []string `sep:"none" help:"Line through what is meant, X,Y,X,Y,…; may be repeated."`
	Mask     string   `help:"Picture of the same size, in which what is not black is meant."`
	On       string   `help:"Another picture that clicks, boxes, scribbles and mask are on: the same is looked for in PICTURE."`
	Classes  string   `help:"Names with commas between: find all objects of these classes, in place of a prompt."`
	Score    float64  `default:"0.8" help:"With --classes: how likely an object must be, in 0 to 1."`

	Out   string `default:"mask.png" help:"PNG to write: the mask in white, or with --paint the picture with the mask in colour and clicks in white and black."`
	Paint bool   `help:"Paint the mask onto the picture."`
	DType string `name:"dtype" enum:"float32,bfloat16,stored" default:"${dtype}" help:"What weights are kept as: ${enum}, in which float16 counts as float32."`
}

func (segmentCommand) Help() string {
	return `Finds the pixels of what a text, clicks, boxes, scribbles, a mask or a region of another picture mean, or all objects of some
classes.

Example:

  gollava segment ./seem street.jpg --text "the red car" --out car.png
  gollava segment ./seem street.jpg --click 120,200 --not 130,220 --paint --out car.png
  gollava segment ./seem street.jpg --classes person,car,tree --paint --out all.png`
}

// numbers reads comma-separated integers: exactly n, or for n 0 pairs of them.
func numbers(flag, text string, n int) (list []int, err error) {
	for _, part := range strings.Split(text, ",") {
		var v int
		if _, err := fmt.Sscanf(strings.TrimSpace(part), "%d", &v); err != nil {
			return nil, fmt.Errorf("--%s %q: %q is no whole number", flag, text, part)
		}
		list = append(list, v)
	}
	if n > 0 && len(list) != n || len(list)%2 != 0 {
		return nil, fmt.Errorf("--%s %q: needs %d numbers with commas between", flag, text, cmp.Or(n, len(list)+1))
	}
	return list, nil
}

// prompt reads the flags.
func (s segmentCommand) prompt() (q seem.Prompt, err error) {
	q.Text = s.Text
	for _, list := range []struct {
		flag  string
		texts []string
		to    *[]seem.Pixel
	}{{"click", s.Click, &q.Clicks}, {"not", s.Not, &q.Not}} {
		for _, text := range list.texts {
			v, err := numbers(list.flag, text, 2)
			if err != nil {
				return q, err
			}
			*list.to = append(*list.to, seem.Pixel{Y: v[1], X: v[0]})
		}
	}
	for _, text := range s.Box {
		v, err := numbers("box", text, 4)
		if err != nil {
			return q, err
		}
		q.Boxes = append(q.Boxes, seem.Box{Left: v[0], Top: v[1], Right: v[2], Bottom: v[3]})
	}
	for _, text := range s.Scribble {
		v, err := numbers("scribble", text, 0)
		if err != nil {
			return q, err
		}
		var line []seem.Pixel
		for ; len(v) > 0; v = v[2:] {
			line = append(line, seem.Pixel{Y: v[1], X: v[0]})
		}
		q.Scribbles = append(q.Scribbles, line)
	}
	if s.Mask != "" {
		m, err := imaging.Open(s.Mask, imaging.Options{})
		if err != nil {
			return q, err
		}
		mask := seem.NewMask(m.H, m.W)
		for i := range mask.On {
			mask.On[i] = m.Pix[3*i]|m.Pix[3*i+1]|m.Pix[3*i+2] != 0
		}
		q.Mask = &mask
	}
	return q, nil
}

func (s segmentCommand) Run(c console) error {
	q, err := s.prompt()
	if err != nil {
		return err
	}
	if err := unread("--out", s.Out, s.Picture, s.Mask, s.On); err != nil {
		return err
	}
	picture, err := imaging.Open(s.Picture, imaging.Options{})
	if err != nil {
		return err
	}
	m, err := seem.Open(s.Model, nn.LoadOptions{DType: source{DType: s.DType}.dtype()})
	if err != nil {
		return err
	}
	p, err := m.Look(picture)
	if err != nil {
		return err
	}
	var found []seem.Segment
	names := strings.Split(s.Classes, ",")
	switch {
	case s.Classes != "":
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		const overlap = 0.8 // as MaskFormer's
		found, err = p.Objects(names, nil, s.Score, overlap)
	default:
		if s.On != "" {
			other, err := imaging.Open(s.On, imaging.Options{})
			if err != nil {
				return err
			}
			if q.On, err = m.Look(other); err != nil {
				return err
			}
		}
		var a *seem.Answer
		if a, err = p.Segment(q); err == nil {
			found, names = []seem.Segment{{Mask: a.Mask}}, []string{"mask"}
		}
	}
	if err != nil {
		return err
	}
	for _, f := range found {
		n := len(f.Mask.Pixels())
		fmt.Fprintf(c.out, "%-24s %d pixels, %.1f %% of the picture\n", names[f.Class], n,
			100*float64(n)/float64(p.W*p.H))
	}
	if len(found) == 0 {
		fmt.Fprintln(c.out, "nothing was found; a lower --score finds more")
	}
	drawn := imaging.New(p.W, p.H)
	if s.Paint {
		copy(drawn.Pix, picture.Pix)
	}
	for i, f := range found {
		paint(drawn, f.Mask, tints[i%len(tints)], s.Paint)
	}
	if s.Paint && s.On == "" {
		dots(drawn, q.Clicks, [3]byte{255, 255, 255})
		dots(drawn, q.Not, [3]byte{})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, drawn); err != nil {
		return err
	}
	err = atomicfile.Write(s.Out, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
	if err == nil {
		fmt.Fprintf(c.err, "written: %s\n", quoted(s.Out))
	}
	return err
}

// tints are the colours of masks.
var tints = [][3]byte{{230, 25, 75}, {60, 180, 75}, {0, 130, 200}, {255, 225, 25}, {145, 30, 180}, {70, 240, 240},
	{245, 130, 48}}

// paint tints the pixels of a mask by half, or makes them white.
func paint(m *imaging.RGB, mask seem.Mask, tint [3]byte, half bool) {
	for _, px := range mask.Pixels() {
		at := m.Pix[(px.Y*m.W+px.X)*3:][:3]
		for c := range at {
			if half {
				at[c] = byte((int(at[c]) + int(tint[c])) / 2)
			} else {
				at[c] = 255
			}
		}
	}
}

// dots marks clicks.
func dots(m *imaging.RGB, clicks []seem.Pixel, colour [3]byte) {
	for _, px := range clicks {
		for _, at := range seem.Click(px, m.H, m.W) {
			copy(m.Pix[(at.Y*m.W+at.X)*3:], colour[:])
		}
	}
}
