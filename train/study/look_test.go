package study

import (
	"image"
	"image/color"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// probe is a layer that remembers what it last returned.
type probe struct {
	nn.Layer
	said *tensor.Tensor
}

func (p *probe) Forward(x *tensor.Tensor) *tensor.Tensor {
	p.said = p.Layer.Forward(x).Keep() // a block that does not train else recycles what it made
	return p.said
}

// attention is the last row of head h of softmax(q·k/√D): [T].
func attention(q, k *tensor.Tensor, h int) []float64 {
	_, T, H, D := q.Dims4()
	G := k.Dim(2)
	last := q.Data()[((T-1)*H+h)*D:][:D]
	w := make([]float64, T)
	top, sum := math.Inf(-1), 0.0
	for t := range w {
		key := k.Data()[(t*G+h*G/H)*D:][:D]
		for d := range D {
			w[t] += float64(last[d]) * float64(key[d])
		}
		w[t] /= math.Sqrt(float64(D))
		top = max(top, w[t])
	}
	for t := range w {
		w[t] = math.Exp(w[t] - top)
		sum += w[t]
	}
	for t := range w {
		w[t] /= sum
	}
	return w
}

// eavesdrop remembers what a layer was given.
type eavesdrop struct {
	nn.Layer
	heard *tensor.Tensor
}

func (e *eavesdrop) Forward(x *tensor.Tensor) *tensor.Tensor {
	e.heard = x.Keep()
	return e.Layer.Forward(x)
}

// The weights that are shown are those that the fused attention applied: with them, the values add up to what the
// model passed on.
func TestLookedAt(t *testing.T) {
	var out discarded
	args := []string{"-preset", "toy", "-out", filepath.Join(t.TempDir(), "run")}
	j, err := Open(args, &out, []Preset{{Name: "toy"}}, nil)
	require.NoError(t, err)
	c := llava.Config{Projector: "linear", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: int(j.Vocabulary.Image), Merge: 2,
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2, NumAttentionHeads: 2,
			NumChannels: 3, ImageSize: j.World.Side(), PatchSize: 8, HiddenAct: "quick_gelu", LayerNormEps: 1e-5},
		Text: llm.Config{ModelType: "qwen3", VocabSize: j.Vocabulary.Size(), HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 1,
			NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 8, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu",
			RoPE: nn.RoPEConfig{Type: "default", Theta: 1e6}, PAD: -1}}
	j.Places, j.Selects = c.FeaturesPerView(), c.Select
	m, err := llava.New(j.World.Rand("start", 0), c)
	require.NoError(t, err)

	e := NewExam(j.World, shapes.Test, shapes.ColorOf, 3)
	e.Pool.Look(m.Vision, j.Selects)
	prompt := j.Vocabulary.Prompt(e.Set[2].Text, j.Places)
	b := connector.Batch{IDs: tensor.Ints(prompt, 1, len(prompt)), Features: e.Pool.Seen([]int{2}).NoGrad()}
	g := lookedAt(m, b)
	require.Len(t, g.weights, j.Places)

	a := m.Language.(*llm.Llama).Decoder.Layers[g.layer].(*llm.LlamaBlock).Attention
	query, key, value, output := &probe{Layer: a.QueryNorm}, &probe{Layer: a.KeyNorm}, &probe{Layer: a.Value}, &eavesdrop{Layer: a.Output}
	a.QueryNorm, a.KeyNorm, a.Value, a.Output = query, key, value, output
	m.Hidden(b)
	positions := make([]int32, len(prompt))
	for i := range positions {
		positions[i] = int32(i)
	}
	cos, sin := m.Language.(*llm.Llama).RoPE().At(positions)
	q, k := tensor.RoPE(query.said, cos, sin), tensor.RoPE(key.said, cos, sin)
	T, C := len(prompt), output.heard.Dim(2)
	D := q.Dim(3)
	for h := range q.Dim(2) {
		w := attention(q, k, h)
		for d := range D {
			sum := 0.0
			for s := range T {
				sum += w[s] * float64(value.said.Data()[s*C+h*D+d])
			}
			require.InDelta(t, output.heard.Data()[(T-1)*C+h*D+d], sum, 1e-5)
		}
		if h == g.head {
			require.InDeltaSlice(t, w[2:2+j.Places], g.weights, 1e-6) // behind <s> USER:
		}
	}
}

type discarded struct{}

func (discarded) Write(b []byte) (int, error) { return len(b), nil }

