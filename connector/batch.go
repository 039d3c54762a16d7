package connector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Batch is what the model learns from or continues. In IDs, every place that a feature takes holds a negative number
// or the config's image id; the features of all pictures fill these places in order.
// Its tensors are only read, so that goroutines may share it.
type Batch struct {
	IDs       *tensor.Tensor // int32 [B, T]
	Labels    *tensor.Tensor // int32 [B, T], tensor.IgnoreIndex where nothing is learnt; nil: no loss
	Mask      []int32        // [B·T], 0 at padding (in one piece at either side); nil: none
	Positions []int32        // [B·T]; nil: real tokens count from 0

	Pixels   *tensor.Tensor // [V, 3, S, S] (6 channels for two encoders), the views of all pictures in order; or
	Features *tensor.Tensor // [V, P, D], what the tower made of them, from a cache; both nil: text only
	Sizes    []imaging.Size // of the pictures as they came; nil: each is one view of the encoder's size
	Media    []Media        // what Sizes cannot say of them: videos, and images among others; nil: images of Sizes
	Pictures []int          // [B], how many each sample has; nil: not known, and only their sum is checked
	Names    []string       // of the samples, for messages; may be nil

	// Instructions, [B], are what an [Instructed] connector reads with the pictures of each sample, in its own
	// vocabulary; nil: none.
	Instructions [][]int32

	supervised int // counted by Splice; 0: not counted
}

// In is b with its tensors in scope s, as package train wants it: see [tensor.Tensor.In].
func (b Batch) In(s *tensor.Arena) Batch {
	for _, t := range []**tensor.Tensor{&b.IDs, &b.Labels, &b.Pixels, &b.Features} {
		if *t != nil {
			*t = (*t).In(s)
		}
	}
	return b
}

// Supervised is the number of positions that the loss averages over.
func (b Batch) Supervised() int {
	if b.supervised > 0 || b.Labels == nil {
		return b.supervised
	}
	n := 0
	B, T := b.Labels.Dims2()
	for i := range B {
		n += supervised(b.Labels.Host().IntData()[i*T : (i+1)*T])
	}
	return n
}

// Samples are the names of the samples, which a trainer's messages tell.
func (b Batch) Samples() []string { return b.Names }

// Reaches reports whether the loss of b can depend on a parameter: of a batch of text alone only on the language
// model's, of one without videos not on what pools their frames (LLaVA-NeXT-Video's vision_resampler), of videos alone
// not surely on the end of a row of an image's tiles (image_newline).
func (b Batch) Reaches(parameter string) bool {
	switch {
	case strings.HasPrefix(parameter, "language_model."):
		return true
	case strings.HasPrefix(parameter, "vision_resampler."):
		return slices.ContainsFunc(b.Media, func(m Media) bool { return m.Frames > 0 })
	case parameter == "image_newline" && len(b.Media) > 0:
		return slices.ContainsFunc(b.Media, func(m Media) bool { return m.Frames == 0 })
	}
	return b.Pixels != nil || b.Features != nil
}

// Tokens maps pictures to what the language model sees of them, one row each feature: [N, C].
func (m *VLM) Tokens(b Batch) *tensor.Tensor {
	x := b.Features
	if x == nil {
		x = m.Features(b.Pixels, m.media(b)) // [V, P, D]
	}
	c := m.Connector
	if i, ok := c.(Instructed); ok {
		c = i.Instruct(m.instructions(b))
	}
	return forward(c, x, m.media(b))
}

// instructions are those of the samples, one for each view; nil: none.
func (m *VLM) instructions(b Batch) (list [][]int32) {
	if b.Instructions == nil {
		return nil
	}
	media := m.media(b)
	for row, x := range b.Instructions {
		pictures := 1
		if b.Pictures != nil {
			pictures = b.Pictures[row]
		}
		for range min(pictures, len(media)) {
			l, _ := m.Layout(media[0]) // Check has seen them
			list = append(list, slices.Repeat([][]int32{x}, l.Views)...)
			media = media[1:]
		}
	}
	return list
}

// Embed puts the pictures' tokens among the text's: [B, T, C]. It panics with what [VLM.Check] says.
func (m *VLM) Embed(b Batch) *tensor.Tensor {
	if err := m.Check(b); err != nil {
		tensor.Fail("Embed", "%v", err)
	}
	B, T := b.IDs.Dims2()
	var places []int32
	text := make([]int32, B*T)
	for i, id := range b.IDs.Host().IntData() {
		if m.config.isPlace(id) {
			places = append(places, int32(i))
		} else {
			text[i] = id
		}
	}
	if _, ok := m.Connector.(Attended); ok {
		return m.Language.Embed(m.marked(b))
	}
	x := m.Language.Embed(tensor.WrapInts(text, B, T).In(b.IDs.Arena())) // [B, T, C]
	if len(places) == 0 {
		return x
	}
	C := x.Dim(2)
	return tensor.ScatterRows(x.Reshape(B*T, C), tensor.Ints(places, len(places)), m.Tokens(b)).Reshape(B, T, C)
}

