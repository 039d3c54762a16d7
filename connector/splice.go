package connector

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// Sample is text with places for pictures, and the pictures.
type Sample struct {
	Name     string           // for messages
	IDs      []int32          // data.ImageID where a picture goes
	Labels   []int32          // as long, tensor.IgnoreIndex where nothing is learnt; nil: nothing is
	Pixels   []imaging.Pixels // the views of each picture: one, or the base view and the tiles
	Sizes    []imaging.Size   // of the pictures as they came; nil: of the encoder's size
	Features *tensor.Tensor   // [views, P, D], what the tower made of all pictures; instead of Pixels
}

// Splice makes a batch: each picture takes as many places as it has features, in the order of appearance. Samples may have any number of
// pictures, none too; there are no dummies. Rows are cut to the config's MaxLength and padded to the longest, at the left if asked, as
// [VLM.Generate] needs it. The error names the sample whose pictures do not fit its text. Source: LLaVA's prepare_inputs_labels_for_multimodal.
func (m *VLM) Splice(samples []Sample, left bool) (Batch, error) {
	c, v, V := m.config, m.Vision.Config(), m.Language.Config().VocabSize
	var b Batch
	var ids, labels [][]int32
	var pictures []data.Picture
	var pixels []float32
	var features []*tensor.Tensor
	learns := false
	for i, s := range samples {
		b.Names = append(b.Names, s.Name)
		list, err := m.layouts(&s)
		if err != nil {
			return b, fmt.Errorf("splice: %w%s", err, b.name(i))
		}
		places := 0
		for _, id := range s.IDs {
			if id == data.ImageID {
				places++
			} else if id < 0 || int(id) >= V {
				return b, fmt.Errorf("splice: id %d is outside the vocabulary of %d%s", id, V, b.name(i))
			}
		}
		if places != len(list) {
			return b, fmt.Errorf("splice: %d pictures for %d places in the text%s", len(list), places, b.name(i))
		}
		if s.Labels != nil && len(s.Labels) != len(s.IDs) {
			return b, fmt.Errorf("splice: %d labels for %d ids%s", len(s.Labels), len(s.IDs), b.name(i))
		}
		l := s.Labels
		if learns = learns || l != nil; l == nil {
			l = slices.Repeat([]int32{data.Ignore}, len(s.IDs))
		}
		ids, labels = append(ids, s.IDs), append(labels, l)
		for _, l := range list {
			pictures = append(pictures, l.Picture())
		}
		b.Pictures, b.Sizes = append(b.Pictures, len(list)), append(b.Sizes, s.Sizes...)
		for _, x := range s.Pixels {
			pixels = append(pixels, x.Data...)
		}
		if s.Features != nil {
			features = append(features, s.Features)
		}
	}
	p, err := data.Splice(ids, labels, nil, pictures, data.SpliceOptions{MaxLength: c.MaxLength, Left: left})
	if err != nil {
		return b, err
	}
	first := 0
	for i, n := range b.Pictures {
		want := 0
		for _, x := range pictures[first : first+n] {
			want += x.Len()
		}
		if first += n; seen(p.Rows[i]) != want {
			return b, fmt.Errorf("splice: %d positions; tokenizer_model_max_length %d cuts a picture off%s", c.MaxLength+p.Cut[i], c.MaxLength, b.name(i))
		}
	}
	b.IDs, b.Mask, b.Positions = tensor.WrapInts(p.IDs(int32(max(c.PAD, 0))), p.B, p.T), mask(&p), p.Positions
	if learns {
		b.Labels = tensor.WrapInts(p.Labels, p.B, p.T)
	}
	S := v.ImageSize
	switch {
	case len(features) > 0 && len(pixels) > 0:
		return b, fmt.Errorf("splice: some samples bring pixels and some features")
	case len(features) > 0:
		b.Features = tensor.Concat(0, features...)
	case len(pixels) > 0:
		b.Pixels = tensor.Wrap(pixels, len(pixels)/(v.NumChannels*S*S), v.NumChannels, S, S)
	}
	return b, m.Check(b)
}

// layouts are what the sample's pictures become.
func (m *VLM) layouts(s *Sample) ([]Layout, error) {
	v := m.Vision.Config()
	S, D := v.ImageSize, len(m.config.Select.Layers)*v.HiddenSize
	var list []Layout
	add := func(i int) error {
		size, given := imaging.Size{W: S, H: S}, i < len(s.Sizes)
		if given {
			size = s.Sizes[i]
		}
		if size.W > 0 && size.H > 0 {
			list = append(list, m.Connector.Layout(size))
		}
		if len(list) == i || !given && (list[i].Views != 1 || s.Sizes != nil) {
			return fmt.Errorf("picture %d: its size is not given", i)
		}
		return nil
	}
	if s.Features != nil {
		if s.Features.Rank() != 3 || s.Features.Dim(2) != D {
			return nil, fmt.Errorf("features %v: [views, patches, %d] are needed", s.Features.Shape(), D)
		}
		views := 0
		for i := 0; views < s.Features.Dim(0); i++ {
			if err := add(i); err != nil {
				return nil, err
			}
			views += list[i].Views
		}
		if views != s.Features.Dim(0) {
			return nil, fmt.Errorf("features of %d views for pictures with %d", s.Features.Dim(0), views)
		}
		return list, nil
	}
	for i, x := range s.Pixels {
		if x.W != S || x.H != S || len(x.Data) != x.N*v.NumChannels*S*S {
			return nil, fmt.Errorf("picture %d: %d views of %d×%d pixels, %d numbers; the tower needs %d×%d", i, x.N, x.W, x.H, len(x.Data), S, S)
		}
		if err := add(i); err != nil {
			return nil, err
		}
		if x.N != list[i].Views {
			return nil, fmt.Errorf("picture %d: %d views instead of %d", i, x.N, list[i].Views)
		}
	}
	return list, nil
}

// seen counts a row's positions that hold features.
func seen(row []data.Piece) int {
	n := 0
	for _, x := range row {
		if x.Kind == data.Patches || x.Kind == data.Newline {
			n += x.Count
		}
	}
	return n
}

// mask is 1 at what is not padding.
func mask(p *data.Plan) []int32 {
	out := make([]int32, 0, p.B*p.T)
	for _, row := range p.Rows {
		for _, x := range row {
			v := int32(1)
			if x.Kind == data.Padding {
				v = 0
			}
			out = append(out, slices.Repeat([]int32{v}, x.Count)...)
		}
	}
	return out
}

// Picture is l as package data plans rows.
func (l Layout) Picture() data.Picture {
	return data.Picture{Views: l.Views, Pieces: []data.Piece{{Kind: data.Patches, Count: l.Tokens}}}
}
