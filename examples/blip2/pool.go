package main

import (
	"context"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// pool is pictures of one object with their captions.
type pool struct {
	said     []string
	ids      [][]int32
	pixels   []float32      // [N, 3, S, S]
	features *tensor.Tensor // [N, P+1, D], of the frozen tower
	side     int
}

func (l *lesson) pool(split shapes.Split, n int) *pool {
	p := &pool{side: l.Side()}
	for i := range n {
		s := l.Scene(split, i, shapes.Options{MinObjects: 1, MaxObjects: 1})
		text := s.Caption()
		p.said, p.ids = append(p.said, text), append(p.ids, l.encode(text))
		x := study.Pixels([]shapes.Scene{s}, func(v float32) float32 { return (v/255 - 0.85) / 0.25 })
		p.pixels = append(p.pixels, x.Data()...)
	}
	return p
}

// images are those of some scenes: [n, 3, S, S].
func (p *pool) images(chosen []int) *tensor.Tensor {
	size := 3 * p.side * p.side
	var x []float32
	for _, i := range chosen {
		x = append(x, p.pixels[i*size:(i+1)*size]...)
	}
	return tensor.Wrap(x, len(chosen), 3, p.side, p.side)
}

// look lets the frozen tower see every picture once.
func (p *pool) look(t vit.Tower) {
	var parts []*tensor.Tensor
	for from := 0; from < len(p.ids); from += batch {
		var chosen []int
		for i := from; i < min(from+batch, len(p.ids)); i++ {
			chosen = append(chosen, i)
		}
		parts = append(parts, t.Hidden(p.images(chosen).NoGrad(), t.Config().NumHiddenLayers).Detach().Clone())
	}
	p.features = tensor.Concat(0, parts...)
}

// seen are the features of some scenes: [n, P+1, D].
func (p *pool) seen(chosen []int) *tensor.Tensor {
	_, P, D := p.features.Dims3()
	var x []float32
	for _, i := range chosen {
		x = append(x, p.features.Data()[i*P*D:(i+1)*P*D]...)
	}
	return tensor.Wrap(x, len(chosen), P, D)
}

// mean are the features of all scenes, averaged: [1, P+1, D].
func (p *pool) mean() *tensor.Tensor {
	N, P, D := p.features.Dims3()
	x := make([]float32, P*D)
	for i, v := range p.features.Data() {
		x[i%len(x)] += v / float32(N)
	}
	return tensor.Wrap(x, 1, P, D)
}

// padded are texts, padded at the right, with their lengths, and as labels.
func (p *pool) padded(chosen []int, lead int) (ids, labels *tensor.Tensor, lengths []int32) {
	T := 0
	for _, i := range chosen {
		T = max(T, lead+len(p.ids[i]))
	}
	in, out := make([]int32, len(chosen)*T), slices.Repeat([]int32{tensor.IgnoreIndex}, len(chosen)*T)
	for row, i := range chosen {
		for t := range lead {
			in[row*T+t] = chat.ImageIndex
		}
		copy(in[row*T+lead:], p.ids[i])
		copy(out[row*T+lead+1:], p.ids[i][1:])
		lengths = append(lengths, int32(lead+len(p.ids[i])))
	}
	return tensor.WrapInts(in, len(chosen), T), tensor.WrapInts(out, len(chosen), T), lengths
}

// draw picks scenes whose captions differ.
func (p *pool) draw(l *lesson, name string, n int) (chosen []int) {
	r, taken := l.Rand(name, n), map[string]bool{}
	for range 100 * batch {
		if i := r.IntN(len(p.ids)); !taken[p.said[i]] {
			taken[p.said[i]] = true
			if chosen = append(chosen, i); len(chosen) == batch {
				break
			}
		}
	}
	return chosen
}

// pairs makes batches of pictures and captions.
func (p *pool) pairs(l *lesson) func(n int) blip2.Pairs {
	return func(n int) blip2.Pairs {
		chosen := p.draw(l, "pairs", n)
		b := blip2.Pairs{Seed: uint64(n)}
		if b.IDs, _, b.Lengths = p.padded(chosen, 0); p.features == nil {
			b.Pixels = p.images(chosen)
		} else {
			b.Features = p.seen(chosen)
		}
		return b
	}
}

// texts makes batches of captions behind their words in any order. What the published language models can do, and one
// that knows captions alone cannot, is to say what stands before; only then do queries that it sees move it.
func (p *pool) texts(l *lesson) func(n int) connector.Batch {
	return func(n int) (b connector.Batch) {
		chosen := p.draw(l, "texts", n)
		b.IDs, b.Labels, _ = p.padded(chosen, queries)
		r, T := l.Rand("order", n), b.IDs.Dim(1)
		for row, i := range chosen {
			words := slices.Clone(p.ids[i][1 : len(p.ids[i])-1])
			r.Shuffle(len(words), func(a, b int) { words[a], words[b] = words[b], words[a] })
			for k := range queries {
				b.IDs.IntData()[row*T+k] = words[k%len(words)]
			}
		}
		return b
	}
}

// captions makes batches of pictures, which stand before the captions that are learnt.
func (p *pool) captions(l *lesson) func(n int) connector.Batch {
	return func(n int) (b connector.Batch) {
		chosen := p.draw(l, "captions", n)
		b.IDs, b.Labels, _ = p.padded(chosen, queries)
		b.Features = p.seen(chosen)
		return b
	}
}

// choices is how many captions a picture's is among.
const choices = 16

// retrieve is how often a picture's caption is found among others, by contrast and by matching.
func (p *pool) retrieve(l *lesson, m *blip2.Stage1) (itc, itm float64) {
	const groups = 4
	for g := range groups {
		chosen := p.draw(l, "choices", g)
		chosen = chosen[:min(choices, len(chosen))]
		n := float64(groups * len(chosen))
		ids, _, lengths := p.padded(chosen, 0)
		image := m.Image(blip2.Pairs{Features: p.seen(chosen).NoGrad()})
		best := blip2.Similarity(m.EmbedImage(image), m.EmbedText(ids, lengths)).ArgMax(1).IntData()
		for i := range chosen {
			if int(best[i]) == i {
				itc += 1 / n
			}
			one := slices.Repeat([]int{chosen[i]}, len(chosen))
			z := m.MatchLogits(m.Image(blip2.Pairs{Features: p.seen(one).NoGrad()}), ids, lengths).Data()
			most := 0
			for j := range chosen {
				if z[2*j+1]-z[2*j] > z[2*most+1]-z[2*most] {
					most = j
				}
			}
			if most == i {
				itm += 1 / n
			}
		}
	}
	return itc, itm
}

// say is how many captions are right to the last word; for caption i the features shown(i) are seen.
func (p *pool) say(ctx context.Context, l *lesson, m *connector.VLM, shown func(i int) *tensor.Tensor) (float64,
	error) {
	right := 0
	for i := range p.ids {
		ids := append(slices.Repeat([]int32{chat.ImageIndex}, queries), 1)
		b := connector.Batch{IDs: tensor.WrapInts(ids, 1, len(ids)), Features: shown(i)}
		g, err := m.Generate(ctx, b, llm.Options{MaxNewTokens: 16})
		if err != nil {
			return 0, err
		}
		if slices.Equal(g.IDs[0], p.ids[i][1:]) {
			right++
		}
	}
	return float64(right) / float64(len(p.ids)), nil
}
