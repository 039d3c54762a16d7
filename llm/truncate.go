package llm

import (
	"cmp"
	"math"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// candidate is a token that may be drawn, with its probability, or a multiple of it that is the same for all.
type candidate struct {
	id int
	p  float64
}

// candidates are the tokens that temperature, top-k, top-p, min-p and typical-p, applied in this order to the scores,
// of which top is the largest, leave, by id. The next call overwrites them. Probabilities are float32, as in
// transformers.
func (c *choice) candidates(top float32) []candidate {
	const small = 1e-5                                // most tokens of a large vocabulary are less likely
	inverse := max(min(1/c.Temperature, 1e30), 1e-30) // neither makes a number out of −Inf nor scores of it
	nucleus := c.TopP > 0 && c.TopP < 1
	list, sum := c.list[:0], 0.0
	tensor.Scope(func(s *tensor.Arena) {
		p := c.z.In(s).Affine(1, -top).Scale(float32(inverse)).Softmax().Host().Data()
		if z := c.z.Host().Data(); c.TopK > 0 && c.TopK < len(z) {
			least := largest(z, c.TopK)
			for i, v := range z {
				if v >= least && p[i] > 0 {
					list, sum = append(list, candidate{i, float64(p[i])}), sum+float64(p[i])
				}
			}
			return
		}
		if nucleus {
			for i := above(p, 0, small); i < len(p); i = above(p, i+1, small) {
				list, sum = append(list, candidate{i, float64(p[i])}), sum+float64(p[i])
			}
			if sum > c.TopP+margin {
				sum = 1
				return
			}
			list, sum = list[:0], 0
		}
		for i, v := range p {
			if v > 0 {
				list, sum = append(list, candidate{i, float64(v)}), sum+float64(v)
			}
		}
	})
	c.list = list
	if nucleus {
		list = mostLikely(list, c.TopP*sum)
	}
	if c.MinP > 0 {
		likeliest := 0.0
		for _, one := range list {
			likeliest = max(likeliest, one.p)
		}
		list = slices.DeleteFunc(list, func(one candidate) bool { return one.p < c.MinP*likeliest })
	}
	if c.TypicalP > 0 && c.TypicalP < 1 {
		list = typical(list, c.TypicalP)
	}
	return list
}

// largest is the k-th largest of x, which has more elements.
func largest(x []float32, k int) float32 {
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

// margin is more than what sums of probabilities in another order differ by.
const margin = 1e-6

// mostLikely are the candidates that together reach least, most likely first, of equal ones the last, returned by id.
// Those far down are not sorted: what remains is chosen by the leading bits. Source: Holtzman et al. 2020.
func mostLikely(list []candidate, least float64) []candidate {
	const buckets, shift = 1024, 48 // 16 to a power of two
	top := uint64(0)
	for _, one := range list {
		top = max(top, math.Float64bits(one.p)>>shift)
	}
	bucket := func(v float64) uint64 { return min(top-math.Float64bits(v)>>shift, buckets-1) }
	var sums [buckets]float64
	for _, one := range list {
		sums[bucket(one.p)] += one.p
	}
	last, sum := uint64(0), sums[0]
	for ; last < buckets-1 && sum < least+margin; sum += sums[last] {
		last++
	}
	var order []candidate
	for _, one := range list {
		if bucket(one.p) <= last {
			order = append(order, one)
		}
	}
	slices.SortFunc(order, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.p, a.p), b.id-a.id) })
	kept := 0
	for sum = 0; kept < len(order) && sum < least; kept++ {
		sum += order[kept].p
	}
	order = order[:kept]
	slices.SortFunc(order, byID)
	return order
}

func byID(a, b candidate) int { return a.id - b.id }

// typical are the candidates whose surprise −log p is nearest to the entropy, until they reach least of the sum.
// Source: Meister et al. 2022.
func typical(list []candidate, least float64) []candidate {
	sum, entropy := 0.0, 0.0
	for _, one := range list {
		sum += one.p
	}
	for _, one := range list {
		entropy -= one.p / sum * math.Log(one.p/sum)
	}
	type surprise struct {
		candidate
		distance float64
	}
	order := make([]surprise, len(list))
	for i, one := range list {
		order[i] = surprise{one, math.Abs(-math.Log(one.p/sum) - entropy)}
	}
	slices.SortStableFunc(order, func(a, b surprise) int { return cmp.Compare(a.distance, b.distance) })
	least *= sum
	kept := list[:0]
	sum = 0
	for i, one := range order {
		if sum >= least && one.distance > order[i-1].distance {
			break
		}
		kept, sum = append(kept, one.candidate), sum+one.p
	}
	slices.SortFunc(kept, byID)
	return kept
}
