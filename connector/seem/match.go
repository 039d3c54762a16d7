package seem

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// Criterion holds the numbers of matching and losses. Source: the authors' HungarianMatcher and SetCriterion.
type Criterion struct {
	Points     int     // that masks are compared at
	Oversample float64 // so many times the points are drawn for a loss
	Importance float64 // this share of the points are the most uncertain of those drawn

	None float64 // weight of "none of the classes" in the cross-entropy of objects

	ClassCost, MaskCost, DiceCost float64 // of matching

	// FocalGamma lets well classified pixels count less: BCE times α_t·(1−p_t)^γ with α = 0.25, as in MaskFormer; 0:
	// BCE.
	FocalGamma int

	// Rand draws points of n masks: 2·points·n numbers in [0, 1), (x, y) each. See [Uniform] and [Cells].
	Rand func(n, points int) []float32
}

// NewCriterion has the authors' numbers: 12,544 points.
func NewCriterion(draw func(n, points int) []float32) Criterion {
	return Criterion{Points: 12544, Oversample: 3, Importance: 0.75, None: 0.1, ClassCost: 2, MaskCost: 5,
		DiceCost: 5, Rand: draw}
}

// Uniform draws points with r.
func Uniform(r interface{ Float32() float32 }) func(n, points int) []float32 {
	return func(n, points int) []float32 {
		out := make([]float32, 2*n*points)
		for i := range out {
			out[i] = r.Float32()
		}
		return out
	}
}

// Cells draws points with r, one in each cell of a grid of so many columns, row by row: with as many rows, all of a
// mask counts.
func Cells(r interface{ Float32() float32 }, columns int) func(n, points int) []float32 {
	return func(n, points int) []float32 {
		rows := (points + columns - 1) / columns
		out := make([]float32, 0, 2*n*points)
		for range n {
			for i := range points {
				out = append(out, (float32(i%columns)+r.Float32())/float32(columns),
					(float32(i/columns)+r.Float32())/float32(rows))
			}
		}
		return out
	}
}

// Match pairs the queries of a picture with its masks.
type Match struct {
	Query, Target []int       // in the order of the queries
	Cost          [][]float64 // [Q][targets]
}

// forbidden is the cost of a query that belongs to another prompt.
const forbidden = 1e6

// match pairs the queries, mask logits [Q, h, w], of a picture with masks [n, H, W], given what the classes cost: [Q,
// n].
// Where it is forbidden, so is the pair.
func (c Criterion) match(logits, masks *tensor.Tensor, class [][]float64) Match {
	at := tensor.Wrap(c.Rand(1, c.Points), 1, c.Points, 1, 2)
	x := sampleShared(logits.Detach(), at) // [Q, K]
	t := sampleShared(masks.Detach(), at)  // [n, K]
	Q, n := x.Dim(0), t.Dim(0)
	x64, t64 := x.Host().Data(), t.Host().Data()
	K := c.Points
	m := Match{Cost: make([][]float64, Q)}
	p := make([]float64, K)
	for q := range Q {
		m.Cost[q] = make([]float64, n)
		row := x64[q*K : (q+1)*K]
		soft, sum := 0.0, 0.0
		for k, z := range row {
			soft, p[k] = soft+softplus(float64(z)), 1/(1+math.Exp(-float64(z)))
			sum += p[k]
		}
		for j := range n {
			if class[q][j] >= forbidden {
				m.Cost[q][j] = forbidden
				continue
			}
			bce, both, all := soft, 0.0, sum
			for k, y := range t64[j*K : (j+1)*K] {
				bce, both, all = bce-float64(row[k])*float64(y), both+p[k]*float64(y), all+float64(y)
			}
			dice := 1 - (2*both+1)/(all+1)
			m.Cost[q][j] = c.MaskCost*bce/float64(K) + c.ClassCost*class[q][j] + c.DiceCost*dice
		}
	}
	m.Query, m.Target = Assign(m.Cost)
	return m
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// sampleShared reads masks [n, h, w] at the same points [1, K, 1, 2] in [0, 1]: [n, K].
func sampleShared(masks, at *tensor.Tensor) *tensor.Tensor {
	n, h, w := masks.Dims3()
	return tensor.GridSample(masks.Reshape(1, n, h, w), at.Affine(2, -1), tensor.GridSampleConfig{}).Reshape(n,
		at.Dim(1))
}

// sampleEach reads each of the masks [n, h, w] at points of its own, [n, K, 2] in [0, 1]: [n, K].
func sampleEach(masks, at *tensor.Tensor) *tensor.Tensor {
	n, h, w := masks.Dims3()
	K := at.Dim(1)
	return tensor.GridSample(masks.Reshape(n, 1, h, w), at.Reshape(n, K, 1, 2).Affine(2, -1),
		tensor.GridSampleConfig{}).Reshape(n, K)
}

// columns is minus the softmax over the queries of logits [Q, n]; where allowed is false, the pair is forbidden.
func columns(logits *tensor.Tensor, allowed func(q, j int) bool) [][]float64 {
	Q, n := logits.Dims2()
	z := logits.Host().Data()
	out := make([][]float64, Q)
	for q := range out {
		out[q] = make([]float64, n)
	}
	for j := range n {
		most, sum := math.Inf(-1), 0.0
		for q := range Q {
			if allowed(q, j) {
				most = max(most, float64(z[q*n+j]))
			}
		}
		for q := range Q {
			if allowed(q, j) {
				sum += math.Exp(float64(z[q*n+j]) - most)
			}
		}
		for q := range Q {
			if out[q][j] = forbidden; allowed(q, j) {
				out[q][j] = -math.Exp(float64(z[q*n+j])-most) / sum
			}
		}
	}
	return out
}
