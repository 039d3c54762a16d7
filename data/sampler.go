package data

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/internal/misuse"
)

// Order says in which order an epoch goes through a set: every record exactly once, as a function of the epoch alone.
type Order func(epoch int) []int

// InOrder goes through n records as they lie, every time.
func InOrder(n int) Order {
	return func(int) []int {
		out := make([]int, n)
		for i := range out {
			out[i] = i
		}
		return out
	}
}

// Shuffled goes through n records at random, differently each epoch.
func Shuffled(n int, seed uint64) Order {
	return func(epoch int) []int { return epochRand(seed, epoch).Perm(n) }
}

func epochRand(seed uint64, epoch int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(epoch)*0x9e3779b97f4a7c15+1))
}

// LengthGrouped puts records of like length together: at random into mega-batches of batch·world records, in which each
// of the world workers (or steps of accumulation) gets batch records, with nearly the same number of words. The sign of
// a length does not matter. Source: LLaVA's get_length_grouped_indices.
func LengthGrouped(lengths []int, batch, world int, seed uint64) Order {
	sizes(batch, world)
	return func(epoch int) []int {
		all := make([]int, len(lengths))
		for i := range all {
			all[i] = i
		}
		return slices.Concat(megabatches(all, lengths, batch, world, epochRand(seed, epoch))...)
	}
}

// ModalityGrouped is LengthGrouped within the records that have pictures (lengths above zero) and those that have none,
// and then mixes the mega-batches: all but the last are of one kind, so that no step waits for an encoder that half of
// it does not need. What does not fill a mega-batch, of either kind, comes last in the order of the records. lengths
// are those of Lengths. Source: LLaVA's get_modality_length_grouped_indices.
func ModalityGrouped(lengths []int, batch, world int, seed uint64) Order {
	sizes(batch, world)
	var pictures, text []int
	for i, l := range lengths {
		if l > 0 {
			pictures = append(pictures, i)
		} else {
			text = append(text, i)
		}
	}
	if len(pictures) == 0 || len(text) == 0 {
		return LengthGrouped(lengths, batch, world, seed)
	}
	return func(epoch int) []int {
		r := epochRand(seed, epoch)
		a := megabatches(pictures, lengths, batch, world, r)
		b := megabatches(text, lengths, batch, world, r)
		mega := slices.Concat(a[:len(a)-1], b[:len(b)-1])
		r.Shuffle(len(mega), func(i, j int) { mega[i], mega[j] = mega[j], mega[i] })
		rest := slices.Concat(a[len(a)-1], b[len(b)-1])
		slices.Sort(rest)
		return append(slices.Concat(mega...), rest...)
	}
}

func sizes(batch, world int) {
	if batch < 1 || world < 1 {
		panic(misuse.Errorf("data", "a batch of %d, world of %d", batch, world))
	}
}

// megabatches shuffles records and cuts them into mega-batches, ordered as the workers get them.
func megabatches(records, lengths []int, batch, world int, r *rand.Rand) [][]int {
	records = slices.Clone(records)
	r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var out [][]int
	for m := range slices.Chunk(records, batch*world) {
		slices.SortStableFunc(m, func(a, b int) int { return cmp.Compare(abs(lengths[b]), abs(lengths[a])) })
		out = append(out, slices.Concat(EvenChunks(m, lengths, world)...))
	}
	return out
}

func abs(x int) int { return max(x, -x) }

// EvenChunks deals records, longest first, to n workers, each to the one that has the fewest words and still room, so
// that all get equally many records. Where their number is not divisible, worker k gets records k, k+n, k+2n, …
// instead. Source: LLaVA's split_to_even_chunks.
func EvenChunks(records, lengths []int, n int) [][]int {
	sizes(1, n)
	out := make([][]int, n)
	if len(records)%n != 0 {
		for i, r := range records {
			out[i%n] = append(out[i%n], r)
		}
		return out
	}
	load := make([]int, n)
	for _, r := range records {
		least := -1
		for k := range out {
			if len(out[k]) < len(records)/n && (least < 0 || load[k] < load[least]) {
				least = k
			}
		}
		out[least] = append(out[least], r)
		load[least] += abs(lengths[r])
	}
	return out
}
