package seem

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

// small is a model with another width of its levels than of its queries.
func small() Config {
	c := FocalLarge()
	c.Focal.EmbedDim, c.Focal.Depths, c.Focal.Levels, c.Focal.StemStride = 4, [4]int{1, 1, 1, 1}, [4]int{1, 1, 2, 1}, 2
	c.Encoder.ConvDim, c.Encoder.MaskDim, c.Encoder.Layers, c.DimProj = 32, 8, 1, 8
	c.Decoder.HiddenDim, c.Decoder.Heads, c.Decoder.FeedForward, c.Decoder.Layers, c.Decoder.Queries = 8, 2, 12, 4, 5
	c.Decoder.Points, c.Decoder.Memories, c.Decoder.PerPrompt = [4]int{4, 5, 6, 7}, 3, 2
	c.Text = TextConfig{ContextLength: 6, VocabSize: 9, Width: 4, Layers: 1, Heads: 2}
	return c
}

func build(t *testing.T) (*Model, *View) {
	m, err := New(rand.New(rand.NewPCG(1, 2)), small())
	require.NoError(t, err)
	return m, m.View(tensor.Randn(rand.New(rand.NewPCG(3, 4)), 1, 2, 3, 33, 40))
}

// strokes are two prompts on one picture and one on the other, with more points than the model takes.
func strokes() Spatial {
	return Spatial{H: 33, W: 40, Rand: rand.New(rand.NewPCG(5, 6)), Prompts: [][]Strokes{
		{{Positive: Click(Pixel{3, 4}, 33, 40), Negative: []Pixel{{9, 9}}}, {Positive: []Pixel{{32, 39}}}},
		{{Positive: Scribble([]Pixel{{0, 0}, {5, 20}}, 33, 40)}}}}
}

// Everything trains from all three kinds of prompts, and a checkpoint brings back the same bits.
func TestModel(t *testing.T) {
	m, v := build(t)
	d := m.Decoder
	ids := tensor.Ints([]int{7, 1, 8, 8, 8, 8, 7, 2, 3, 8, 8, 8}, 2, 6)
	mask := func(n int) *tensor.Tensor {
		x := tensor.New(n, 33, 40)
		for i := range x.Data() {
			if i%40 < 13+i/1320 {
				x.Data()[i] = 1
			}
		}
		return x
	}
	c := NewCriterion(Uniform(rand.New(rand.NewPCG(7, 8))))
	c.Points = 12
	loss := func(v *View) *tensor.Tensor {
		classes, words := d.Language.Classes(ids), d.Language.Words(ids)
		var sum *tensor.Tensor
		add := func(l Losses, ce float32) {
			t := l.Total(ce, 5, 5)
			if sum != nil {
				t = sum.Add(t)
			}
			sum = t
		}
		for _, p := range d.Objects(v) {
			add(c.Objects(d.Logits(p.Class, classes), p.Masks, []*tensor.Tensor{mask(2), mask(0)}, [][]int{{0, 0},
				nil}), 2)
		}
		phrases := d.Language.Phrases(ids, words)
		for _, p := range d.Ground(v, Words{words, []int32{3, 4}}) {
			add(c.Ground(p.Class, p.Masks, []*tensor.Tensor{mask(1), mask(1)},
				[]Phrases{{Embed: phrases.Slice(0, 0, 1)}, {Embed: phrases.Slice(0, 1, 2)}}, d.Language.LogitScale),
				0.4)
		}
		s := strokes()
		first := d.Encode(v, s)
		p := d.Prompt(v, first)
		s.Previous = Chosen(p[3], d.Answer(p[3], first))
		e := d.Encode(v, s)
		for _, p := range d.Prompt(v, e) {
			add(c.Spatial(p.Embed, p.Masks, e.Positive, []*tensor.Tensor{mask(2), mask(1)}), 0.4)
		}
		return sum
	}
	x := tensor.Randn(rand.New(rand.NewPCG(3, 4)), 1, 2, 3, 33, 40)
	nntest.Check(t, m, func() *tensor.Tensor { return loss(m.View(x)) })
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, nn.SaveOptions{}))
	again, err := Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, m.Config(), again.Config())
	require.Equal(t, d.Objects(v)[3].Masks.Data(), again.Decoder.Objects(again.View(x))[3].Masks.Data())
}

// Prompts do not influence each other, nor do pictures of a batch; the same prompt on the other picture is another one.
func TestPromptsApart(t *testing.T) {
	m, v := build(t)
	d := m.Decoder
	s := strokes()
	s.Rand, s.Queries = nil, []int32{0, 1, 2, 3}
	s.Prompts[0][0].Positive = s.Prompts[0][0].Positive[:3]
	both := d.Prompt(v, d.Encode(v, s))[3].Masks // [2, 4, h, w]
	_, _, h, w := both.Dims4()
	alone := s
	alone.Prompts = [][]Strokes{s.Prompts[0][:1], {{}}}
	alone.Queries = s.Queries[:2]
	first := d.Prompt(v, d.Encode(v, alone))[3].Masks // [2, 2, h, w]
	require.InDeltaSlice(t, both.Data()[:2*h*w], first.Data()[:2*h*w], 1e-4)
	moved := alone
	moved.Prompts = [][]Strokes{{{Positive: []Pixel{{20, 30}}}}, {{}}}
	other := d.Prompt(v, d.Encode(v, moved))[3].Masks
	require.NotEqual(t, first.Data()[:2*h*w], other.Data()[:2*h*w])
	require.Equal(t, first.Data()[2*h*w:], other.Data()[2*h*w:], "the other picture")
}

