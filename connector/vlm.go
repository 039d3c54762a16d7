// Package connector joins a vision tower to a language model: LLaVA's projectors, the splice of image features into the token embeddings, and
// the joined model [VLM]. It reads every layout that LLaVA checkpoints come in and writes the Hub's and the original one.
package connector

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// VLM is a vision-language model: what it sees becomes tokens among those it reads. Source: Liu et al. 2023, "Visual Instruction Tuning";
// parameter names are those of transformers' LlavaForConditionalGeneration.
type VLM struct {
	Vision    vit.Tower      `param:"vision_tower"`
	Projector *Projector     `param:"multi_modal_projector"`
	Language  llm.Model      `param:"language_model"`
	Newline   *tensor.Tensor `param:"image_newline,optional"` // [C], LLaVA-NeXT's end of a row of tiles

	config Config
}

// New builds the model that c describes. With a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := vit.New(r, c.Vision)
	if err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	l, err := llm.New(r, c.Text)
	if err != nil {
		return nil, err
	}
	m := &VLM{Vision: v, Projector: p, Language: l, config: c}
	if c.Next() {
		m.Newline = tensor.Randn(r, 0.02, c.Text.HiddenSize).Param()
	}
	return m, nil
}

// Join puts a trained tower and a trained language model together with a fresh projector: the start of stage 1. c's Text and Vision are taken from
// the parts.
func Join(r *rand.Rand, v vit.Tower, l llm.Model, c Config) (*VLM, error) {
	c.Text, c.Vision = l.Config(), v.Config()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	m := &VLM{Vision: v, Projector: p, Language: l, config: c}
	if c.Next() {
		m.Newline = tensor.Randn(r, 0.02, c.Text.HiddenSize).Param()
	}
	return m, nil
}

// Config describes the model.
func (m *VLM) Config() Config { return m.config }

// Batch is what the model learns from or continues. In IDs, every place that a feature takes holds a negative number or the config's image id; the
// features of all pictures fill these places in order.
type Batch struct {
	IDs       *tensor.Tensor // int32 [B, T]
	Labels    *tensor.Tensor // int32 [B, T], tensor.IgnoreIndex where nothing is learnt; nil: no loss
	Mask      []int32        // [B·T], 0 at padding (in one piece at either side); nil: none
	Positions []int32        // [B·T]; nil: real tokens count from 0

	Pixels   *tensor.Tensor // [V, 3, S, S], the views of all pictures one after another; or
	Features *tensor.Tensor // [V, P, D], what the tower made of them, from a cache; both nil: text only
	Sizes    []imaging.Size // of the pictures, LLaVA-NeXT only: how their views are laid together
	Names    []string       // of the samples, for messages; may be nil
}

// Supervised is the number of positions that the loss averages over.
func (b Batch) Supervised() int {
	if b.Labels == nil {
		return 0
	}
	n := 0
	for _, l := range llm.Shift(b.Labels).IntData() {
		if l != tensor.IgnoreIndex {
			n++
		}
	}
	return n
}

// Tokens maps pictures to what the language model sees of them, one row each feature: [N, C].
func (m *VLM) Tokens(b Batch) *tensor.Tensor {
	x := b.Features
	if x == nil {
		x = vit.Features(m.Vision, b.Pixels, m.config.Select) // [V, P, D]
	}
	x = m.Projector.Forward(x) // [V, P', C]
	V, P, C := x.Dims3()
	x = x.Reshape(V*P, C)
	if !m.config.Next() {
		return x
	}
	order := m.config.pack(b.Sizes, P, V)
	return tensor.Gather(tensor.Concat(0, x, m.Newline.Reshape(1, C)), tensor.Ints(order, len(order)))
}

