package llm

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is drawn. The zero value is greedy: the most likely one.
type Sampling struct {
	Temperature       float64 // 0: greedy
	TopK              int     // only the k most likely; 0: all
	TopP              float64 // only the most likely that together reach p; 0 or 1: all
	RepetitionPenalty float64 // divides positive logits of tokens seen and multiplies negative ones; 0 or 1: none
	Seed              uint64
}

// Probabilities returns the distribution that the next token is drawn from: the repetition penalty (over seen: the ids of the
// prompt, without padding, and what was generated), temperature, top-k, top-p, softmax, in the order of transformers' logits processors.
// logits is not changed.
func (s Sampling) Probabilities(logits []float32, seen []int32) []float64 {
	z := make([]float64, len(logits))
	for i, v := range logits {
		z[i] = float64(v)
	}
	s.penalise(z, seen)
	if s.Temperature > 0 {
		for i := range z {
			z[i] /= s.Temperature
		}
	}
	if s.TopK > 0 && s.TopK < len(z) {
		sorted := slices.Clone(z)
		slices.Sort(sorted)
		least := sorted[len(z)-s.TopK]
		for i, v := range z {
			if v < least {
				z[i] = math.Inf(-1)
			}
		}
	}
	p := softmax(z)
	if s.TopP > 0 && s.TopP < 1 {
		order := make([]int, len(p))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
		sum := 0.0
		for _, i := range order[:len(order)-1] {
			if sum += p[i]; sum <= 1-s.TopP {
				z[i] = math.Inf(-1)
			}
		}
		p = softmax(z)
	}
	return p
}

func (s Sampling) penalise(z []float64, seen []int32) {
	if s.RepetitionPenalty == 0 || s.RepetitionPenalty == 1 {
		return
	}
	done := map[int32]bool{}
	for _, id := range seen {
		if done[id] || id < 0 || int(id) >= len(z) {
			continue
		}
		done[id] = true
		if z[id] > 0 {
			z[id] /= s.RepetitionPenalty
		} else {
			z[id] *= s.RepetitionPenalty
		}
	}
}

// next picks a token.
func (s Sampling) next(logits []float32, seen []int32, r *rand.Rand) int32 {
	if s.Temperature <= 0 {
		z := make([]float64, len(logits))
		for i, v := range logits {
			z[i] = float64(v)
		}
		s.penalise(z, seen)
		return int32(argmax(z))
	}
	p := s.Probabilities(logits, seen)
	u := r.Float64()
	for i, v := range p {
		if u -= v; u < 0 {
			return int32(i)
		}
	}
	return int32(argmax(p))
}

func argmax(z []float64) int {
	best := 0
	for i, v := range z {
		if v > z[best] {
			best = i
		}
	}
	return best
}

func softmax(z []float64) []float64 {
	top, sum := slices.Max(z), 0.0
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = math.Exp(v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func logSoftmax(z []float32) []float64 {
	top := float64(slices.Max(z))
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	l := top + math.Log(sum)
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = float64(v) - l
	}
	return p
}
