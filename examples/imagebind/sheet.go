package main

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"slices"

	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/vit/imagebind"
)

// sheet writes what sounds, and then depth maps, find among the texts of 100 scenes, which no training paired them
// with. A row is the spectrogram or the depth map, its own picture, and the pictures that the five nearest texts
// describe, nearest first; the right one has a green frame.
func (b *binder) sheet(path string) error {
	const gallery, queries, nearest = 100, 4, 5
	var rows [][]image.Image
	for objects := 1; objects <= 2; objects++ {
		scenes := b.gallery(gallery, objects)
		texts, err := b.embed(imagebind.Text, scenes)
		if err != nil {
			return err
		}
		for _, kind := range []imagebind.Modality{imagebind.Audio, imagebind.Depth} {
			asked := scenes[:queries]
			z, err := b.embed(kind, asked)
			if err != nil {
				return err
			}
			x, err := b.senses(kind, asked)
			if err != nil {
				return err
			}
			h, w := x.Dim(2), x.Dim(3)
			scores := z.MatMulT(texts).Data() // [queries, gallery]
			for i, s := range asked {
				order := make([]int, gallery)
				for j := range order {
					order[j] = j
				}
				like := scores[i*gallery : (i+1)*gallery]
				slices.SortStableFunc(order, func(j, k int) int { return cmp.Compare(like[k], like[j]) })
				row := []image.Image{grey(x.Data()[i*h*w:(i+1)*h*w], w, kind == imagebind.Audio), s.Image()}
				for _, j := range order[:nearest] {
					row = append(row, framed(scenes[j].Image(), j == i))
				}
				rows = append(rows, row)
			}
		}
	}
	return eval.WriteSheet(path, 2, rows)
}

// grey draws values in rows of width w, the least black and the largest white; flipped, the first row is at the bottom.
func grey(x []float32, w int, flipped bool) image.Image {
	least, most := slices.Min(x), slices.Max(x)
	h := len(x) / w
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i, v := range x {
		y := i / w
		if flipped {
			y = h - 1 - y
		}
		m.SetGray(i%w, y, color.Gray{Y: uint8(255 * (v - least) / max(most-least, 1e-6))})
	}
	return m
}

// framed is an image with a frame of two pixels around it, green or light.
func framed(img image.Image, right bool) image.Image {
	c := color.RGBA{225, 225, 225, 255}
	if right {
		c = color.RGBA{0, 160, 60, 255}
	}
	b := img.Bounds()
	m := image.NewRGBA(b.Inset(-2))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	draw.Draw(m, b, img, b.Min, draw.Src)
	return m
}