// Embed puts the pictures' tokens among the text's: [B, T, C]. It panics if their number differs from the places kept for them.
func (m *VLM) Embed(b Batch) *tensor.Tensor {
	B, T := b.IDs.Dims2()
	var places []int32
	text := make([]int32, B*T)
	for i, id := range b.IDs.IntData() {
		if id < 0 || int(id) == m.config.Image {
			places = append(places, int32(i))
		} else {
			text[i] = id
		}
	}
	x := m.Language.Embed(tensor.Ints(text, B, T)) // [B, T, C]
	if b.Pixels == nil && b.Features == nil {
		if len(places) > 0 {
			tensor.Fail("Embed", "%d places for image features but no picture%s", len(places), b.name(int(places[0])/T))
		}
		return x
	}
	seen := m.Tokens(b) // [N, C]
	if seen.Dim(0) != len(places) {
		tensor.Fail("Embed", "%d image features for %d places in the batch of %v: does every sample have as many pictures as <image>?", seen.Dim(0), len(places), b.Names)
	}
	C := x.Dim(2)
	return tensor.ScatterRows(x.Reshape(B*T, C), tensor.Ints(places, len(places)), seen).Reshape(B, T, C)
}

func (b Batch) name(row int) string {
	if row < len(b.Names) {
		return fmt.Sprintf(" (sample %s)", b.Names[row])
	}
	return fmt.Sprintf(" (row %d)", row)
}

// Hidden runs the whole model up to the final norm: [B, T, C].
func (m *VLM) Hidden(b Batch) *tensor.Tensor {
	in := llm.Input{Embeds: m.Embed(b), Positions: b.Positions}
	if b.Mask != nil {
		start, end, positions, ok := llm.Extent(b.Mask, b.IDs.Dim(0))
		if !ok {
			tensor.Fail("Hidden", "the attention mask has a hole; padding lies at one side")
		}
		in.Start, in.End = start, end
		if in.Positions == nil {
			in.Positions = positions
		}
	}
	return m.Language.Hidden(in)
}

// Loss is the mean cross-entropy of the next supervised token.
func (m *VLM) Loss(b Batch) *tensor.Tensor { return llm.Loss(m.Language, m.Hidden(b), b.Labels) }

// SetRecompute says whether training keeps only the inputs of each block, in both parts.
func (m *VLM) SetRecompute(on bool) {
	m.Vision.SetRecompute(on)
	m.Language.SetRecompute(on)
}

// pack lists, for pictures of the given sizes, the rows that make up their tokens: rows of the V·P projected features, and V·P for the newline. Per
// picture: the base view, then the tiles laid together, without padding, a newline after each row. Source: LLaVA's
// prepare_inputs_labels_for_multimodal, spatial_unpad.
func (c *Config) pack(sizes []imaging.Size, P, V int) []int32 {
	a := c.AnyRes()
	g := a.Side
	if c.Select.Class != "patch" || g*g != P {
		tensor.Fail("Tokens", "%d features per view; tiles need %d×%d without class token", P, g, g)
	}
	var order []int32
	view := 0
	for _, s := range sizes {
		l := a.Layout(s.W, s.H)
		if l.Features != (imaging.Size{W: l.Kept.Dx(), H: l.Kept.Dy()}) {
			tensor.Fail("Tokens", "a picture of %d×%d needs its tiles shrunk (anyres_max), which is not supported", s.W, s.H)
		}
		tiles := l.Cols * l.Rows
		if view+1+tiles > V {
			tensor.Fail("Tokens", "%d views; the pictures of sizes %v need more", V, sizes)
		}
		for i := range P {
			order = append(order, int32(view*P+i))
		}
		k := l.Kept
		for y := k.Min.Y; y < k.Max.Y; y++ {
			for x := k.Min.X; x < k.Max.X; x++ {
				tile := view + 1 + (y/g)*l.Cols + x/g
				order = append(order, int32(tile*P+(y%g)*g+x%g))
			}
			order = append(order, int32(V*P))
		}
		view += 1 + tiles
	}
	return order
}