// Without a positive point the mean feature is −1; padding tokens of shorter prompts and phrases change nothing.
func TestPadding(t *testing.T) {
	m, v := build(t)
	d := m.Decoder
	e := d.Encode(v, strokes())
	for _, x := range e.Positive.Data()[3*8:] { // the prompt that picture 1 does not have
		require.Equal(t, float32(-1), x)
	}
	ids := tensor.Ints([]int{7, 1, 8, 8, 8, 8, 7, 2, 3, 8, 8, 8}, 2, 6)
	words := d.Language.Words(ids)
	short := d.Ground(v, Words{words.Slice(1, 0, 4), []int32{3, 4}})[3].Masks
	long := d.Ground(v, Words{words, []int32{3, 4}})[3].Masks
	require.InDeltaSlice(t, short.Data(), long.Data(), 1e-4)
}

func TestMisuse(t *testing.T) {
	m, v := build(t)
	d := m.Decoder
	with := func(change func(*Spatial)) func() {
		return func() {
			s := strokes()
			change(&s)
			d.Encode(v, s)
		}
	}
	c := NewCriterion(Uniform(rand.New(rand.NewPCG(1, 1))))
	c.Points = 4
	for want, f := range map[string]func(){
		"picture 1, prompt 0: pixel (y 33, x 0) is outside of 33×40": with(func(s *Spatial) {
			s.Prompts[1][0].Negative = []Pixel{{33, 0}}
		}),
		"there are no spatial prompts": with(func(s *Spatial) {
			s.Prompts = make([][]Strokes, 2)
		}),
		"spatial prompts of 1 pictures for a batch of 2": with(func(s *Spatial) {
			s.Prompts = s.Prompts[:1]
		}),
		"3 Queries: needs 2 for each of 2 prompts": with(func(s *Spatial) {
			s.Queries = make([]int32, 3)
		}),
		"1 Memories: needs 3": with(func(s *Spatial) {
			s.Memories = make([]int32, 1)
		}),
		"Previous [2 1 4 4]: needs [2 2 h w]": with(func(s *Spatial) {
			s.Previous = tensor.New(2, 1, 4, 4)
		}),
		"all masks of the spatial prompts are empty": func() {
			c.Spatial(tensor.New(1, 2, 8), tensor.New(1, 2, 4, 4), tensor.New(1, 1, 8), []*tensor.Tensor{tensor.New(1,
				8, 8)})
		},
		"masks of picture 1 are [1 9 8]": func() {
			c.Objects(tensor.New(2, 3, 2), tensor.New(2, 3, 4, 4), []*tensor.Tensor{tensor.New(1, 8, 8), tensor.New(1,
				9, 8)}, [][]int{{0}, {0}})
		},
		"2 labels for 1 masks": func() {
			c.Objects(tensor.New(1, 3, 2), tensor.New(1, 3, 4, 4), []*tensor.Tensor{tensor.New(1, 8, 8)}, [][]int{{0,
				0}})
		},
	} {
		require.ErrorContains(t, tensor.Catch(f), want)
	}
}

func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	for want, change := range map[string]func(*Config){
		`model_type "xdecoder" is not supported`:        func(c *Config) { c.ModelType = "xdecoder" },
		`ENCODER.NORM "BN" is not supported`:            func(c *Config) { c.Encoder.Norm = "BN" },
		"PRE_NORM is not supported":                     func(c *Config) { c.Decoder.PreNorm = true },
		"AUTOGRESSIVE false is not supported":           func(c *Config) { c.Text.Causal = new(bool) },
		"MASK_DIM 9 is not DECODER.HIDDEN_DIM 8":        func(c *Config) { c.Encoder.MaskDim = 9 },
		"DIM_PROJ 4 is not DECODER.HIDDEN_DIM 8":        func(c *Config) { c.DimProj = 4 },
		"NUM_OBJECT_QUERIES 0":                          func(c *Config) { c.Decoder.Queries = 0 },
		"DEC_LAYERS is 1099511627776":                   func(c *Config) { c.Decoder.Layers = 1 << 40 },
		"TEXT.LAYERS is 1099511627776":                  func(c *Config) { c.Text.Layers = 1 << 40 },
		"MAX_SPATIAL_LEN[1] is 0":                       func(c *Config) { c.Decoder.Points[1] = 0 },
		"PIXEL_STD is [0 1 1]":                          func(c *Config) { c.Input.Std = [3]float32{0, 1, 1} },
		"ATTENTION_ARCH.MASKING is not that of SEEM v1": func(c *Config) { c.Architecture = []byte(`{"MASKING":[]}`) },
		"TEXT: CONTEXT_LENGTH 6, VOCAB 9, WIDTH 5":      func(c *Config) { c.Text.Width = 5 },
		"FOCAL: EMBED_DIM is 0":                         func(c *Config) { c.Focal.EmbedDim = 0 },
	} {
		c := small()
		change(&c)
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644))
		_, err = Load(dir, nn.LoadOptions{})
		require.ErrorContains(t, err, "config.json: ")
		require.ErrorContains(t, err, want)
	}
}
