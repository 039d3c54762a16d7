package llm

import (
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Input is what a decoder reads.
type Input struct {
	Embeds *tensor.Tensor // [B, T, C]

	// Positions, [B·T], are for rotary embeddings. nil: the real positions of a row count from the length of its
	// cache, or from 0.
	Positions []int32

	// Longest is the number of positions of the longest sequence that belongs to the pass, if that is longer than
	// Positions say: for rotary embeddings whose frequencies depend on it (dynamic NTK and LongRoPE).
	Longest int

	// Start and End, [B]: row b's real positions of this pass are Start[b] to End[b]−1, the others are padding, which
	// nothing attends to and no cache keeps. nil: all are real.
	Start, End []int32

	// Prefix, [B]: the first Prefix[b] real positions of row b attend to each other in both directions, as the image
	// tokens of GIT; what follows is causal. With a Cache a pass must not end within a prefix. nil: causal
	// throughout.
	Prefix []int32

	Context *Context // what blocks with cross-attention attend to; nil: nothing
	// what row b attends to before the positions of this pass, and where these are added; nil in training
	Cache *Cache

	// Rows, [N]: the hidden states of positions b·T + t are wanted, in this order; nil: all. After its attention the
	// last block may leave out the others.
	Rows []int32

	routing *routing // collects what routers of experts compute; set by Loss
	from    []int32  // [N], where the sequence of each position begins; set by packed
}

// Context is a second sequence that text attends to: the states of an encoder (T5), or tokens of images (Flamingo).
type Context struct {
	States *tensor.Tensor // [B, S, D], of any width D

	// From and To, [B·T]: position t of row b attends to states From[b·T+t] to To[b·T+t]−1, such as those of the last
	// image before it. Neither may decrease along a row; a position without states gets zeros. nil: from the first,
	// to the last.
	From, To []int32
}

// Block is one layer of a decoder. Any type of any package can be one. Positions meet in [Pass.Attend] alone, which
// knows what belongs together: in training a row may hold several sequences.
// Forward is safe for concurrent use in the blocks of this package.
type Block interface {
	// Forward maps [B, T, C] to [B, T, C]. A block that calls [Pass.Pick] maps to [N, C] if that does.
	Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor
}

// PassConfig describes a model to [NewPass]. The zero value of all but Blocks means none.
type PassConfig struct {
	Blocks    int                 // of the model
	RoPE      *nn.RoPE            // rotary embeddings of queries and keys
	Slopes    []float32           // [H], ALiBi: see tensor.AttentionConfig
	Scale     float32             // of q·k; 0: 1/√D
	Cap       float32             // soft cap of the scores: see tensor.AttentionConfig
	Window    func(layer int) int // sliding window of a layer, 0 for none
	Recompute bool                // keep only the inputs of each block and compute the rest again in the backward pass
}

// Pass is one forward pass through the blocks of a model: what they share, and what differs from one to the next. A
// model's Hidden makes one with [NewPass], gives it the blocks in turn with [Pass.Run] and ends it with
// [Pass.Finish]:
//
//	p := llm.NewPass(in, llm.PassConfig{Blocks: len(m.Layers), RoPE: m.rope})
//	x := in.Embeds
//	for _, b := range m.Layers {
//		x = p.Run(b, x)
//	}
//	return m.Norm.Forward(p.Finish(x))
//
// It serves one goroutine.
type Pass struct {
	in       Input
	c        PassConfig
	rows, T  int            // B, T
	picked   *tensor.Tensor // int32 [N], the rows that are wanted; nil: all
	cos, sin *tensor.Tensor // [B·T, R/2]
	layer    int
	block    Block          // that the model runs
	routed   *tensor.Tensor // [.., E], what the block's router computed
}

// NewPass begins a pass. It panics if a field of in has the wrong length.
func NewPass(in Input, c PassConfig) *Pass {
	in.check()
	p := &Pass{in: in, c: c, layer: -1}
	p.rows, p.T, _ = in.Embeds.Dims3()
	in.Cache.begin(p.rows)
	if in.Rows != nil {
		p.picked = tensor.WrapInts(in.Rows, len(in.Rows))
	}
	if c.RoPE != nil {
		p.cos, p.sin = c.RoPE.AtLength(p.Positions(), in.Longest)
	}
	return p
}

// check panics if a field has the wrong length.
func (in Input) check() {
	B, T, _ := in.Embeds.Dims3()
	for _, f := range []struct {
		name string
		x    []int32
		n    int
	}{{"Positions", in.Positions, B * T}, {"Start", in.Start, B}, {"End", in.End, B}, {"Prefix", in.Prefix, B}} {
		if f.x != nil && len(f.x) != f.n {
			tensor.Fail("Hidden", "%s has length %d, but embeds %v need %d", f.name, len(f.x), in.Embeds.Shape(), f.n)
		}
	}
}

// Run passes x [B, T, C] through the next block of the model: [B, T, C], or [N, C] if the last block picks.
func (p *Pass) Run(b Block, x *tensor.Tensor) *tensor.Tensor {
	p.layer++
	p.block = b
	q := *p
	forward := func(in []*tensor.Tensor) *tensor.Tensor {
		q := q
		if len(in) > 1 {
			context := *p.in.Context
			context.States = in[1]
			q.in.Context = &context
		}
		y := b.Forward(in[0], &q)
		if q.routed != nil {
			y = tensor.Concat(-1, y, q.routed.Reshape(p.rows, p.T, -1))
		}
		return y
	}
	in := []*tensor.Tensor{x}
	if p.in.Context != nil {
		in = append(in, p.in.Context.States)
	}
	run := tensor.Checkpoint
	if !p.c.Recompute || p.in.Cache != nil {
		run = tensor.Compact
	}
	y, C := run(forward, in...), x.Dim(-1)
	if y.Dim(-1) == C {
		return y
	}
	parts := y.Split(-1, C, y.Dim(-1)-C)
	p.in.routing.logits = append(p.in.routing.logits, parts[1])
	return parts[0]
}

// route takes the logits of a router, if they are wanted.
func (p *Pass) route(logits *tensor.Tensor) {
	if p.in.routing != nil {
		p.routed = logits
	}
}

// Finish ends the pass: the cache grows by its positions, and of x, what the last block returned, the rows that are
// wanted remain, [B, T, C] or [N, C].
func (p *Pass) Finish(x *tensor.Tensor) *tensor.Tensor {
	if c := p.in.Cache; c != nil {
		for b, s := range c.rows {
			from, to := p.real(b)
			s.n += to - from
		}
	}
	return p.pick(x)
}

// pick takes the rows that are wanted. If none are named, or it is done, x stays.
func (p *Pass) pick(x *tensor.Tensor) *tensor.Tensor {
	if p.picked == nil || x.Rank() == 2 {
		return x
	}
	B, T, C := x.Dims3()
	return tensor.Gather(x.Reshape(B*T, C), p.picked)
}

// Pick returns the rows [N, C] of x [B, T, C] that the caller of the model wants, if b is the last block and the
// model runs it directly; else x. A block may call it, with itself, on all that it adds up, where the positions need
// each other no longer. One that never does is picked from by Finish. b is a pointer.
func (p *Pass) Pick(b Block, x *tensor.Tensor) *tensor.Tensor {
	if p.picked == nil || p.in.routing != nil || p.layer < p.c.Blocks-1 || p.block != b {
		return x
	}
	return p.pick(x)
}

// Layer is the index of the block that runs.
func (p *Pass) Layer() int { return p.layer }

// Context is what cross-attention attends to, or nil.
func (p *Pass) Context() *Context { return p.in.Context }

// Cache is what the pass adds to, or nil.
func (p *Pass) Cache() *Cache { return p.in.Cache }

// Real returns the range of the positions of row b in this pass that are no padding.
func (p *Pass) Real(b int) (from, to int) { return p.real(b) }

func (p *Pass) real(b int) (from, to int) {
	to = p.T
	if p.in.Start != nil {
		from = int(p.in.Start[b])
	}
	if p.in.End != nil {
		to = int(p.in.End[b])
	}
	return min(max(from, 0), p.T), max(min(to, p.T), min(max(from, 0), p.T))
}

// Positions are those of all rows in their sequences, [B·T], cached ones counted; padding has 0 or what the caller
// gave it.
func (p *Pass) Positions() []int32 {
	if p.in.Positions != nil {
		return p.in.Positions
	}
	pos := make([]int32, p.rows*p.T)
	for b := range p.rows {
		from, to := p.real(b)
		for t := from; t < to; t++ {
			pos[b*p.T+t] = int32(p.in.Cache.Len(b) + t - from)
		}
	}
	return pos
}

// Rotate applies the model's rotary embeddings to the heads of x [B, T, H, D]; without any it returns x.
func (p *Pass) Rotate(x *tensor.Tensor) *tensor.Tensor {
	if p.cos == nil {
		return x
	}
	return tensor.RoPE(x, p.cos, p.sin)
}

// Attend is self-attention of queries [B, T, H, D] over keys and values [B, T, G, D], as [tensor.Attention] defines
// it: it rotates q and k, adds k and v to the cache, attends to all that row b holds within the pass's mask and the
// layer's window, and returns the heads side by side, [B, T, H·D], 0 at padding.
func (p *Pass) Attend(q, k, v *tensor.Tensor) *tensor.Tensor { return p.AttendBiased(q, k, v, nil) }

// AttendBiased is [Pass.Attend] with a bias of the scores: bias(T, keys), [1, H, T, keys], is that of T queries which
// are the last of the keys, as relative positions have it. nil: none.
func (p *Pass) AttendBiased(q, k, v *tensor.Tensor, bias func(T, keys int) *tensor.Tensor) *tensor.Tensor {
	B, T, H, D := q.Dims4()
	q, k = p.Rotate(q), p.Rotate(k)
	c := tensor.AttentionConfig{Causal: true, Scale: p.c.Scale, Cap: p.c.Cap, Slopes: p.c.Slopes}
	if p.c.Window != nil {
		c.Window = p.c.Window(p.layer)
	}
	if p.in.Cache == nil || B > 1 && p.in.Cache.empty() {
		c.Start, c.End, c.From = p.in.Start, p.in.End, p.in.from
		for b, n := range p.in.Prefix {
			from, _ := p.real(b)
			c.Prefix = append(c.Prefix, int32(from)+n)
		}
		for b := range p.in.Cache.Rows() {
			from, to := p.real(b)
			p.in.Cache.rows[b].append(p.layer, k, v, b, from, to)
		}
		if bias != nil {
			c.Bias = bias(T, T)
		}
		return tensor.Attention(q, k, v, c).Reshape(B, T, H*D)
	}
	if p.in.Start == nil && p.in.End == nil && p.in.Prefix == nil && bias == nil {
		ks, vs, keys := make([]*tensor.Tensor, B), make([]*tensor.Tensor, B), make([]int, B)
		for b, s := range p.in.Cache.rows {
			ks[b], vs[b], keys[b] = s.room(p.layer, k, T)
		}
		return tensor.AttentionRows(q.NoGrad(), k.NoGrad(), v.NoGrad(), ks, vs, keys, c).Reshape(B, T, H*D)
	}
	return p.perRow(q, func(b, from, to int, q *tensor.Tensor) *tensor.Tensor {
		c := c
		if p.in.Prefix != nil {
			c.Prefix = p.in.Prefix[b : b+1]
		}
		k, v, keys := p.in.Cache.rows[b].append(p.layer, k, v, b, from, to)
		if c.Keys = keys; bias != nil {
			c.Bias = bias(to-from, keys)
		}
		return tensor.Attention(q, k, v, c)
	})
}

// AttendContext is cross-attention of queries [B, T, H, D] over the states of the pass's context: [B, T, H·D].
// project maps the states [B, S, ·] to keys and values [B, S, G, D]; with a cache it is called once for each sequence
// and layer. It panics if there is no context.
func (p *Pass) AttendContext(q *tensor.Tensor,
	project func(states *tensor.Tensor) (k, v *tensor.Tensor)) *tensor.Tensor {
	x := p.in.Context
	if x == nil {
		tensor.Fail("AttendContext", "the pass has no context: set Input.Context")
	}
	B, T, H, D := q.Dims4()
	if p.in.Cache == nil {
		k, v := project(x.States)
		return tensor.Attention(q, k, v, tensor.AttentionConfig{Scale: p.c.Scale, From: x.From, To: x.To}).
			Reshape(B, T, H*D)
	}
	var ks, vs *tensor.Tensor
	return p.perRow(q, func(b, from, to int, q *tensor.Tensor) *tensor.Tensor {
		at := p.in.Cache.rows[b].layer(p.layer)
		if at.contextK == nil {
			if ks == nil {
				ks, vs = project(x.States.NoGrad())
			}
			at.contextK, at.contextV = ks.Slice(0, b, b+1).Clone(), vs.Slice(0, b, b+1).Clone()
		}
		c := tensor.AttentionConfig{Scale: p.c.Scale}
		if x.From != nil {
			c.From = x.From[b*T+from : b*T+to]
		}
		if x.To != nil {
			c.To = x.To[b*T+from : b*T+to]
		}
		return tensor.Attention(q, at.contextK, at.contextV, c)
	})
}

// perRow attends row by row, for sequences of their own length: attend maps the queries [1, n, H, D] of row b's real
// positions, from to to−1, to what they found. The result is [B, T, H·D].
func (p *Pass) perRow(q *tensor.Tensor, attend func(b, from, to int, q *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	B, T, H, D := q.Dims4()
	parts := make([]*tensor.Tensor, 0, B)
	for b := range B {
		from, to := p.real(b)
		if from > 0 {
			parts = append(parts, tensor.New(1, from, H, D))
		}
		if from < to {
			parts = append(parts, attend(b, from, to, part(q, b, from, to)))
		}
		if to < T {
			parts = append(parts, tensor.New(1, T-to, H, D))
		}
	}
	y := parts[0]
	if len(parts) > 1 {
		y = tensor.Concat(1, parts...) // [1, B·T, H, D]
	}
	return y.Reshape(B, T, H*D)
}

// part is x[b, from:to] of x [B, T, ...] as a batch of one.
func part(x *tensor.Tensor, b, from, to int) *tensor.Tensor {
	if x.Dim(0) > 1 {
		x = x.Slice(0, b, b+1)
	}
	if from > 0 || to < x.Dim(1) {
		x = x.Slice(1, from, to)
	}
	return x
}
