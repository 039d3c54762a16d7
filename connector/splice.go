package connector

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// Sample is tokenized text with places for images, and the images: what a model gets of a record of a data set
// ([data.Sample], which has text and the names of files), and also of a question in a chat, which is no record.
// [Assistant.Batches] makes the one of the other.
type Sample struct {
	Name   string  // for messages
	IDs    []int32 // chat.ImageIndex where an image goes
	Labels []int32 // as many, tensor.IgnoreIndex where nothing is learnt; nil: nowhere is anything learnt
	Images []Image // in the order of their places

	Instruction []int32 // for an [Instructed] connector, in its own vocabulary; nil: none
}

// Image is an image as the encoder gets it, or what the encoder made of it.
type Image struct {
	Size     imaging.Size   // as it came; zero: one view, of the encoder's size
	Pixels   imaging.Pixels // its views, [Layout.Views, 3 or with two towers 6, S, S]; or
	Features *tensor.Tensor // float32 [Layout.Views, P, D], of these views

	Frames  int  // of a video, whose views they are; 0: an image
	Several bool // as [Media] has it; Splice sets it where a sample has several images
}

// Splice makes a batch of samples. Each image takes as many positions as it has tokens, in the order of appearance; a
// sample may have any number of images, none too. Rows are cut to the config's MaxLength and padded to the longest, at
// the left if asked, as [VLM.Generate] needs it. The error names the sample whose images do not fit its text. Source:
// LLaVA's prepare_inputs_labels_for_multimodal.
func (m *VLM) Splice(samples []Sample, left bool) (Batch, error) {
	rows := make([]row, len(samples))
	for i, s := range samples {
		var err error
		if rows[i], err = m.row(s, m.config.MaxLength); err != nil {
			name := s.Name
			if name == "" {
				name = fmt.Sprintf("number %d", i)
			}
			if f := (*data.Fault)(nil); errors.As(err, &f) { // of a data set's record, which this is not
				err = errors.New(f.Note)
			}
			return Batch{}, fmt.Errorf("splice: %w (sample %s)", err, name)
		}
	}
	return m.join(rows, left)
}

// row is a sample on its way into a batch: ids and labels with a position for each token of an image.
type row struct {
	name        string
	ids, labels []int32 // labels may be nil
	images      []Image
	instruction []int32
	supervised  int // positions that the loss averages over
}

// row makes room for the images of a sample, and cuts it to max positions (0: not at all). An error is a *data.Fault
// where the sample is to blame.
func (m *VLM) row(s Sample, max int) (row, error) {
	V := m.Language.Config().VocabSize
	r := row{name: s.Name, images: m.together(s.Images), instruction: s.Instruction}
	if s.Labels != nil && len(s.Labels) != len(s.IDs) {
		return r, fmt.Errorf("%d labels for %d ids", len(s.Labels), len(s.IDs))
	}
	if n := count(s.IDs, chat.ImageIndex); n != len(s.Images) {
		return r, data.NewFault(data.ImageTokenCount, "%d images for %d places in the text", len(s.Images), n)
	}
	images := r.images
	last, what := 0, "an image" // the end of the last one
	for i, id := range s.IDs {
		label := int32(tensor.IgnoreIndex)
		if s.Labels != nil {
			label = s.Labels[i]
		}
		n := 1
		if id == chat.ImageIndex {
			l, err := m.layout(images[0])
			if err != nil {
				return r, fmt.Errorf("image %d: %w", len(s.Images)-len(images), err)
			}
			if what = "an image"; images[0].Frames > 0 {
				what = "a video"
			}
			n, label, images = l.Tokens, tensor.IgnoreIndex, images[1:]
			last = len(r.ids) + n
		} else if id < 0 || int(id) >= V {
			return r, fmt.Errorf("id %d is outside the vocabulary of %d", id, V)
		}
		for range n {
			r.ids, r.labels = append(r.ids, id), append(r.labels, label)
		}
	}
	if max > 0 && len(r.ids) > max {
		if last > max {
			return r, data.NewFault(data.ImageCutOff, "%d positions; MaxLength %d cuts %s off", len(r.ids), max, what)
		}
		r.ids, r.labels = r.ids[:max], r.labels[:max]
	}
	if m.encoderDecoder() != nil {
		r.apart()
		return r, nil
	}
	if r.supervised = supervised(r.labels); s.Labels == nil {
		r.labels = nil
	}
	return r, nil
}

