package blip2

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Stage1 is what BLIP-2's first stage trains, on a frozen vision encoder: the Q-Former learns to see what a text says,
// by contrast, matching and captioning. Source: Li et al. 2023, section 3.2; LAVIS's Blip2Qformer, whose parameters
// have here the names of transformers where that knows them.
// It is safe for concurrent use while nobody changes its parameters.
type Stage1 struct {
	Retrieval `param:",inline"`

	Temp  *tensor.Tensor `param:"temp"` // [], divides the cosines
	Words *WordHead      `param:"cls.predictions"`
}

// WordHead predicts words: BERT's head, whose decoder is the word embedding.
type WordHead struct {
	Dense nn.Layer       `param:"transform.dense"`     // H → H
	Norm  nn.Layer       `param:"transform.LayerNorm"` // [H]
	Bias  *tensor.Tensor `param:"bias"`                // [V]

	act tensor.Activation
}

const (
	// LabelSmoothing of contrast and captioning: so much of the target is spread over all classes.
	LabelSmoothing = 0.1

	startTemp = 0.07
	barred    = -10000 // the logit of what is no negative
)

// NewStage1 builds what c describes on the vision encoder v, as [NewRetrieval] does. LAVIS starts the Q-Former from
// BERT: see [Stage1.CopyQueries].
func NewStage1(r *rand.Rand, v vit.Tower, c Config) (*Stage1, error) {
	m, err := NewRetrieval(r, v, c)
	if err != nil {
		return nil, err
	}
	q := m.config.QFormer
	if q.DEC < 0 {
		m.config.QFormer.DEC = q.VocabSize - 1
	}
	act, err := nn.ParseActivation(q.HiddenAct)
	if err != nil {
		return nil, err
	}
	s := &Stage1{Retrieval: *m, Temp: tensor.Meta(tensor.Float32).Param(), Words: &WordHead{act: act,
		Dense: nn.NewNormalLinear(r, q.HiddenSize, q.HiddenSize, q.InitializerRange),
		Norm:  nn.NewLayerNorm(r, q.HiddenSize, q.LayerNormEps, true),
		Bias:  tensor.Meta(tensor.Float32, q.VocabSize).Param()}}
	if r != nil {
		s.Temp.Allocate()
		s.Temp.Fill(startTemp)
		s.Words.Bias.Allocate()
	}
	return s, nil
}

// Terms are the parts of a batch's loss.
type Terms struct {
	ITC, ITM, ITG *tensor.Tensor // scalars: contrast, matching, captioning

	Similarity *tensor.Tensor // [B, B] of image and text, divided by Temp
	ImageOdds  [][]float64    // [B][B]: row t, of which images are drawn as negatives of text t
	TextOdds   [][]float64    // [B][B]: row i, of which texts are drawn as negatives of image i
	Match      *tensor.Tensor // [3B, 2], of the pairs, of texts with a wrong image, of images with a wrong text
	States     *tensor.Tensor // [B, T, H], of the captions' tokens: see [Stage1.WordLogits]
}

// Loss is the sum of the three.
func (m *Stage1) Loss(b Pairs) *tensor.Tensor {
	t := m.Terms(b)
	return t.ITC.Add(t.ITM).Add(t.ITG)
}

// Terms computes the three losses. One pass under the mask of captioning serves contrast as well: there the queries see
// no text. It panics for a batch of one pair, which has no negatives, and for captions without a word.
func (m *Stage1) Terms(b Pairs) Terms {
	B, T := b.IDs.Dims2()
	if B < 2 {
		tensor.Fail("Stage1", "a batch of %d pairs: matching needs negatives, two pairs at least", B)
	}
	if b.Lengths == nil {
		b.Lengths = make([]int32, B)
		for i := range b.Lengths {
			b.Lengths[i] = int32(T)
		}
	}
	image := m.Image(b) // [B, N, D]
	words, rows, next := m.captions(b)
	seen, states := m.QFormer.Forward(Input{Queries: m.queries(image), Text: m.Embeddings.Lookup(words),
		Lengths: b.Lengths, Image: image, Causal: true})
	t := Terms{States: states}

	images := m.VisionProjection.Forward(seen).L2Normalize(normEps)              // [B, Q, E]
	t.Similarity = Similarity(images, m.EmbedText(b.IDs, b.Lengths)).Div(m.Temp) // [B, B]
	pairs := make([]int, B)
	for i := range pairs {
		pairs[i] = i
	}
	labels := tensor.Ints(pairs, B)
	t.ITC = smoothed(t.Similarity, labels).Add(smoothed(t.Similarity.Transpose(), labels)).Scale(0.5)

	t.TextOdds, t.ImageOdds = odds(t.Similarity.Detach()), odds(t.Similarity.Detach().Transpose())
	t.Match = m.matches(b.negatives(t), image)
	label := make([]int, 3*B)
	for i := range B {
		label[i] = 1
	}
	t.ITM = tensor.CrossEntropy(t.Match, tensor.Ints(label, 3*B))

	H := states.Dim(2)
	scored := tensor.Gather(states.Reshape(B*T, H), tensor.WrapInts(rows, len(rows))) // [W, H]
	t.ITG = smoothed(m.WordLogits(scored), tensor.WrapInts(next, len(next)))
	return t
}

