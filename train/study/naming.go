package study

import (
	"context"
	"image"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Naming is what CLIP learns the names of things with. It is safe for concurrent use.
type Naming struct {
	Things    []Thing // that are trained on
	Words     *tokenizer.Tokenizer
	Processor *imaging.Processor
	Longest   int // ids of a caption
}

// NewNaming makes a vocabulary of names and tags, for pictures of side×side pixels.
func NewNaming(things []Thing, side int) (*Naming, error) {
	n := &Naming{Things: things, Processor: imaging.CLIP(side), Longest: 24}
	n.Processor.Mean, n.Processor.Std = [3]float64{0.75, 0.7, 0.65}, [3]float64{0.33, 0.33, 0.36}
	var err error
	n.Words, err = tokenizer.Train(func(yield func(string) bool) {
		for _, t := range things {
			for _, text := range append([]string{t.Name, t.Name}, t.Tags...) {
				if !yield(text) || !yield(", "+text) {
					return
				}
			}
		}
	}, tokenizer.TrainConfig{Size: 2000, Specials: []string{"<pad>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>",
		Pad: "<pad>", MinCount: 2})
	return n, err
}

// caption is what CLIP's text tower reads of a thing: its name, and often words that go with it.
func (t Thing) caption(r *rand.Rand) string {
	tags := slices.Clone(t.Tags)
	r.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
	if len(tags) == 0 || r.IntN(10) < 7 {
		return t.Name
	}
	return t.Name + ", " + strings.Join(tags[:min(2, len(tags))], ", ")
}

// Batches makes batch n of the given size, of steps: pictures with their captions, each of another thing, and wrong
// names. Pictures are varied, more from two fifths of the steps on. source is the source of the n-th draw for a
// purpose.
func (n *Naming) Batches(size, steps int, source func(purpose string, n int) *rand.Rand) train.Batches[Pairs] {
	learnt, p, side := n.Things, n.Processor, n.Processor.Crop.W
	return func(_ context.Context, k int) (Pairs, error) {
		r := source("pairs", k)
		var texts []string
		var x []float32
		order := source("order", k*size/len(learnt)).Perm(len(learnt))
		chosen := map[string]bool{}
		for i := range min(size, len(learnt)) {
			t := learnt[order[(k*size+i)%len(learnt)]]
			chosen[t.Name] = true
			texts = append(texts, t.caption(r))
			x = t.Draw(x, side, 5*k >= 2*steps, r)
		}
		for i := range x {
			c := i / (side * side) % 3
			x[i] = (x[i] - float32(p.Mean[c])) / float32(p.Std[c])
		}
		b := Pairs{Pixels: tensor.Wrap(x, len(texts), 3, side, side)}
		own := texts
		for _, i := range r.Perm(len(learnt)) { // names that are wrong
			if t := learnt[i]; !chosen[t.Name] && len(texts) < 4*size {
				texts = append(texts, t.Name)
			}
		}
		b.Same = Equal(own, len(texts))
		b.Texts, b.Ends = n.ids(texts)
		return b, nil
	}
}

// ids pads the ids of texts: int32 [M, T], and their lengths.
func (n *Naming) ids(texts []string) (*tensor.Tensor, []int32) {
	var rows [][]int32
	var ends []int32
	T := 0
	for _, text := range texts {
		row := n.Words.Encode(text)
		row = n.Words.Wrap(row[:min(len(row), n.Longest-2)])
		rows, ends, T = append(rows, row), append(ends, int32(len(row))), max(T, len(row))
	}
	flat := make([]int32, len(rows)*T)
	for i, row := range rows {
		copy(flat[i*T:], row)
	}
	return tensor.Ints(flat, len(rows), T), ends
}

// ZeroShot is the share of pictures whose own name is the likeliest among all, and among the likeliest five.
func (n *Naming) ZeroShot(m *vit.CLIP, all []Thing, which func(Thing) *image.RGBA) (first, five float64, err error) {
	p, side := n.Processor, n.Processor.Crop.W
	var names []string
	var x []float32
	for _, t := range all {
		names = append(names, t.Name)
		v, err := p.Process(imaging.FromImage(OnWhite(which(t))))
		if err != nil {
			return 0, 0, err
		}
		x = append(x, v.Data...)
	}
	tensor.Scope(func(s *tensor.Arena) {
		texts, ends := n.ids(names)
		pictures := m.EncodeImage(tensor.Wrap(x, len(all), 3, side, side).NoGrad().In(s))
		logits := m.Logits(pictures, m.EncodeText(texts.NoGrad(), ends)).Host().Data()
		for i := range all {
			row, above := logits[i*len(all):][:len(all)], 0
			for _, v := range row {
				if v > row[i] {
					above++
				}
			}
			if above == 0 {
				first += 1 / float64(len(all))
			}
			if above < 5 {
				five += 1 / float64(len(all))
			}
		}
	})
	return first, five, nil
}