// layout is what an image becomes. The error says what is wrong with its pixels or features.
func (m *VLM) layout(x Image) (Layout, error) {
	if m.Vision == nil {
		return Layout{}, errTextOnly
	}
	channels, S, D := m.encodes()
	size := x.Size
	if size == (imaging.Size{}) {
		size = imaging.Size{W: S, H: S}
	}
	if size.W <= 0 || size.H <= 0 {
		return Layout{}, fmt.Errorf("its size is %d×%d", size.W, size.H)
	}
	l, err := m.Layout(Media{Size: size, Frames: x.Frames, Several: x.Several})
	if err != nil {
		return l, err
	}
	if x.Size == (imaging.Size{}) && l.Views != 1 && x.Frames == 0 {
		return l, fmt.Errorf("its size is not given")
	}
	views := x.Pixels.N
	if x.Features != nil {
		if x.Features.Rank() != 3 || x.Features.Dim(2) != D {
			return l, fmt.Errorf("features %v; [views, patches, %d] are needed", x.Features.Shape(), D)
		}
		views = x.Features.Dim(0)
	} else if p := x.Pixels; p.W != S || p.H != S || len(p.Data) != p.N*channels*S*S {
		return l, fmt.Errorf("%d views of %d×%d pixels, %d numbers; the encoder needs %d×%d of %d channels",
			p.N, p.W, p.H, len(p.Data), S, S, channels)
	}
	if views != l.Views {
		return l, fmt.Errorf("%d views instead of %d", views, l.Views)
	}
	return l, nil
}

// join pads rows to the longest. It returns an error if some rows bring pixels and some features.
func (m *VLM) join(rows []row, left bool) (Batch, error) {
	channels, S, _ := m.encodes()
	b := Batch{}
	B, T := len(rows), 0
	learns, plain := false, true
	for _, r := range rows {
		T, learns = max(T, len(r.ids)), learns || r.labels != nil
	}
	ids := slices.Repeat([]int32{int32(max(m.config.PAD, 0))}, B*T)
	L, apart := T, m.encoderDecoder() != nil
	if apart {
		L = 1
		for _, r := range rows {
			L = max(L, len(r.labels))
		}
	}
	labels := slices.Repeat([]int32{tensor.IgnoreIndex}, B*L)
	b.Mask, b.Positions = make([]int32, B*T), make([]int32, B*T)
	var pixels, features []float32
	var shape []int // of features
	for i, r := range rows {
		at := i * T
		if left {
			at += T - len(r.ids)
		}
		copy(ids[at:], r.ids)
		if apart {
			copy(labels[i*L:], r.labels)
		} else {
			copy(labels[at:], r.labels)
		}
		for t := range r.ids {
			b.Mask[at+t], b.Positions[at+t] = 1, int32(t)
		}
		for _, x := range r.images {
			size := x.Size
			if size == (imaging.Size{}) {
				size = imaging.Size{W: S, H: S}
			}
			b.Sizes = append(b.Sizes, size)
			b.Media = append(b.Media, Media{Size: size, Frames: x.Frames, Several: x.Several})
			plain = plain && x.Frames == 0 && !x.Several
			pixels = append(pixels, x.Pixels.Data...)
			if x.Features != nil {
				features, shape = append(features, x.Features.Host().Data()...), x.Features.Shape()
			}
		}
		b.Pictures, b.Names = append(b.Pictures, len(r.images)), append(b.Names, r.name)
		b.supervised += r.supervised
		if r.instruction != nil || b.Instructions != nil {
			b.Instructions = append(b.Instructions, make([][]int32, i-len(b.Instructions))...)
			b.Instructions = append(b.Instructions, r.instruction)
		}
	}
	if plain { // Sizes say it all
		b.Media = nil
	}
	b.IDs = tensor.WrapInts(ids, B, T)
	if learns {
		b.Labels = tensor.WrapInts(labels, B, L)
	}
	switch {
	case len(features) > 0 && len(pixels) > 0:
		return b, fmt.Errorf("splice: some images bring pixels and some features")
	case len(features) > 0:
		b.Features = tensor.Wrap(features, len(features)/(shape[1]*shape[2]), shape[1], shape[2])
	case len(pixels) > 0:
		b.Pixels = tensor.Wrap(pixels, len(pixels)/(channels*S*S), channels, S, S)
	}
	return b, nil
}

// supervised counts the labels that the loss averages over: those that follow another position.
func supervised(labels []int32) int {
	if len(labels) == 0 {
		return 0
	}
	return len(labels) - 1 - count(labels[1:], tensor.IgnoreIndex)
}

func count(s []int32, v int32) int {
	n := 0
	for _, x := range s {
		if x == v {
			n++
		}
	}
	return n
}
