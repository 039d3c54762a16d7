package seem

import (
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Losses are scalars: which query answers, the pixels of its mask one by one, and the overlap of the mask.
type Losses struct {
	CE, BCE, Dice *tensor.Tensor
	Matches       []Match // of each picture
}

// Total is the weighted sum.
func (l Losses) Total(ce, bce, dice float32) *tensor.Tensor {
	return l.CE.Scale(ce).Add(l.BCE.Scale(bce)).Add(l.Dice.Scale(dice))
}

// Objects are the losses of predictions without a prompt: class logits [B, Q, C+1] of which the last stands for none,
// mask logits [B, Q, h, w], and for each picture its objects' masks [n, H, W] of 0 and 1 and their classes. A picture
// may have no object.
func (c Criterion) Objects(logits, masks *tensor.Tensor, targets []*tensor.Tensor, labels [][]int) Losses {
	B, Q, C := logits.Dims3()
	checkTargets("Objects", logits, masks, targets)
	p := logits.Detach().Softmax().Host().Data() // [B, Q, C+1]
	var l Losses
	if len(labels) != B {
		tensor.Fail("SEEM", "labels of %d pictures for %d", len(labels), B)
	}
	total := 0
	class := make([]float32, B*Q*C) // weight of the true class
	of := slices.Repeat([]int{C - 1}, B*Q)
	for b, t := range targets {
		n := t.Dim(0)
		if len(labels[b]) != n {
			tensor.Fail("SEEM", "picture %d: %d labels for %d masks", b, len(labels[b]), n)
		}
		for _, y := range labels[b] {
			if y < 0 || y >= C-1 {
				tensor.Fail("SEEM", "picture %d: label %d is not one of %d classes", b, y, C-1)
			}
		}
		total += n
		cost := make([][]float64, Q)
		for q := range cost {
			for _, y := range labels[b] {
				cost[q] = append(cost[q], -float64(p[(b*Q+q)*C+y]))
			}
		}
		l.Matches = append(l.Matches, c.match(row(masks, b), t, cost))
		for i, q := range l.Matches[b].Query {
			of[b*Q+q] = labels[b][l.Matches[b].Target[i]]
		}
	}
	sum := float32(0)
	for i, y := range of {
		w := float32(1)
		if y == C-1 {
			w = float32(c.None)
		}
		class[i*C+y] = w
		sum += w
	}
	l.CE = logits.LogSoftmax().Mul(tensor.Wrap(class, B, Q, C)).Sum().Scale(-1 / sum)
	l.BCE, l.Dice = c.masks(masks, targets, l.Matches, max(total, 1))
	return l
}

// Phrases are what is said about a picture.
type Phrases struct {
	Embed *tensor.Tensor // [n, E], not normalised: see [Language.Phrases]
	Same  []int          // equal numbers: equal phrases, which share what they refer to; nil: all differ
	Class bool           // they are names of classes, and count half; free text counts twice
}

// Ground are the losses of predictions for phrases: the queries' class embeddings [B, Q, E] and mask logits
// [B, Q, h, w], the masks [n, H, W] that each picture's n phrases refer to, and the logarithm of the inverse
// temperature, a scalar.
func (c Criterion) Ground(class, masks *tensor.Tensor, targets []*tensor.Tensor, phrases []Phrases,
	logScale *tensor.Tensor) Losses {
	checkTargets("Ground", class, masks, targets)
	B, Q, _ := class.Dims3()
	if len(phrases) != B {
		tensor.Fail("SEEM", "phrases of %d pictures for %d", len(phrases), B)
	}
	var l Losses
	scale, limit := logScale.In(class.Arena()).Exp(), tensor.Full(100)
	scale = tensor.Where(scale.LessEqual(limit), scale, limit)
	logits := make([]*tensor.Tensor, B)
	for b, p := range phrases {
		n := targets[b].Dim(0)
		if p.Embed.Dim(0) != n || n == 0 {
			tensor.Fail("SEEM", "picture %d: %d phrases for %d masks: needs one for each, and at least one", b,
				p.Embed.Dim(0), n)
		}
		if p.Same != nil && len(p.Same) != n {
			tensor.Fail("SEEM", "picture %d: %d of %d phrases are numbered", b, len(p.Same), n)
		}
		logits[b] = unit(row(class, b)).MatMulT(unit(p.Embed)).Mul(scale) // [Q, n]
		l.Matches = append(l.Matches, c.match(row(masks, b), targets[b], columns(logits[b].Detach(), func(int,
			int) bool {
			return true
		})))
	}
	for b, p := range phrases {
		n := targets[b].Dim(0)
		want := make([]float32, n*Q) // [n, Q]: equal phrases share their queries evenly
		for i, q := range l.Matches[b].Query {
			t := l.Matches[b].Target[i]
			same := func(j int) bool { return j == t || p.Same != nil && p.Same[j] == p.Same[t] }
			count := 0
			for j := range n {
				if same(j) {
					count++
				}
			}
			for j := range n {
				if same(j) {
					want[j*Q+q] += 1 / float32(count)
				}
			}
		}
		weight := float32(2)
		if p.Class {
			weight = 0.5
		}
		ce := logits[b].Transpose().LogSoftmax().Mul(tensor.Wrap(want, n, Q)).Sum().Scale(-weight / float32(n*B))
		if l.CE != nil {
			ce = l.CE.Add(ce)
		}
		l.CE = ce
	}
	count := 0
	for _, m := range l.Matches {
		count += len(m.Query)
	}
	l.BCE, l.Dice = c.masks(masks, targets, l.Matches, count)
	return l
}

// Spatial are the losses of predictions for spatial prompts: the queries' mask embeddings [B, P·S, D] and mask logits,
// the prompts' mean features [B, P, D] and the masks [n, H, W], n ≤ P, that each picture's first n prompts mean. Empty
// masks do not count; it panics if all are empty.
func (c Criterion) Spatial(embed, masks, positive *tensor.Tensor, targets []*tensor.Tensor) Losses {
	checkTargets("Spatial", embed, masks, targets)
	B, N, _ := embed.Dims3()
	P := positive.Dim(1)
	if P < 1 {
		tensor.Fail("SEEM", "mean features %v of no prompt", positive.Shape())
	}
	S := N / P
	var l Losses
	logits := embed.MatMulT(positive) // [B, N, P]
	var want []float32
	var kept []int32
	counted := make([]Match, B)
	for b, t := range targets {
		n, H, W := t.Dims3()
		if n > P {
			tensor.Fail("SEEM", "picture %d: %d masks for %d prompts", b, n, P)
		}
		on := t.Host().Data()
		own := func(q, j int) bool { return q/S == j }
		m := c.match(row(masks, b), t, columns(row(logits, b).Detach().Slice(1, 0, n), own))
		l.Matches = append(l.Matches, m)
		for i, j := range m.Target {
			if !slices.ContainsFunc(on[j*H*W:(j+1)*H*W], func(v float32) bool { return v > 0 }) {
				continue
			}
			counted[b].Query, counted[b].Target = append(counted[b].Query, m.Query[i]), append(counted[b].Target, j)
			kept = append(kept, int32(b*P+j))
			one := make([]float32, N)
			one[m.Query[i]] = 1
			want = append(want, one...)
		}
	}
	K := len(kept)
	if K == 0 {
		tensor.Fail("SEEM", "all masks of the spatial prompts are empty")
	}
	byPrompt := tensor.Gather(logits.Transpose().Reshape(B*P, N), tensor.WrapInts(kept, K).In(logits.Arena())) // [K, N]
	l.CE = byPrompt.LogSoftmax().Mul(tensor.Wrap(want, K, N)).Sum().Scale(-1 / float32(K))
	l.BCE, l.Dice = c.masks(masks, targets, counted, K)
	return l
}

// checkTargets panics unless the queries' predictions [B, Q, ·], their masks [B, Q, h, w] and B pictures' masks go
// together.
func checkTargets(op string, queries, masks *tensor.Tensor, targets []*tensor.Tensor) {
	q, m := queries.Shape(), masks.Shape()
	if len(q) != 3 || len(m) != 4 || len(targets) != m[0] || q[0] != m[0] || q[1] != m[1] {
		tensor.Fail("SEEM", "%s: predictions %v, masks %v and targets of %d pictures: needs [B Q ·], [B Q h w] and B",
			op, q, m, len(targets))
	}
	for b, t := range targets {
		if t.Rank() != 3 || t.Dim(1) < 1 || t.Dim(2) < 1 {
			tensor.Fail("SEEM", "%s: picture %d: masks %v: needs [n H W] of at least one pixel", op, b, t.Shape())
		}
	}
}

// row is picture b of x [B, ...], without the first axis.
func row(x *tensor.Tensor, b int) *tensor.Tensor { return x.Slice(0, b, b+1).Reshape(x.Shape()[1:]...) }

// masks are BCE and dice of the matched masks, summed over masks and divided by count.
func (c Criterion) masks(logits *tensor.Tensor, targets []*tensor.Tensor, matches []Match, count int) (bce,
	dice *tensor.Tensor) {
	B, Q, h, w := logits.Dims4()
	var rows []int32
	var t []float32 // the points' labels are read from masks of one size
	_, H, W := targets[0].Dims3()
	for b, m := range matches {
		if targets[b].Dim(1) != H || targets[b].Dim(2) != W {
			tensor.Fail("SEEM", "masks of picture %d are %v, those of picture 0 %v: sizes must be equal in a batch",
				b, targets[b].Shape(), targets[0].Shape())
		}
		on := targets[b].Host().Data()
		for i, q := range m.Query {
			rows = append(rows, int32(b*Q+q))
			t = append(t, on[m.Target[i]*H*W:(m.Target[i]+1)*H*W]...)
		}
	}
	M := len(rows)
	if M == 0 {
		zero := logits.Sum().Scale(0)
		return zero, zero
	}
	x := tensor.Gather(logits.Reshape(B*Q, h*w), tensor.WrapInts(rows, M).In(logits.Arena())).Reshape(M, h, w)
	at := c.uncertain(x.Detach(), M).In(logits.Arena())                              // [M, K, 2]
	z, y := sampleEach(x, at), sampleEach(tensor.Wrap(t, M, H, W).In(x.Arena()), at) // [M, K]
	each := crossEntropy(z, y)
	p := z.Sigmoid()
	if c.FocalGamma > 0 {
		right := p.Mul(y).Add(p.Affine(-1, 1).Mul(y.Affine(-1, 1))) // p_t
		for range c.FocalGamma {
			each = each.Mul(right.Affine(-1, 1))
		}
		each = each.Mul(y.Affine(0.25-0.75, 0.75))
	}
	bce = each.Mean(1).Sum().Scale(1 / float32(count))
	both, all := p.Mul(y).Sum(1), p.Sum(1).Add(y.Sum(1))
	dice = both.Affine(2, 1).Div(all.Affine(1, 1)).Affine(-1, 1).Sum().Scale(1 / float32(count))
	return bce, dice
}

// crossEntropy is −y·ln σ(z) − (1−y)·ln(1−σ(z)), element by element, for any z.
func crossEntropy(z, y *tensor.Tensor) *tensor.Tensor {
	n, K := z.Dims2()
	zero := tensor.New(n, K, 1).In(z.Arena())
	both := tensor.Concat(2, z.Reshape(n, K, 1), zero).LogSoftmax() // ln σ(z), ln(1−σ(z))
	weights := tensor.Concat(2, y.Reshape(n, K, 1), y.Affine(-1, 1).Reshape(n, K, 1))
	return both.Mul(weights).Sum(2).Neg()
}

// uncertain draws the points that a loss of M masks [M, h, w] is taken at: [M, K, 2].
func (c Criterion) uncertain(x *tensor.Tensor, M int) *tensor.Tensor {
	drawn, sure := int(float64(c.Points)*c.Oversample), int(c.Importance*float64(c.Points))
	if sure == 0 {
		return tensor.Wrap(c.Rand(M, c.Points), M, c.Points, 2)
	}
	candidates := tensor.Wrap(c.Rand(M, drawn), M, drawn, 2)
	z := sampleEach(x, candidates).Host().Data()
	for i, v := range z {
		z[i] = -max(v, -v)
	}
	_, top := tensor.Wrap(z, M, drawn).TopK(sure, 1) // [M, sure]
	at := candidates.GatherBatch(top)
	if rest := c.Points - sure; rest > 0 {
		at = tensor.Concat(1, at, tensor.Wrap(c.Rand(M, rest), M, rest, 2))
	}
	return at
}
