package study

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Reader is the language model as it trains on text alone. Where LLaVA has a picture, it reads the scene told in
// words: one position for each cell of the grid, which holds the sum of the words that tell the cell ("top left small
// red circle"), taken from a table of their own through two layers like those between pictures and language. So it
// learns to talk, and to look things up, before it sees anything; and there is a space of things seen that stage 1 can
// align pictures to. Table and layers are dropped afterwards. (The language model's own embeddings in the place of the
// table, without layers, take more than twice as long: then what is seen looks like what is said.)
type Reader struct {
	Language llm.Model     `param:"language_model"`
	Words    *nn.Embedding `param:"words"` // [V, C], what cells are told with
	Up       nn.Layer      `param:"up"`    // a connector for words
	Out      nn.Layer      `param:"out"`
}

// NewReader draws how told cells are read: as a picture's features are, through two layers of which the last starts
// three times larger.
func NewReader(r *rand.Rand, m llm.Model) *Reader {
	C := m.Config().HiddenSize
	up, out := nn.NewLinear(r, C, C, true), nn.NewLinear(r, C, C, true)
	out.Weight.CopyFrom(out.Weight.Detach().Scale(ProjectorGain))
	return &Reader{m, nn.NewEmbedding(r, m.Config().VocabSize, C, m.Config().EmbeddingStd), up, out}
}

// Page is a batch of told scenes with conversations about them.
type Page struct {
	ids, labels *tensor.Tensor // int32 [B, T]; negative ids where a cell stands
	words       []int32        // of all cells, one after another
	cells       []int32        // to which cell each belongs
	noise       *tensor.Tensor // [cells, C], so that cells need not be told perfectly
}

// Supervised is the number of tokens learnt from.
func (p Page) Supervised() int { return supervised(p.labels) }

// In is p in scope s.
func (p Page) In(s *tensor.Arena) Page {
	p.ids = p.ids.In(s)
	return p
}

// Loss is the mean cross-entropy of the answers.
func (m *Reader) Loss(p Page) *tensor.Tensor {
	return llm.Loss(m.Language, llm.Input{Embeds: m.embed(p)}, p.labels)
}

// embed puts the told cells among the text: [B, T, C].
func (m *Reader) embed(p Page) *tensor.Tensor {
	B, T := p.ids.Dims2()
	text, places := Apart(p.ids.Host().IntData())
	x := m.Language.Embed(tensor.WrapInts(text, B, T).In(p.ids.Arena())) // [B, T, C]
	C := x.Dim(2)
	return tensor.ScatterRows(x.Reshape(B*T, C), tensor.WrapInts(places, len(places)),
		m.cells(p.ids.Arena(), p)).Reshape(B, T, C)
}

// cells sums up the words of each cell, in scope s: [cells, C].
func (m *Reader) cells(s *tensor.Arena, p Page) *tensor.Tensor {
	n := int(p.cells[len(p.cells)-1]) + 1
	words := m.Words.Lookup(tensor.WrapInts(p.words, len(p.words)).In(s)) // [words, C]
	told := tensor.ScatterAddRows(n, tensor.WrapInts(p.cells, len(p.cells)), words)
	told = m.Out.Forward(nn.Activated(m.Up, told, tensor.GELU))
	if p.noise != nil {
		told = told.Add(p.noise)
	}
	return told
}

// Apart separates tokens from the places of pictures.
func Apart(ids []int32) (text, places []int32) {
	text = make([]int32, len(ids))
	for i, id := range ids {
		if id < 0 {
			places = append(places, int32(i))
		} else {
			text[i] = id
		}
	}
	return text, places
}

func supervised(labels *tensor.Tensor) int {
	n := 0
	for _, l := range labels.Host().IntData() {
		if l != tensor.IgnoreIndex {
			n++
		}
	}
	return n
}

// cells tells a scene cell by cell, in reading order.
func cells(w *shapes.World, s shapes.Scene) []string {
	told := w.Places()
	full := make([]bool, len(told))
	for _, o := range s.Objects {
		i := o.Cell.Row*w.Grid + o.Cell.Col
		told[i] += " " + o.Size.String() + " " + o.Pair().String()
		full[i] = true
	}
	if s.Sign != nil {
		text := strings.ToUpper(s.Sign.Text)
		for col := range w.Grid {
			i := s.Sign.Row*w.Grid + col
			told[i] += " sign"
			full[i] = true
			switch { // the letters of a word stand above the three columns, the two digits of a number at the sides
			case len(text) == w.Grid:
				told[i] += " " + text[col:col+1]
			case col == 0:
				told[i] += " " + text[:1]
			case col == w.Grid-1:
				told[i] += " " + text[1:]
			}
		}
	}
	for i := range told {
		if !full[i] {
			told[i] += " nothing"
		}
	}
	return told
}

// tell adds a scene's cells to the page.
func (p *Page) tell(l *Lesson, s shapes.Scene) {
	first := int32(0)
	if len(p.cells) > 0 {
		first = p.cells[len(p.cells)-1] + 1
	}
	for i, told := range cells(l.World, s) {
		from := len(p.words)
		p.words = l.Vocabulary.encode(p.words, told)
		for range p.words[from:] {
			p.cells = append(p.cells, first+int32(i))
		}
	}
}

// cellNoise is the deviation of a page's noise, a sixth of the deviation of a cell's sum at the start.
const cellNoise = 0.1

// PageBatches makes batch n of the text stage.
func PageBatches(l *Lesson, c Length, width int) train.Batches[Page] {
	told := *l
	told.Pool = tell(l.World, len(l.Pool.Scenes))
	samples := told.Samples("text", c, beginner)
	return func(_ context.Context, n int) (Page, error) {
		chosen := samples(n)
		var p Page
		p.ids, p.labels = l.Pad(chosen)
		for _, s := range chosen {
			p.tell(l, told.Pool.Scenes[s.Picture])
		}
		p.noise = tensor.Randn(l.World.Rand("text/noise", n), cellNoise, int(p.cells[len(p.cells)-1])+1, width)
		return p, nil
	}
}
