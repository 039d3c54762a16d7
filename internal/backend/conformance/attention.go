package conformance

import (
	"math"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// attentionCase is an attention with its inputs; the buffers of a are filled in by check.
type attentionCase struct {
	a              backend.Attention
	q, k, v, dOut  []float32
	slopes         []float32
	start, end     []int32
	from, to       []int32
	out, lse       []float64
	dq, dk, dv     []float64
	dqm, dkm, dvm  []float64 // sums of the magnitudes that make the gradients
	largest        float64   // |v|
	scoreMagnitude float64
}

// sees is the rule of who sees whom.
func (c *attentionCase) sees(b, t, s int) bool {
	a := &c.a
	switch {
	case s >= a.Keys, c.start != nil && s < int(c.start[b]), c.end != nil && s >= int(c.end[b]),
		c.from != nil && s < int(c.from[b*a.T+t]), c.to != nil && s >= int(c.to[b*a.T+t]):
		return false
	case !a.Causal:
		return true
	}
	return s <= a.Offset+t && (a.Window == 0 || s > a.Offset+t-a.Window)
}

// compute forms whole rows of probabilities, head by head, and the gradients from them by the chain rule.
func (c *attentionCase) compute() {
	a := &c.a
	nq, nk := a.B*a.T*a.H*a.D, a.B*a.S*a.G*a.D
	c.out, c.lse = make([]float64, nq), make([]float64, a.B*a.H*a.T)
	c.dq, c.dk, c.dv = make([]float64, nq), make([]float64, nk), make([]float64, nk)
	c.dqm, c.dkm, c.dvm = make([]float64, nq), make([]float64, nk), make([]float64, nk)
	score, dp, slope := make([]float64, a.S), make([]float64, a.S), make([]float64, a.S)
	for s := range slope {
		slope[s] = 1
	}
	for i := range c.out {
		b, t, h := i/(a.T*a.H*a.D), i/(a.H*a.D)%a.T, i/a.D%a.H
		if i%a.D != 0 {
			continue
		}
		q, dOut := c.q[i:i+a.D], c.dOut[i:i+a.D]
		key := func(s int) int { return ((b*a.S+s)*a.G + h/(a.H/a.G)) * a.D }
		top := math.Inf(-1)
		for s := range a.S {
			score[s] = math.Inf(-1)
			if !c.sees(b, t, s) {
				continue
			}
			dot, mag := 0.0, 0.0
			for e, v := range q {
				dot += float64(v) * float64(c.k[key(s)+e])
				mag += math.Abs(float64(v) * float64(c.k[key(s)+e]))
			}
			c.scoreMagnitude = math.Max(c.scoreMagnitude, mag*math.Abs(float64(a.Scale)))
			score[s] = dot * float64(a.Scale)
			if a.Cap > 0 {
				tanh := math.Tanh(score[s] / float64(a.Cap))
				score[s], slope[s] = float64(a.Cap)*tanh, 1-tanh*tanh
			}
			if c.slopes != nil {
				score[s] += float64(c.slopes[h]) * float64(s-a.Offset-t)
			}
			top = math.Max(top, score[s])
		}
		sum := 0.0
		for s := range a.S {
			if !math.IsInf(score[s], -1) {
				sum += math.Exp(score[s] - top)
			}
		}
		c.lse[(b*a.H+h)*a.T+t] = top + math.Log(sum)
		if sum == 0 {
			c.lse[(b*a.H+h)*a.T+t] = math.Inf(-1)
			continue
		}
		mean := 0.0
		for s := range a.S {
			if !c.sees(b, t, s) {
				continue
			}
			p := math.Exp(score[s]-top) / sum
			dp[s] = 0
			for e := range a.D {
				v := float64(c.v[key(s)+e])
				c.out[i+e] += p * v
				dp[s] += float64(dOut[e]) * v
				c.dv[key(s)+e] += p * float64(dOut[e])
				c.dvm[key(s)+e] += p * math.Abs(float64(dOut[e]))
				c.largest = math.Max(c.largest, math.Abs(v))
			}
			mean += p * dp[s]
		}
		size := 0.0 // of the terms that cancel in dp − mean
		for _, v := range dOut {
			size += math.Abs(float64(v)) * c.largest
		}
		for s := range a.S {
			if !c.sees(b, t, s) {
				continue
			}
			p := math.Exp(score[s]-top) / sum
			ds := p * (dp[s] - mean) * float64(a.Scale) * slope[s]
			m := p * size * math.Abs(float64(a.Scale))
			for e := range a.D {
				k := float64(c.k[key(s)+e])
				c.dq[i+e] += ds * k
				c.dk[key(s)+e] += ds * float64(q[e])
				c.dqm[i+e] += m * math.Abs(k)
				c.dkm[key(s)+e] += m * math.Abs(float64(q[e]))
			}
		}
	}
}

func (s *suite) attend(a backend.Attention, slopes []float32, start, end []int32, deviation float64) {
	s.attendWithin(a, slopes, start, end, nil, nil, deviation)
}

// attendWithin is attend with a range of keys for each query. In a third of the cases what may be rounded is checked
// too: rounding moves a factor by up to 2⁻⁹ of it.
func (s *suite) attendWithin(a backend.Attention, slopes []float32, start, end, from, to []int32, deviation float64) {
	s.attendOnce(a, slopes, start, end, from, to, deviation)
	if a.Half = s.r.IntN(3) == 0; a.Half {
		s.attendOnce(a, slopes, start, end, from, to, deviation)
	}
}

func (s *suite) attendOnce(a backend.Attention, slopes []float32, start, end, from, to []int32, deviation float64) {
	c := &attentionCase{a: a, slopes: slopes, start: start, end: end, from: from, to: to}
	s.start("q [%d %d %d %d], k [%d %d %d %d], %d keys, causal %v, offset %d, window %d, scale %v, cap %v, slopes %v, "+
		"start %v, end %v, from %v, to %v, half %v", a.B, a.T, a.H, a.D, a.B, a.S, a.G, a.D, a.Keys, a.Causal, a.Offset,
		a.Window, a.Scale, a.Cap, slopes, start, end, from, to, a.Half)
	nq, nk := a.B*a.T*a.H*a.D, a.B*a.S*a.G*a.D
	c.q, c.k, c.v, c.dOut = s.normal(nq, deviation), s.normal(nk, deviation), s.normal(nk, 1), s.normal(nq, 1)
	if a.G > 0 && a.D > 0 {
		for i := range nk { // a cache's spare room holds anything
			if i/(a.G*a.D)%a.S >= a.Keys {
				c.k[i], c.v[i] = float32(math.NaN()), float32(math.NaN())
			}
		}
	}
	c.compute()
	c.a.Q, c.a.K, c.a.V = s.in(c.q), s.in(c.k), s.in(c.v)
	if slopes != nil {
		c.a.Slopes = s.in(slopes)
	}
	if start != nil {
		c.a.Start = s.ints(start)
	}
	if end != nil {
		c.a.End = s.ints(end)
	}
	if from != nil {
		c.a.From = s.ints(from)
	}
	if to != nil {
		c.a.To = s.ints(to)
	}
	// An error in a score moves its probability by as much, relatively.
	e := 4e-6 + 1e-6*c.scoreMagnitude
	if a.Half {
		e += 0x1p-8 + 0x1p-8*c.scoreMagnitude
	}
	c.a.Out = s.out(nq)
	s.dev.Attention(&c.a)
	s.near("Out without LSE", c.a.Out, c.out, e, e*(0.5+c.largest))
	if a.T <= a.Keys {
		fresh := c.a
		fresh.K, fresh.NewK = s.cut(c.k, a)
		fresh.V, fresh.NewV = s.cut(c.v, a)
		fresh.Out = s.out(nq)
		s.dev.Attention(&fresh)
		s.near("Out of new keys", fresh.Out, c.out, e, e*(0.5+c.largest))
		s.exact("K with the new ones", fresh.K, c.k)
		s.exact("V with the new ones", fresh.V, c.v)
	}
	c.a.Out, c.a.LSE = s.out(nq), s.out(a.B*a.H*a.T)
	s.dev.Attention(&c.a)
	s.near("Out", c.a.Out, c.out, e, e*(0.5+c.largest))
	s.near("LSE", c.a.LSE, c.lse, 1e-6, e)

	c.a.Out, c.a.LSE = s.in(narrowed(c.out)), s.in(narrowed(c.lse))
	dOut := s.in(c.dOut)
	for _, pick := range []int{7, 1, 2, 4, 6} {
		grads := [3]*backend.Buffer{}
		for i, n := range [3]int{nq, nk, nk} {
			if pick>>i&1 != 0 {
				grads[i] = s.out(n)
			}
		}
		s.dev.AttentionGrad(&c.a, grads[0], grads[1], grads[2], dOut)
		for i, want := range [3][]float64{c.dq, c.dk, c.dv} {
			if grads[i] != nil {
				mag := [3][]float64{c.dqm, c.dkm, c.dvm}[i]
				s.within([3]string{"dq", "dk", "dv"}[i], grads[i], want, func(j int) float64 { return 2*e*mag[j] + 1e-7 })
			}
		}
	}
	s.done()
}

// cut is x [B, S, G, D] without the last T of its Keys, which are apart: [B, T, G, D].
func (s *suite) cut(x []float32, a backend.Attention) (rest, fresh *backend.Buffer) {
	x, row := slices.Clone(x), a.G*a.D
	var last []float32
	for b := range a.B {
		part := x[(b*a.S+a.Keys-a.T)*row:][:a.T*row]
		last = append(last, part...)
		for i := range part {
			part[i] = float32(math.Inf(1))
		}
	}
	return s.inout(x), s.in(last)
}

func attention(s *suite) {
	scale := func(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }
	plain := func(b, t, k, h, g, d int) backend.Attention {
		return backend.Attention{B: b, T: t, S: k, H: h, G: g, D: d, Keys: k, Offset: k - t, Scale: scale(d)}
	}
	for _, c := range [][6]int{{1, 1, 1, 1, 1, 1}, {1, 3, 3, 1, 1, 2}, {2, 17, 17, 2, 2, 3}, {1, 33, 33, 4, 2, 16},
		{2, 1, 67, 4, 1, 64}, {1, 65, 67, 2, 1, 80}, {1, 5, 131, 3, 3, 128}, {3, 7, 1, 2, 2, 8}, {1, 130, 130, 2, 1, 32},
		{1, 257, 300, 1, 1, 24}, {0, 3, 3, 2, 2, 4}, {2, 0, 3, 2, 2, 4}, {1, 2, 0, 2, 2, 4}} {
		a := plain(c[0], c[1], c[2], c[3], c[4], c[5])
		s.attend(a, nil, nil, nil, 1)
		a.Causal = true
		s.attend(a, nil, nil, nil, 1)
		for _, w := range []int{1, 3, 16, 64} {
			a.Window = w
			s.attend(a, nil, nil, nil, 1)
		}
	}
	big := plain(1, 33, 35, 2, 2, 64)
	s.attend(big, nil, nil, nil, 6) // probabilities of 0 and 1
	big.Scale = -0.3
	s.attend(big, nil, nil, nil, 1)
	for _, n := range []int{1, 3, 17, 131} { // scores far below the cap, near it and above
		capped := plain(2, n, n+2, 4, 2, 16)
		capped.Causal, capped.Cap = true, 2
		s.attend(capped, nil, nil, nil, 1)
		s.attend(capped, []float32{0.25, 0.0625, 0.5, 0}, nil, nil, 3)
		capped.Window = 5
		s.attend(capped, nil, []int32{0, 1}, nil, 0.1)
	}
	spare := plain(2, 5, 40, 4, 2, 16)
	spare.Keys, spare.Offset, spare.Causal = 23, 18, true
	s.attend(spare, nil, nil, nil, 1)
	early := plain(2, 9, 5, 2, 1, 8) // the first queries stand before the first key
	early.Causal = true
	s.attend(early, nil, nil, nil, 1)
	alibi := plain(2, 17, 33, 4, 4, 8)
	alibi.Causal = true
	s.attend(alibi, []float32{0.25, 0.0625, 0.5, 0}, nil, nil, 1)
	s.attend(plain(3, 19, 19, 2, 2, 8), nil, []int32{0, 7, 19}, []int32{19, 11, 19}, 1)
	empty := plain(2, 5, 5, 2, 2, 8)
	s.attend(empty, nil, []int32{3, 0}, []int32{3, 0}, 1)
	for _, n := range []int{3, 17, 65, 131} { // a prefix that sees itself, and a causal rest; the second row has none
		prefix := plain(2, n, n, 2, 1, 8)
		to := make([]int32, 2*n)
		for i := range to {
			to[i] = int32(i%n + 1)
			if i < n {
				to[i] = max(to[i], int32(n/2))
			}
		}
		s.attendWithin(prefix, nil, nil, nil, nil, to, 1)
	}
	// Each text position sees the states of the last image before it: none at first, and then 4 at a time.
	across := plain(2, 33, 12, 2, 2, 16)
	from, to := make([]int32, 66), make([]int32, 66)
	for i := range from {
		images := min(i%33/(5+i/33*6), 3)
		from[i], to[i] = int32(max(4*images-4, 0)), int32(4*images)
	}
	s.attendWithin(across, nil, nil, nil, from, to, 1)
}

func attentionRandom(s *suite) {
	for range 60 {
		g := 1 + s.r.IntN(3)
		a := backend.Attention{B: 1 + s.r.IntN(3), T: 1 + s.r.IntN(40), S: 1 + s.r.IntN(70), G: g, H: g * (1 + s.r.IntN(3)),
			D:      []int{1, 3, 8, 16, 20, 33, 64}[s.r.IntN(7)],
			Causal: s.r.IntN(3) > 0, Scale: 0.3}
		a.Keys = 1 + s.r.IntN(a.S)
		a.Offset = a.Keys - a.T
		if s.r.IntN(4) == 0 {
			a.Offset = s.r.IntN(20) - 10
		}
		if a.Causal && s.r.IntN(2) == 0 {
			a.Window = 1 + s.r.IntN(a.S)
		}
		var slopes []float32
		if s.r.IntN(3) == 0 {
			slopes = s.uniform(a.H, 0, 0.5)
		}
		var start, end []int32
		if s.r.IntN(3) == 0 {
			for range a.B {
				start = append(start, int32(s.r.IntN(a.Keys)))
			}
		}
		if s.r.IntN(3) == 0 {
			for range a.B {
				end = append(end, int32(1+s.r.IntN(a.S+5)))
			}
		}
		var from, to []int32
		if s.r.IntN(2) == 0 {
			for range a.B {
				lo, hi := 0, s.r.IntN(a.S+1)
				for range a.T {
					if s.r.IntN(3) == 0 {
						lo, hi = lo+s.r.IntN(5), hi+s.r.IntN(7)
					}
					from, to = append(from, int32(lo)), append(to, int32(hi))
				}
			}
		}
		s.attendWithin(a, slopes, start, end, from, to, 1)
	}
}
