package llm

import "github.com/gollava/gollava/tensor"

// Cache keeps the keys and values of the tokens that a decoder has seen, so that the next ones attend to them without recomputing them. A nil
// *Cache caches nothing. It is for inference: nothing that passes it is recorded.
type Cache struct {
	layers []cached
	n      int // tokens seen
}

type cached struct{ k, v *tensor.Tensor } // [B, capacity, G, D], the first n rows filled

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{} }

// Len is the number of tokens seen.
func (c *Cache) Len() int {
	if c == nil {
		return 0
	}
	return c.n
}

// append adds k and v [B, T, G, D] of a layer and returns all keys and values with how many of them exist.
func (c *Cache) append(layer int, k, v *tensor.Tensor) (ks, vs *tensor.Tensor, keys int) {
	if c == nil {
		return k, v, k.Dim(1)
	}
	B, T, G, D := k.Dims4()
	for len(c.layers) <= layer {
		c.layers = append(c.layers, cached{})
	}
	l := &c.layers[layer]
	keys = c.n + T
	if l.k == nil || l.k.Dim(1) < keys {
		room := max(64, keys+keys/2)
		grown := cached{tensor.New(B, room, G, D), tensor.New(B, room, G, D)}
		if l.k != nil && c.n > 0 {
			grown.k.Overwrite(1, 0, l.k.In(k.Arena()).Slice(1, 0, c.n))
			grown.v.Overwrite(1, 0, l.v.In(v.Arena()).Slice(1, 0, c.n))
		}
		*l = grown
	}
	l.k.Overwrite(1, c.n, k)
	l.v.Overwrite(1, c.n, v)
	return l.k.NoGrad(), l.v.NoGrad(), keys
}

func (c *Cache) advance(t int) {
	if c != nil {
		c.n += t
	}
}

// Reorder makes row i what row rows[i] was: beam search keeps the beams that it names. The batch may change its size.
func (c *Cache) Reorder(rows []int) {
	if c.n == 0 {
		return
	}
	ids := tensor.Ints(rows, len(rows))
	for i := range c.layers {
		l := &c.layers[i]
		for _, t := range []**tensor.Tensor{&l.k, &l.v} {
			*t = tensor.Gather(*t, ids).Keep()
		}
	}
}

func (c *Cache) reorderIf(rows []int) {
	if c != nil {
		c.Reorder(rows)
	}
}

// gatherRows picks rows of t's first axis.
func gatherRows(t *tensor.Tensor, rows []int) *tensor.Tensor {
	return tensor.Gather(t, tensor.Ints(rows, len(rows))).Clone()
}
