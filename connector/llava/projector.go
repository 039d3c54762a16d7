package llava

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Projector turns vision features into token embeddings. "linear" is one Linear (v1), "mlpNx_gelu" N of them with GELU
// between (v1.5: mlp2x_gelu), "identity" none. Source: LLaVA's multimodal_projector/builder.py. "mlpNx_linear" is N of
// them with nothing between: how the Hub's layout, whose projector always has two Linears, says a linear connector
// (mlp2x_linear: projector_hidden_act "linear").
// [FusedMLP] is Prismatic's for two towers: three Linears, the first four times as wide as what it takes.
// It is safe for concurrent use while nobody changes its parameters.
type Projector struct {
	Norm    nn.Layer       `param:"projector_layernorm,optional"` // ViP-LLaVA's
	Linears []nn.Layer     `param:"linear_#"`                     // linear_1, linear_2, …, named as transformers does
	Slots   *tensor.Tensor `param:"slots,optional"`               // [P, C], added to a picture's tokens: see [Config]

	merge int
	act   tensor.Activation // between the Linears
}

// FusedMLP is the type of the projector of Prismatic's models with two towers. Source: prismatic-vlms'
// FusedMLPProjector.
const FusedMLP = "fused-gelu-mlp"

var mlpType = regexp.MustCompile(`^mlp(\d{1,2})x_(gelu|linear)$`)

// depth is the number of Linears of a projector type.
func depth(kind string) (int, error) {
	switch m := mlpType.FindStringSubmatch(kind); {
	case kind == "identity":
		return 0, nil
	case kind == "linear":
		return 1, nil
	case kind == FusedMLP:
		return 3, nil
	case m != nil:
		if n, _ := strconv.Atoi(m[1]); n > 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("mm_projector_type %q is not supported (linear, mlpNx_gelu, mlpNx_linear, fused-gelu-mlp, "+
		"identity are)", kind)
}

// NewProjector builds the projector that c describes, with PyTorch's initial weights; with a nil r they are to be
// loaded.
func NewProjector(r *rand.Rand, c Config) (*Projector, error) {
	n, err := depth(c.Projector)
	if err != nil {
		return nil, err
	}
	p := &Projector{merge: max(c.Merge, 1), act: tensor.GELU}
	if strings.HasSuffix(c.Projector, "_linear") {
		p.act = tensor.Identity
	}
	in, out := c.featureWidth()*p.merge*p.merge, c.Text.HiddenSize
	if n == 0 && in != out {
		return nil, fmt.Errorf("mm_projector_type identity: vision features of width %d do not fit hidden_size %d", in,
			out)
	}
	if c.NormEps > 0 {
		p.Norm = nn.NewLayerNorm(r, in, c.NormEps, true)
	}
	for i := range n {
		width := out
		if i == 0 && c.Projector == FusedMLP {
			width = 4 * in
		}
		p.Linears = append(p.Linears, nn.NewLinear(r, in, width, !c.NoBias))
		in = width
	}
	if r != nil && n > 0 && c.Gain > 0 {
		w := p.Linears[n-1].(*nn.Linear).Weight.Host().Data() // a new model's own
		for i := range w {
			w[i] *= float32(c.Gain)
		}
	}
	if c.SlotStd > 0 {
		p.Slots = tensor.Randn(r, c.SlotStd, c.FeaturesPerView(), out).Param()
	}
	return p, nil
}

// Forward maps features [V, P, D] to tokens [V, P/merge², C].
func (p *Projector) Forward(x *tensor.Tensor) *tensor.Tensor {
	x = mergePatches(x, p.merge)
	if p.Norm != nil {
		x = p.Norm.Forward(x)
	}
	for i, l := range p.Linears {
		act := p.act
		if i == len(p.Linears)-1 {
			act = tensor.Identity
		}
		x = nn.Activated(l, x, act)
	}
	if p.Slots != nil {
		x = x.Add(p.Slots)
	}
	return x
}

// mergePatches lays the features of each k×k neighbourhood side by side: [V, g·g, D] → [V, (g/k)², k·k·D].
func mergePatches(x *tensor.Tensor, k int) *tensor.Tensor {
	if k == 1 {
		return x
	}
	V, P, D := x.Dims3()
	g := side(P)
	if g == 0 || g%k != 0 {
		tensor.Fail("Projector", "%d patches cannot be merged %d×%d", P, k, k)
	}
	return x.Reshape(V, g/k, k, g/k, k, D).Transpose(0, 1, 3, 2, 4, 5).Reshape(V, P/(k*k), k*k*D)
}

// side is √n, or 0 if n is no square.
func side(n int) int {
	g := 0
	for g*g < n {
		g++
	}
	if g*g != n {
		return 0
	}
	return g
}