// captions are the texts with [DEC] in the place of [CLS], the positions b·T + t that a word follows, and these words.
func (m *Stage1) captions(b Pairs) (words *tensor.Tensor, rows, next []int32) {
	B, T := b.IDs.Dims2()
	ids := append([]int32(nil), b.IDs.Host().IntData()...)
	for i := range B {
		ids[i*T] = int32(m.config.QFormer.DEC)
		for t := i * T; t < i*T+int(b.Lengths[i])-1; t++ {
			rows, next = append(rows, int32(t)), append(next, ids[t+1])
		}
	}
	if len(rows) == 0 {
		tensor.Fail("Stage1", "no caption has a word")
	}
	return tensor.WrapInts(ids, B, T).In(b.IDs.Arena()), rows, next
}

// WordLogits maps states [..., H] of a caption's tokens to logits of the next [..., V].
func (m *Stage1) WordLogits(states *tensor.Tensor) *tensor.Tensor {
	x := m.Words.Norm.Forward(nn.Activated(m.Words.Dense, states, m.Words.act))
	return tensor.Linear(x, m.Embeddings.Word.Weight, m.Words.Bias, tensor.Identity)
}

// matches are the match logits of the pairs, of (negative image, text) and of (image, negative text): [3B, 2].
func (m *Stage1) matches(b Pairs, image *tensor.Tensor) *tensor.Tensor {
	B, T := b.IDs.Dims2()
	_, N, D := image.Dims3()
	wrong := tensor.Gather(image.Reshape(B, N*D), tensor.WrapInts(b.NegativeImages, B)).Reshape(B, N, D)
	ids := make([]int32, 0, 3*B*T)
	ids = append(append(ids, b.IDs.Host().IntData()...), b.IDs.Host().IntData()...)
	lengths := append(append([]int32(nil), b.Lengths...), b.Lengths...)
	for _, i := range b.NegativeTexts {
		ids, lengths = append(ids, b.IDs.Host().IntData()[int(i)*T:(int(i)+1)*T]...), append(lengths, b.Lengths[i])
	}
	return m.MatchLogits(tensor.Concat(0, image, wrong, image), tensor.WrapInts(ids, 3*B, T).In(b.IDs.Arena()), lengths)
}

// negatives is b with negatives drawn where it has none.
func (b Pairs) negatives(t Terms) Pairs {
	r := rand.New(rand.NewPCG(b.Seed, 0x626c697032))
	draw := func(odds [][]float64) (at []int32) {
		for _, row := range odds {
			u, sum, last := r.Float64(), 0.0, 0
			for j, p := range row {
				if p > 0 {
					last = j // where rounding leaves u beyond the sum
				}
				if sum += p; u < sum {
					break
				}
			}
			at = append(at, int32(last))
		}
		return at
	}
	if b.NegativeImages == nil {
		b.NegativeImages = draw(t.ImageOdds)
	}
	if b.NegativeTexts == nil {
		b.NegativeTexts = draw(t.TextOdds)
	}
	return b
}

// odds are the softmax of each row of similarities [B, B], a row's own partner barred.
func odds(sim *tensor.Tensor) [][]float64 {
	B := sim.Dim(0)
	off := tensor.New(B, B)
	for i := range B {
		off.Data()[i*B+i] = 1
	}
	p := sim.MaskedFill(off, barred).Softmax()
	all := p.Host().Data()
	rows := make([][]float64, B)
	for i := range rows {
		for _, v := range all[i*B : (i+1)*B] {
			rows[i] = append(rows[i], float64(v))
		}
	}
	return rows
}

// smoothed is the cross-entropy of logits [N, V] against targets that are ε/V everywhere, and 1 − ε more at the label,
// as torch.nn.functional.cross_entropy with label_smoothing ε.
func smoothed(logits, labels *tensor.Tensor) *tensor.Tensor {
	right := tensor.CrossEntropy(logits, labels).Scale(1 - LabelSmoothing)
	return right.Add(logits.LogSoftmax().Mean().Scale(-LabelSmoothing))
}

// CopyQueries starts the queries' feed-forwards as copies of the text's, as LAVIS does once BERT is loaded.
func (m *Stage1) CopyQueries() {
	for _, l := range m.QFormer.Layers {
		for to, from := range map[any]any{l.QueryUp: l.Up, l.QueryOutput: l.Output} {
			source := map[string]*tensor.Tensor{}
			for name, p := range nn.Params(from) {
				source[name] = p
			}
			for name, p := range nn.Params(to) {
				p.CopyFrom(source[name])
			}
		}
	}
}
