package train

import (
	"cmp"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// blockSize is the most elements of a block: the piece of a parameter that a rank owns, and the piece that
// [tensor.SquareSums] adds up in one go, so that the norm of a gradient is the same however it is spread.
const blockSize = 16 << 10

// block is a piece of a trained parameter. Its owner adds up its gradient and, if optimizer state is sharded, updates
// it.
type block struct {
	of       *trained
	from, to int // elements of the parameter
	owner    int // rank

	sum               *tensor.Tensor // of the gradients, at the owner
	m, v, master, ema *tensor.Tensor // as those of trained, at the owner, if optimizer state is sharded
	in                *bucket        // that it is reduced with
	slot              int            // where it begins there
}

func (x *block) len() int { return x.to - x.from }

// span is the block's part of a tensor of the parameter's length.
func (x *block) span(t *tensor.Tensor) *tensor.Tensor { return t.Span(x.from, x.to) }

// value is the float32 truth of the block's part of a parameter.
func (x *block) value() *tensor.Tensor {
	if x.master != nil {
		return x.master
	}
	return x.span(x.of.p)
}

// cut divides parameters into blocks, parameter after parameter, and gives each to the rank that has the fewest
// elements so far.
func cut(all []*trained, ranks int) []*block {
	var blocks []*block
	load := make([]int, ranks)
	for _, t := range all {
		t.blocks = nil
		for from := 0; from < t.p.Len(); from += blockSize {
			x := &block{of: t, from: from, to: min(from+blockSize, t.p.Len())}
			for r := range load {
				if load[r] < load[x.owner] {
					x.owner = r
				}
			}
			load[x.owner] += x.len()
			t.blocks = append(t.blocks, x)
		}
		blocks = append(blocks, t.blocks...)
	}
	return blocks
}

// bucket is what travels at a time: a few blocks.
type bucket struct {
	blocks []*block // by owner
	own    []*block // this rank's
	counts []int    // elements of each owner's blocks
	size   int      // elements in all

	send  *tensor.Tensor // [size], while it is being filled
	put   int            // blocks in it
	begun bool           // there are sums of its blocks already
}

// bucketSize is how many elements a bucket has, the last one apart: at least 1 MiB of float32, and a block from each
// rank.
func bucketSize(ranks int) int { return max(1<<18, ranks*blockSize) }

// pack puts blocks, in their order, into buckets.
func pack(blocks []*block, ranks, rank int) []*bucket {
	var buckets []*bucket
	for len(blocks) > 0 {
		b := &bucket{counts: make([]int, ranks)}
		for len(blocks) > 0 && b.size < bucketSize(ranks) {
			x := blocks[0]
			blocks = blocks[1:]
			b.blocks = append(b.blocks, x)
			b.counts[x.owner] += x.len()
			b.size += x.len()
			if x.owner == rank {
				b.own = append(b.own, x)
			}
		}
		slices.SortStableFunc(b.blocks, func(x, y *block) int { return cmp.Compare(x.owner, y.owner) })
		buckets = append(buckets, b)
	}
	return buckets
}
