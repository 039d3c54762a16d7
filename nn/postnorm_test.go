package nn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// block is a post-norm block with cross-attention, as package nn describes it.
type block struct {
	Self        *nn.MultiHead `param:"attention.self"`
	SelfOutput  *nn.AddNorm   `param:"attention.output"`
	Cross       *nn.MultiHead `param:"crossattention.self"`
	CrossOutput *nn.AddNorm   `param:"crossattention.output"`
	Up          nn.Layer      `param:"intermediate.dense"`
	Output      *nn.AddNorm   `param:"output"`
}

func newBlock(r *rand.Rand, c, context, heads, f int) *block {
	const std, eps = 0.3, 1e-3
	b := &block{Self: nn.NewMultiHead(r, c, c, heads, std), SelfOutput: nn.NewAddNorm(r, c, c, std, eps),
		Cross: nn.NewMultiHead(r, c, context, heads, std), CrossOutput: nn.NewAddNorm(r, c, c, std, eps),
		Up: nn.NewNormalLinear(r, c, f, std), Output: nn.NewAddNorm(r, f, c, std, eps)}
	for _, p := range nn.Params(b) { // biases and norms that show
		for i := range p.Data() {
			p.Data()[i] += 0.2 * float32(r.NormFloat64())
		}
	}
	return b
}

func (b *block) forward(x, context *tensor.Tensor, self, cross tensor.AttentionConfig) *tensor.Tensor {
	x = b.SelfOutput.Forward(b.Self.Forward(x, x, self), x)
	x = b.CrossOutput.Forward(b.Cross.Forward(x, context, cross), x)
	return b.Output.Forward(nn.Activated(b.Up, x, tensor.GELU), x)
}

// matrix is rows of float64, for the plain reference.
type matrix [][]float64

func rowsOf(t *tensor.Tensor, from, n int) matrix {
	w, m := t.Dim(-1), make(matrix, n)
	for i := range m {
		for _, v := range t.Data()[(from+i)*w : (from+i+1)*w] {
			m[i] = append(m[i], float64(v))
		}
	}
	return m
}

func linearOf(l nn.Layer, x matrix) matrix {
	lin, y := l.(*nn.Linear), make(matrix, len(x))
	in := lin.Weight.Dim(1)
	for i, row := range x {
		for o, b := range lin.Bias.Data() {
			sum := float64(b)
			for j, v := range row {
				sum += v * float64(lin.Weight.Data()[o*in+j])
			}
			y[i] = append(y[i], sum)
		}
	}
	return y
}

func addNormOf(l *nn.AddNorm, y, x matrix) matrix {
	n, z := l.Norm.(*nn.LayerNorm), linearOf(l.Dense, y)
	for i, row := range z {
		mean, square := 0.0, 0.0
		for j := range row {
			row[j] += x[i][j]
			mean += row[j] / float64(len(row))
		}
		for _, v := range row {
			square += (v - mean) * (v - mean) / float64(len(row))
		}
		for j := range row {
			row[j] = (row[j]-mean)/math.Sqrt(square+float64(n.Eps))*float64(n.Weight.Data()[j]) +
				float64(n.Bias.Data()[j])
		}
	}
	return z
}

func attentionOf(a *nn.MultiHead, heads int, x, y matrix, sees func(t, s int) bool) matrix {
	q, k, v := linearOf(a.Query, x), linearOf(a.Key, y), linearOf(a.Value, y)
	D, out := len(q[0])/heads, make(matrix, len(x))
	for t := range x {
		out[t] = make([]float64, len(q[0]))
		for h := range heads {
			sum, weights := 0.0, make([]float64, len(y))
			for s := range y {
				if !sees(t, s) {
					continue
				}
				dot := 0.0
				for d := h * D; d < (h+1)*D; d++ {
					dot += q[t][d] * k[s][d]
				}
				weights[s] = math.Exp(dot / math.Sqrt(float64(D)))
				sum += weights[s]
			}
			for s, w := range weights {
				for d := h * D; d < (h+1)*D; d++ {
					out[t][d] += w / sum * v[s][d]
				}
			}
		}
	}
	return out
}

// A block computes what plain loops do, under a prefix mask and a padded context, at odd sizes.
func TestPostNormBlock(t *testing.T) {
	const B, T, S, heads, C, context, F, prefix = 2, 5, 7, 3, 9, 4, 11, 2
	r := rand.New(rand.NewPCG(3, 4))
	b := newBlock(r, C, context, heads, F)
	x, y := tensor.Randn(r, 1, B, T, C), tensor.Randn(r, 1, B, S, context)
	end := []int32{S, S - 3}
	got := b.forward(x, y, tensor.AttentionConfig{Causal: true, Prefix: []int32{prefix, prefix}},
		tensor.AttentionConfig{End: end})
	var want []float64
	for row := range B {
		h, image := rowsOf(x, row*T, T), rowsOf(y, row*S, S)
		h = addNormOf(b.SelfOutput, attentionOf(b.Self, heads, h, h,
			func(t, s int) bool { return s <= t || s < prefix }), h)
		h = addNormOf(b.CrossOutput, attentionOf(b.Cross, heads, h, image,
			func(_, s int) bool { return s < int(end[row]) }), h)
		up := linearOf(b.Up, h)
		for _, row := range up {
			for j, v := range row {
				row[j] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
			}
		}
		for _, row := range addNormOf(b.Output, up, h) {
			want = append(want, row...)
		}
	}
	tensortest.Close(t, got, tensor.From(want, B, T, C), 1e-5, 1e-5)
}

// Key biases cancel in the softmax: their gradient is zero but for rounding.
func TestPostNormBlockTrains(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	b := newBlock(r, 6, 3, 2, 5)
	x, y, w := tensor.Randn(r, 1, 2, 3, 6), tensor.Randn(r, 1, 2, 17, 3), tensor.Randn(r, 1, 2, 3, 6)
	nntest.Check(t, b, func() *tensor.Tensor {
		return b.forward(x, y, tensor.AttentionConfig{}, tensor.AttentionConfig{}).Mul(w).Sum()
	}, "**.key.bias")
	if err := tensor.Catch(func() { nn.NewMultiHead(r, 10, 10, 3, 1) }); err == nil {
		t.Fatal("3 heads of a width of 10 are no error")
	}
}
