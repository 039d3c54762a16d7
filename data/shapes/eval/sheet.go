package eval

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"github.com/gollava/gollava/internal/atomicfile"
)

// WriteSheet writes rows of images as one PNG on grey: a contact sheet. Every pixel becomes zoom×zoom pixels. Columns
// are as wide and rows as high as their largest image; a nil image leaves its place empty.
func WriteSheet(path string, zoom int, rows [][]image.Image) error {
	const gap = 4
	var widths, heights []int // enlarged
	for j, row := range rows {
		heights = append(heights, 0)
		for i, img := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if img != nil {
				widths[i] = max(widths[i], zoom*img.Bounds().Dx())
				heights[j] = max(heights[j], zoom*img.Bounds().Dy())
			}
		}
	}
	size := func(parts []int) int {
		n := gap
		for _, p := range parts {
			n += p + gap
		}
		return n
	}
	all := image.NewRGBA(image.Rect(0, 0, size(widths), size(heights)))
	draw.Draw(all, all.Rect, image.NewUniform(color.Gray{Y: 90}), image.Point{}, draw.Src)
	for j, row := range rows {
		for i, img := range row {
			if img == nil {
				continue
			}
			b, left, top := img.Bounds(), size(widths[:i]), size(heights[:j])
			for y := range zoom * b.Dy() {
				for x := range zoom * b.Dx() {
					all.Set(left+x, top+y, img.At(b.Min.X+x/zoom, b.Min.Y+y/zoom))
				}
			}
		}
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		e := png.Encoder{CompressionLevel: png.BestCompression}
		return e.Encode(w, all)
	})
}