// Each card shows its picture, where the model looked, and text below; a wrong answer is told apart.
func TestSheet(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(5))
	require.NoError(t, err)
	s, q := w.Ask(shapes.Test, shapes.ColorOf, 1)
	cards := []card{{s, q.Text, q.Answer, q.Answer, gaze{weights: []float64{1, 0, 0, 0}}}, {s, q.Text, "no idea", q.Answer, gaze{weights: []float64{0, 0, 0, 1}}}}
	m := sheet(cards)
	height := cardPicture + 3*lineHeight + 2*cardMargin // question, answer, truth
	require.Equal(t, image.Pt(perRow*cardWidth, height), m.Bounds().Size())
	big := enlarge(s.Image(), cardPicture)
	at := func(card, x, y int) color.RGBA {
		return color.RGBAModel.Convert(m.At(card*cardWidth+cardMargin+x, cardMargin+y)).(color.RGBA)
	}
	require.Equal(t, big.RGBAAt(3, 5), at(0, 3, 5))
	require.Equal(t, big.RGBAAt(140, 100), at(1, 140, 100))
	beside := cardPicture + cardMargin
	require.Equal(t, big.RGBAAt(3, 5), at(0, beside+3, 5), "the token that is looked at stays bright")
	require.Less(t, at(0, beside+140, 140).R, big.RGBAAt(140, 140).R, "others are dark")
	require.Equal(t, big.RGBAAt(140, 140), at(1, beside+140, 140))
	has := func(card int, c color.RGBA) (n int) {
		for y := cardPicture + 4; y < height-cardMargin; y++ {
			for x := range cardWidth {
				if at(card, x, y) == c {
					n++
				}
			}
		}
		return n
	}
	require.Positive(t, has(0, good))
	require.Zero(t, has(0, bad))
	require.Positive(t, has(1, bad))
	require.Zero(t, has(1, good))
}

// A row is as high as its longest text: nothing runs past the bottom or into the next row.
func TestSheetRows(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(5))
	require.NoError(t, err)
	s, q := w.Ask(shapes.Test, shapes.ColorOf, 1)
	short := card{s, q.Text, q.Answer, q.Answer, gaze{weights: []float64{1, 0, 0, 0}}}
	long := short
	long.answer = strings.Repeat("a green circle at the top left and ", 12)
	m := sheet([]card{short, short, short, short, short, long})
	inks := func(y int) (n int) { // pixels of row y that are not white
		for x := range m.Bounds().Dx() {
			if m.At(x, y) != m.At(0, 0) {
				n++
			}
		}
		return n
	}
	top := cardPicture + 2*lineHeight + 2*cardMargin // of the second row
	for y := top - 4; y < top+cardMargin; y++ {
		require.Zero(t, inks(y), "between the rows, at %d", y)
	}
	require.Positive(t, inks(top+cardMargin))
	height := m.Bounds().Dy()
	lines := (height - top - cardPicture - 2*cardMargin) / lineHeight
	require.Greater(t, lines, 8)
	for k := range lines {
		base := top + cardMargin + cardPicture + (k+1)*lineHeight
		require.Positive(t, inks(base-3), "line %d", k)
	}
	for y := height - 4; y < height; y++ {
		require.Zero(t, inks(y), "below the last line")
	}
}

// Each of the eighteen variants of a picture is it, moved by whole cells and maybe mirrored, and the first is the
// picture itself.
func TestVaried(t *testing.T) {
	w, err := shapes.New(shapes.Default(1))
	require.NoError(t, err)
	p := newPool(w, 2)
	q := p.varied(w.Cell)
	S, size := p.side, 3*p.side*p.side
	require.Len(t, q.Scenes, 36)
	require.Equal(t, p.bytes[:size], q.bytes[:size])
	seen := map[string]bool{}
	for k := range q.Scenes {
		require.Equal(t, p.Scenes[k/18].Index, q.Scenes[k].Index)
		seen[string(q.bytes[k*size:][:size])] = true
	}
	require.Len(t, seen, 36)
	for k, at := range map[int][2]int{2: {0, 1}, 6: {1, 0}, 16: {2, 2}} { // cells up and to the left
		for c := range 3 {
			for y := range S {
				for x := range S {
					from := p.bytes[(c*S+(y+at[0]*w.Cell)%S)*S+(x+at[1]*w.Cell)%S]
					require.Equal(t, from, q.bytes[k*size+(c*S+y)*S+x], "variant %d at %d, %d", k, y, x)
					require.Equal(t, from, q.bytes[(k+1)*size+(c*S+y)*S+S-1-x], "variant %d, mirrored", k)
				}
			}
		}
	}
}
