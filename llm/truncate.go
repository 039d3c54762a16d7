package llm

import (
	"cmp"
	"math"
	"slices"
)

// truncate hides what top-k, top-p, min-p and typical-p leave out, in this order. p is memory for as many
// probabilities.
func (s *Sampling) truncate(z, p []float64) {
	hidden := math.Inf(-1)
	if s.TopK > 0 && s.TopK < len(z) {
		least := largest(z, s.TopK)
		for i, v := range z {
			if v < least {
				z[i] = hidden
			}
		}
	}
	if s.TopP > 0 && s.TopP < 1 {
		s.nucleus(z, p)
	}
	if s.MinP > 0 {
		softmaxTo(p, z)
		least := s.MinP * slices.Max(p)
		for i, v := range p {
			if v < least {
				z[i] = hidden
			}
		}
	}
	if s.TypicalP > 0 && s.TypicalP < 1 {
		s.typical(z, p)
	}
}

// nucleus keeps the most likely tokens, of equal ones the last, until they reach TopP. Source: Holtzman et al. 2020.
func (s *Sampling) nucleus(z, p []float64) {
	softmaxTo(p, z)
	kept, sum := 0, 0.0
	likely := mostLikely(p, s.TopP)
	for ; kept < len(likely) && sum < s.TopP; kept++ {
		sum += p[likely[kept]]
	}
	keep := make([]float64, kept)
	for i, at := range likely[:kept] {
		keep[i] = z[at]
	}
	for i := range z {
		z[i] = math.Inf(-1)
	}
	for i, at := range likely[:kept] {
		z[at] = keep[i]
	}
}

// largest is the k-th largest of x, which has more elements.
func largest(x []float64, k int) float64 {
	heap := slices.Sorted(slices.Values(x[:k])) // no element is larger than its two children
	for _, v := range x[k:] {
		if !(v > heap[0]) {
			continue
		}
		i := 0
		for {
			child := 2*i + 1
			if child+1 < k && heap[child+1] < heap[child] {
				child++
			}
			if child >= k || heap[child] >= v {
				break
			}
			heap[i], i = heap[child], child
		}
		heap[i] = v
	}
	return heap[0]
}

// mostLikely are indices of probabilities that together reach least, and maybe more, by value from the top, of equal
// ones the last first. Those far down are not sorted: what remains is chosen by the leading bits.
func mostLikely(p []float64, least float64) []int {
	const buckets, shift = 1024, 48 // 16 to a power of two
	const margin = 1e-9             // sums in another order differ by less
	const small = 1e-5              // most tokens of a large vocabulary are less likely
	var all []int
	sum := 0.0
	for i, v := range p {
		if v > small {
			all, sum = append(all, i), sum+v
		}
	}
	if sum < least+margin {
		all = all[:0]
		for i := range p {
			all = append(all, i)
		}
	}
	top := math.Float64bits(p[argmax(p)]) >> shift
	bucket := func(v float64) uint64 { return min(top-math.Float64bits(v)>>shift, buckets-1) }
	var sums [buckets]float64
	for _, i := range all {
		sums[bucket(p[i])] += p[i]
	}
	last := uint64(0)
	for sum = sums[0]; last < buckets-1 && sum < least+margin; sum += sums[last] {
		last++
	}
	var order []int
	for _, i := range all {
		if bucket(p[i]) <= last {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(p[b], p[a]), b-a) })
	return order
}

// typical keeps the tokens whose surprise −log p is nearest to the entropy, until they reach TypicalP. Source: Meister
// et al. 2022.
func (s *Sampling) typical(z, p []float64) {
	softmaxTo(p, z)
	entropy := 0.0
	for _, v := range p {
		if v > 0 {
			entropy -= v * math.Log(v)
		}
	}
	distance := make([]float64, len(p))
	for i, v := range p {
		distance[i] = math.Abs(-math.Log(v) - entropy)
	}
	order := ascending(distance)
	sum, last := 0.0, distance[order[len(order)-1]]
	for _, i := range order {
		if sum += p[i]; sum >= s.TypicalP {
			last = distance[i]
			break
		}
	}
	for i, d := range distance {
		if d > last {
			z[i] = math.Inf(-1)
		}
	}
}

// ascending returns the indices of x by value, equal ones in order.
func ascending(x []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	return order
}
