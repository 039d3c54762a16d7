package data

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/imaging"
)

// Image is a picture of a batch, ready for the encoder.
type Image struct {
	Name   string         // as the record has it
	Size   imaging.Size   // as it came
	Pixels imaging.Pixels // its views; none where the Loader was told not to decode
}

// Batch is what a model learns from: flat, row-major [B, T].
type Batch struct {
	N, Epoch  int // the number of the batch since the beginning, and the epoch that it belongs to
	B, T      int
	IDs       []int32   // [B·T], ImageID where a picture's feature goes (or, as Collate leaves it, where a picture goes)
	Labels    []int32   // [B·T], Ignore where nothing is learnt
	Mask      []int32   // [B·T], 0 at padding
	Positions []int32   // [B·T], 0, 1, 2, … along what is not padding, 0 on padding
	Images    [][]Image // [B], none for text alone: there are no dummies
	Names     []string  // [B], ids of the samples
	Records   []int     // [B], their numbers in the set
}

// Pixels joins the views of all pictures of the batch, in order: [N, 3, H, W]. It panics where they differ in size.
func (b *Batch) Pixels() imaging.Pixels {
	var out imaging.Pixels
	for _, row := range b.Images {
		for _, m := range row {
			if out.N > 0 && (m.Pixels.H != out.H || m.Pixels.W != out.W) {
				panic(fmt.Sprintf("data: Pixels: views of %d×%d and of %d×%d pixels in one batch", out.W, out.H, m.Pixels.W, m.Pixels.H))
			}
			out.H, out.W = m.Pixels.H, m.Pixels.W
			out.N += m.Pixels.N
			out.Data = append(out.Data, m.Pixels.Data...)
		}
	}
	return out
}

// Sizes lists the sizes of all pictures of the batch, in order.
func (b *Batch) Sizes() []imaging.Size {
	var out []imaging.Size
	for _, row := range b.Images {
		for _, m := range row {
			out = append(out, m.Size)
		}
	}
	return out
}

// Supervised counts the labels that something is learnt from.
func (b *Batch) Supervised() int {
	n := 0
	for _, l := range b.Labels {
		if l != Ignore {
			n++
		}
	}
	return n
}

// CollateOptions say how rows of different lengths are brought together.
type CollateOptions struct {
	Pad       int32 // the id that fills up
	MaxLength int   // rows are cut to it; 0: not at all
	Left      bool  // pad at the left
	// MaskPad masks every token equal to Pad, as LLaVA's collator does: where Pad is the unknown token, that drops genuine ones from
	// attention.
	MaskPad bool
}

// Collate pads rows of token ids and their labels to the longest. It panics where labels and ids differ in length.
func Collate(ids, labels [][]int32, o CollateOptions) Batch {
	b := Batch{B: len(ids)}
	if len(labels) != len(ids) {
		panic(fmt.Sprintf("data: Collate: %d rows of ids, %d of labels", len(ids), len(labels)))
	}
	cut := func(row []int32) []int32 {
		if o.MaxLength > 0 && len(row) > o.MaxLength {
			return row[:o.MaxLength]
		}
		return row
	}
	for i, row := range ids {
		if len(row) != len(labels[i]) {
			panic(fmt.Sprintf("data: Collate: row %d has %d ids and %d labels", i, len(row), len(labels[i])))
		}
		b.T = max(b.T, len(cut(row)))
	}
	b.IDs, b.Labels = slices.Repeat([]int32{o.Pad}, b.B*b.T), slices.Repeat([]int32{Ignore}, b.B*b.T)
	b.Mask, b.Positions = make([]int32, b.B*b.T), make([]int32, b.B*b.T)
	for i, row := range ids {
		row = cut(row)
		at := i * b.T
		if o.Left {
			at += b.T - len(row)
		}
		copy(b.IDs[at:], row)
		copy(b.Labels[at:], cut(labels[i]))
		for j, id := range row {
			b.Positions[at+j] = int32(j)
			if !o.MaskPad || id != o.Pad {
				b.Mask[at+j] = 1
			}
		}
	}
	return b
}
