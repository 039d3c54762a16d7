package datacase

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// PieceKind says what a piece of a row is made of.
type PieceKind int

// Rows are made of these.
const (
	Text    PieceKind = iota // embedded tokens
	Patches                  // features of a view
	Newline                  // the learned end of a row of features
	Padding
)

func (k PieceKind) String() string { return [...]string{"text", "patches", "newline", "padding"}[k] }

// Piece is a run of positions in a row.
type Piece struct {
	Kind  PieceKind
	IDs   []int32 // of Text
	View  int     // of Patches: counted within the picture, or in a Plan through the batch
	First int     // of Patches: the first feature of the run
	Count int     // positions
}

// Picture is what the language model sees of one picture.
type Picture struct {
	Views  int // how many views the encoder gets
	Pieces []Piece
}

// Len is the number of positions that a picture takes.
func (p Picture) Len() int {
	n := 0
	for _, x := range p.Pieces {
		n += x.Count
	}
	return n
}

// add appends a run of features, joining it to the last where it goes on there.
func (p *Picture) add(view, first, count int) {
	if n := len(p.Pieces); n > 0 {
		if l := &p.Pieces[n-1]; l.Kind == Patches && l.View == view && l.First+l.Count == first {
			l.Count += count
			return
		}
	}
	p.Pieces = append(p.Pieces, Piece{Kind: Patches, View: view, First: first, Count: count})
}

// Flat is a picture whose views follow each other, each with the given number of features: LLaVA-1.5 with one view of 576.
func Flat(views, features int) Picture {
	p := Picture{Views: views}
	for v := range views {
		p.add(v, 0, features)
	}
	return p
}

// Tiled is a picture as LLaVA-1.6 shows it: the base view, then the tiles of the layout laid together row by row. With unpad what is
// black around the picture is left out, and a newline ends each row ("spatial_unpad"; else "spatial"). a must be what made l. Where a
// picture has no tiles, only its base view is there, with a newline if unpad.
// Source: LLaVA's prepare_inputs_labels_for_multimodal.
func Tiled(a imaging.AnyRes, l imaging.Layout, unpad bool) Picture {
	s := a.Side
	p := Picture{Views: 1 + l.Cols*l.Rows}
	p.add(0, 0, s*s)
	if l.Cols*l.Rows == 0 {
		if unpad {
			p.Pieces = append(p.Pieces, Piece{Kind: Newline, Count: 1})
		}
		return p
	}
	minX, maxX, minY, maxY := 0, l.Cols*s, 0, l.Rows*s
	if unpad {
		minX, maxX, minY, maxY = l.Kept.Min.X, l.Kept.Max.X, l.Kept.Min.Y, l.Kept.Max.Y
	}
	for y := minY; y < maxY; y++ {
		for x := minX; x < maxX; {
			end := min(maxX, (x/s+1)*s)
			p.add(1+y/s*l.Cols+x/s, y%s*s+x%s, end-x)
			x = end
		}
		if unpad {
			p.Pieces = append(p.Pieces, Piece{Kind: Newline, Count: 1})
		}
	}
	return p
}

// SpliceOptions say how rows are cut and padded.
type SpliceOptions struct {
	MaxLength int  // rows are cut to it; 0: not at all
	Left      bool // pad at the left, as for generation in batches
	// Dummies is LLaVA's own convention: a row without a picture has one in the batch all the same, which is passed over, and
	// pictures that are left over at the end do not matter.
	Dummies bool
}

// Plan is how the rows of a batch are put together from text and pictures. Its slices are row-major [B, T].
type Plan struct {
	Unchanged bool // nothing to splice: a step of generation, or no picture at all. All else is empty then.
	B, T      int
	Rows      [][]Piece
	Labels    []int32 // nil where no labels came
	Mask      []int32 // 0 at padding, and where the given mask was false; nil where no mask came
	Positions []int32 // 0, 1, 2, … along what is not padding, 0 on padding
	Views     int     // of all pictures, whether their features are used or not
	Cut       []int   // of each row: positions lost to MaxLength
}