// marked are the ids of b with the config's image id at every place: int32 [B, T].
func (m *VLM) marked(b Batch) *tensor.Tensor {
	ids := slices.Clone(b.IDs.Host().IntData())
	for i, id := range ids {
		if m.config.isPlace(id) {
			ids[i] = int32(m.config.Image)
		}
	}
	return tensor.WrapInts(ids, b.IDs.Shape()...).In(b.IDs.Arena())
}

// context is what the text of b attends to besides itself; nil where the connector's tokens are in the text, and where
// b has no images.
func (m *VLM) context(b Batch) *llm.Context {
	x, ok := m.Connector.(Attended)
	if !ok || b.views() == 0 {
		return nil
	}
	images := b.Pictures
	if images == nil {
		B, T := b.IDs.Dims2()
		for row := range B {
			n := 0
			for _, id := range b.IDs.Host().IntData()[row*T : (row+1)*T] {
				if m.config.isPlace(id) {
					n++
				}
			}
			images = append(images, n)
		}
	}
	return x.Context(m.marked(b), m.Tokens(b), images)
}

// prefix is the number of positions that each row's image takes, if images are a prefix; else nil.
func (m *VLM) prefix(b Batch) []int32 {
	if !m.config.Prefix {
		return nil
	}
	B, T := b.IDs.Dims2()
	n := make([]int32, B)
	for i, id := range b.IDs.Host().IntData() {
		if m.config.isPlace(id) {
			n[i/T]++
		}
	}
	return n
}

// isPlace reports whether an id stands for a feature of a picture.
func (c Config) isPlace(id int32) bool {
	return id < 0 || int(id) == c.Image || c.Video > 0 && int(id) == c.Video
}

// views is the number of views that come with the batch.
func (b Batch) views() int {
	switch {
	case b.Features != nil:
		return b.Features.Dim(0)
	case b.Pixels != nil:
		return b.Pixels.Dim(0)
	}
	return 0
}

// lengths are the numbers of tokens of each picture, in order.
func (m *VLM) lengths(b Batch) ([]int, error) {
	var n []int
	views := 0
	for _, x := range m.media(b) {
		l, err := m.Layout(x)
		if err != nil {
			return nil, err
		}
		n, views = append(n, l.Tokens), views+l.Views
	}
	if views != b.views() {
		return nil, fmt.Errorf("%d views; pictures of sizes %v have %d", b.views(), m.media(b), views)
	}
	return n, nil
}

// Check returns an error that names the sample if the places for features differ from the pictures that the batch
// brings, or an id is outside the vocabulary.
func (m *VLM) Check(b Batch) error {
	V := m.Language.Config().VocabSize
	B, T := b.IDs.Dims2()
	n, err := m.lengths(b)
	if err != nil {
		return err
	}
	if b.Pictures != nil && len(b.Pictures) != B {
		return fmt.Errorf("pictures are counted for %d samples of %d", len(b.Pictures), B)
	}
	if b.Instructions != nil && len(b.Instructions) != B {
		return fmt.Errorf("instructions of %d samples for %d", len(b.Instructions), B)
	}
	if m.config.Prefix && len(n) != B {
		return fmt.Errorf("%d images for %d samples: this model takes one each, before the text", len(n), B)
	}
	places, all, next := 0, 0, 0
	for _, x := range n {
		all += x
	}
	for row := range B {
		here, words := 0, 0
		for t, id := range b.IDs.Host().IntData()[row*T : (row+1)*T] {
			switch {
			case m.config.isPlace(id):
				if here++; m.config.Prefix && words > 0 {
					return fmt.Errorf("an image after text: this model takes images before all text%s", b.name(row))
				}
			case int(id) >= V:
				return fmt.Errorf("id %d is outside the vocabulary of %d%s", id, V, b.name(row))
			case b.Mask == nil || b.Mask[row*T+t] != 0:
				if words++; m.config.Prefix && here == 0 {
					return fmt.Errorf("no image before the text, which this model needs%s", b.name(row))
				}
			}
		}
		places += here
		if b.Pictures != nil {
			want := 0
			for range b.Pictures[row] {
				if next == len(n) {
					return fmt.Errorf("%d pictures in the batch, but its samples count more%s", len(n), b.name(row))
				}
				want += n[next]
				next++
			}
			if want != here {
				return fmt.Errorf("%d places for image features, but %d pictures with %d%s", here, b.Pictures[row],
					want, b.name(row))
			}
		}
		if places > all {
			return fmt.Errorf("%d places for image features so far, but %d pictures with %d in the whole batch%s",
				places, len(n), all, b.name(row))
		}
	}
	if places < all {
		return fmt.Errorf("%d places for image features, but %d pictures with %d in the batch of %v: does every "+
			"sample have one <image> for each picture?", places, len(n), all, b.Names)
	}
	return nil
}

func (b Batch) name(row int) string {
	if row < len(b.Names) {
		return fmt.Sprintf(" (sample %s)", b.Names[row])
	}
	return fmt.Sprintf(" (row %d)", row)
}
