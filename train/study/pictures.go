package study

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/tensor"
)

// card is an unseen picture with a question, and what the model says.
type card struct {
	scene                   shapes.Scene
	question, answer, truth string
	gaze                    gaze
}

// sheetFamilies are the questions of the contact sheet.
var sheetFamilies = []shapes.Family{shapes.PopeAdversarial, shapes.ColorOf, shapes.ShapeOf, shapes.Where,
	shapes.CountAll, shapes.CountColor, shapes.LeftOf, shapes.Above,
	shapes.SizeOf, shapes.WhatIsAt, shapes.ReadWord, shapes.ReadNumber, shapes.Walk, shapes.Where, shapes.Brief,
	shapes.Detail}

// cards asks one question of each kind about pictures of their own, from the end of the test split.
func (j *Study) cards(ctx context.Context, m *connector.VLM) ([]card, error) {
	s := j.Looking(m, nil)
	var all []card
	for i, f := range sheetFamilies {
		if (f == shapes.ReadWord || f == shapes.ReadNumber) && j.World.Signs == 0 {
			f = shapes.ColorOf
		}
		scene, q := j.World.Ask(shapes.Test, f, 1_000_000+i)
		e := examOf(j.World, f, eval.Set{{Question: q, Scene: scene}})
		e.Pool.Look(m.Vision, j.Selects)
		ids, err := s.generate(ctx, e, 0, 1, 96)
		if err != nil {
			return nil, err
		}
		prompt := s.vocabulary.Prompt(q.Text, s.places)
		b := connector.Batch{IDs: tensor.Ints(prompt, 1, len(prompt)), Features: e.Pool.features.NoGrad()}
		all = append(all, card{scene, q.Text, s.vocabulary.decode(ids[0]), q.Answer, lookedAt(m, b)})
	}
	return all, nil
}

// Sizes of a contact sheet in pixels.
const (
	cardWidth   = 340
	cardPicture = 144
	cardMargin  = 12
	lineHeight  = 16
	perRow      = 4
)

var (
	ink   = color.RGBA{20, 20, 30, 255}
	good  = color.RGBA{0, 110, 40, 255}
	bad   = color.RGBA{180, 20, 20, 255}
	faint = color.RGBA{120, 120, 130, 255}
)

// sheet draws the cards: each picture enlarged, beside it where the model looked when it began to answer, below
// question, answer and, where it is wrong, the truth. A row is as high as its longest text needs.
func sheet(cards []card) image.Image {
	face := font.DefaultCache.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, font.Length(13))
	texts := make([][]line, len(cards))
	var tops []int // of the rows
	width, height := perRow*cardWidth, 0
	for i, c := range cards {
		if i%perRow == 0 {
			tops = append(tops, height)
		}
		texts[i] = c.lines(face)
		height = max(height, tops[i/perRow]+cardPicture+len(texts[i])*lineHeight+2*cardMargin)
	}
	corner := func(i int) (x, y int) { return i%perRow*cardWidth + cardMargin, tops[i/perRow] + cardMargin }

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(width), vg.Length(height)), vgimg.UseDPI(72)) // a point is a pixel
	for i := range cards {
		x, y := corner(i)
		for k, l := range texts[i] {
			base := y + cardPicture + (k+1)*lineHeight
			canvas.SetColor(l.color)
			canvas.FillString(face, vg.Point{X: vg.Length(x), Y: vg.Length(height - base)}, l.text)
		}
	}
	m := canvas.Image()
	for i, c := range cards {
		x, y := corner(i)
		frame := image.Rect(x, y, x+cardPicture, y+cardPicture)
		big := enlarge(c.scene.Image(), cardPicture)
		draw.Draw(m, frame, big, image.Point{}, draw.Src)
		frame = frame.Add(image.Pt(cardPicture+cardMargin, 0))
		draw.Draw(m, frame, overlay(big, c.gaze.weights), image.Point{}, draw.Src)
	}
	return m
}

// line is one line of a card's text.
type line struct {
	color color.Color
	text  string
}

// lines is the text of a card, broken to its width.
func (c card) lines(face font.Face) (lines []line) {
	add := func(ink color.Color, text string) {
		for _, part := range wrap(text, cardWidth-2*cardMargin, face) {
			lines = append(lines, line{ink, part})
		}
	}
	add(ink, "Q: "+c.question)
	if c.answer == c.truth {
		add(good, "A: "+c.answer)
		return lines
	}
	add(bad, "A: "+c.answer)
	add(faint, "truth: "+c.truth)
	return lines
}

// wrap breaks a text where it gets wider than so many pixels.
func wrap(text string, width int, face font.Face) (lines []string) {
	current := ""
	for w := range strings.FieldsSeq(text) {
		next := strings.TrimSpace(current + " " + w)
		if current != "" && float64(face.Width(next)) > float64(width) {
			lines = append(lines, current)
			next = w
		}
		current = next
	}
	return append(lines, current)
}

// enlarge makes a picture n×n pixels by repeating pixels.
func enlarge(m *image.RGBA, n int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, n, n))
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	for y := range n {
		for x := range n {
			out.SetRGBA(x, y, m.RGBAAt(x*w/n, y*h/n))
		}
	}
	return out
}

// overlay darkens a picture where a head does not look: weights are those of a square grid of tokens, scaled so that
// the largest stays bright.
func overlay(m *image.RGBA, weights []float64) *image.RGBA {
	n, g := m.Bounds().Dx(), 1
	for g*g < len(weights) {
		g++
	}
	top := sharpest(weights)
	out := image.NewRGBA(m.Bounds())
	for y := range n {
		for x := range n {
			c := m.RGBAAt(x, y)
			if i := y*g/n*g + x*g/n; i < len(weights) && top > 0 {
				k := 0.2 + 0.8*weights[i]/top
				c = color.RGBA{uint8(float64(c.R) * k), uint8(float64(c.G) * k), uint8(float64(c.B) * k), 255}
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}

// drawSheet writes contact-sheet.png.
func (j *Study) drawSheet(ctx context.Context, m *connector.VLM) error {
	cards, err := j.cards(ctx, m)
	if err != nil {
		return err
	}
	picture := sheet(cards)
	path := filepath.Join(j.Flags.Out, "contact-sheet.png")
	if err := atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, picture) }); err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	return nil
}