// Splice puts pictures in the place of each chat.ImageIndex. ids holds B rows, which may differ in length; labels and mask may be nil, and have
// the rows' lengths where they are not. Where mask is false a token is taken out first. Features have the label tensor.IgnoreIndex. The error says
// which row has more or fewer pictures than it has places. It panics where the rows of ids, labels and mask differ in number or length.
// Source: LLaVA's prepare_inputs_labels_for_multimodal.
func Splice(ids, labels [][]int32, mask [][]bool, pictures []Picture, o SpliceOptions) (Plan, error) {
	for b, row := range ids {
		if labels != nil && (len(labels) != len(ids) || len(labels[b]) != len(row)) || mask != nil && (len(mask) != len(ids) || len(mask[b]) != len(row)) {
			panic(fmt.Sprintf("data: Splice: row %d has %d ids; labels and mask need as many", b, len(row)))
		}
	}
	steps := len(ids) > 0 && !slices.ContainsFunc(ids, func(r []int32) bool { return len(r) != 1 })
	if o.Dummies && (len(pictures) == 0 || steps) {
		return Plan{Unchanged: true}, nil
	}
	p := Plan{B: len(ids), Cut: make([]int, len(ids))}
	rowLabels := make([][]int32, len(ids))
	next := 0
	for b, row := range ids {
		used := next
		for i, id := range row {
			if mask != nil && !mask[b][i] {
				continue
			}
			if id != chat.ImageIndex {
				p.text(b, id)
				l := int32(tensor.IgnoreIndex)
				if labels != nil {
					l = labels[b][i]
				}
				rowLabels[b] = append(rowLabels[b], l)
				continue
			}
			if next == len(pictures) {
				return Plan{}, fmt.Errorf("data: splice: row %d has a place for picture %d of the batch, which has %d", b, next, len(pictures))
			}
			p.picture(b, pictures[next])
			rowLabels[b] = append(rowLabels[b], slices.Repeat([]int32{tensor.IgnoreIndex}, pictures[next].Len())...)
			next++
		}
		if o.Dummies && next == used && next < len(pictures) {
			p.Views += pictures[next].Views
			next++
		}
		if over := len(rowLabels[b]) - o.MaxLength; o.MaxLength > 0 && over > 0 {
			p.Cut[b] = over
			p.Rows[b] = head(p.Rows[b], o.MaxLength)
			rowLabels[b] = rowLabels[b][:o.MaxLength]
		}
		p.T = max(p.T, len(rowLabels[b]))
	}
	if !o.Dummies && next < len(pictures) {
		return Plan{}, fmt.Errorf("data: splice: %d pictures, but places for %d: does every sample have one <image> for each picture?", len(pictures), next)
	}
	p.pad(rowLabels, o.Left)
	if labels == nil {
		p.Labels = nil
	}
	if mask == nil {
		p.Mask = nil
	}
	return p, nil
}

func (p *Plan) row(b int) *[]Piece {
	for len(p.Rows) <= b {
		p.Rows = append(p.Rows, nil)
	}
	return &p.Rows[b]
}

func (p *Plan) text(b int, id int32) {
	row := p.row(b)
	if n := len(*row); n > 0 && (*row)[n-1].Kind == Text {
		x := &(*row)[n-1]
		x.IDs, x.Count = append(x.IDs, id), x.Count+1
		return
	}
	*row = append(*row, Piece{Kind: Text, IDs: []int32{id}, Count: 1})
}

// picture appends a picture, its views counted through the batch.
func (p *Plan) picture(b int, m Picture) {
	row := p.row(b)
	for _, x := range m.Pieces {
		if x.Kind == Patches {
			x.View += p.Views
		}
		*row = append(*row, x)
	}
	p.Views += m.Views
}

// head cuts a row to n positions.
func head(row []Piece, n int) []Piece {
	for i := range row {
		if x := &row[i]; x.Count >= n {
			if x.Count = n; x.Kind == Text {
				x.IDs = x.IDs[:n]
			}
			return row[:i+1]
		}
		n -= row[i].Count
	}
	return row
}

// pad brings all rows to the length T.
func (p *Plan) pad(labels [][]int32, left bool) {
	p.Labels = slices.Repeat([]int32{tensor.IgnoreIndex}, p.B*p.T)
	p.Mask, p.Positions = make([]int32, p.B*p.T), make([]int32, p.B*p.T)
	for b := range p.B {
		row, n := p.row(b), len(labels[b])
		at := b * p.T
		pad := Piece{Kind: Padding, Count: p.T - n}
		switch {
		case pad.Count == 0:
		case left:
			at += pad.Count
			*row = slices.Insert(*row, 0, pad)
		default:
			*row = append(*row, pad)
		}
		copy(p.Labels[at:], labels[b])
		for i := range n {
			p.Mask[at+i], p.Positions[at+i] = 1, int32(i)
		}
	}
}

// IDs returns the token of each position [B·T]: ImageID where a feature or a newline goes, pad at padding.
func (p *Plan) IDs(pad int32) []int32 {
	out := make([]int32, 0, p.B*p.T)
	for _, row := range p.Rows {
		for _, x := range row {
			switch x.Kind {
			case Text:
				out = append(out, x.IDs...)
			case Padding:
				out = append(out, slices.Repeat([]int32{pad}, x.Count)...)
			default:
				out = append(out, slices.Repeat([]int32{chat.ImageIndex}, x.Count)...)
			}
		}
	}
	return out
}
