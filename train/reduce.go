package train

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// The sum of a step's gradients is the same however the micro-batches are spread: the gradient of each is computed by
// itself, and they are added one after another, in the order of the micro-batches, in float32. A single rank does
// just that. Of N ranks, rank r computes micro-batches r, r+N, r+2N, …; after each round of N every block travels to
// its owner, which adds what the ranks sent in rank order. Per round a rank sends and receives (N−1)/N of the
// gradient, where a library's reduction could wait for the end of the step; it stays hidden as long as the
// computation of a round takes longer.

// inFlight is how many buckets may be under way: 128 MiB of the gradient may wait for the network while backward goes
// on.
const inFlight = 128

// reducer adds up gradients over rounds and ranks.
type reducer struct {
	comm   Comm
	all    []*trained
	index  map[*tensor.Tensor]int // of a parameter in all
	blocks []*block

	buckets []*bucket // in the order in which they travel; nil before the first round has ended
	order   []int     // in which the first backward pass completes gradients

	posted   int    // buckets of this round that are under way or have arrived
	from, to int    // ranks that compute a micro-batch in this round
	put      []bool // parameters whose gradient of this round is in buckets
	seen     []bool // parameters that a gradient of this step came for
	begun    bool   // the step has sums already
	poison   bool   // this rank sends NaN: a loss of it is not finite

	inexact bool // add up this rank's gradients first, and let the Comm add those of all ranks, in its own order

	queue []flight
	spare map[bufferKind][]*tensor.Tensor
	err   error
}

// flight is a bucket under way.
type flight struct {
	pending    Pending
	recv, send *tensor.Tensor
	arrive     func(recv, send *tensor.Tensor)
}

type bufferKind struct {
	dtype tensor.DType
	n     int
}

func newReducer(c Comm, all []*trained, blocks []*block, inexact bool) *reducer {
	d := &reducer{comm: c, inexact: inexact, all: all, blocks: blocks, index: map[*tensor.Tensor]int{},
		put: make([]bool, len(all)), seen: make([]bool, len(all)),
		spare: map[bufferKind][]*tensor.Tensor{}}
	for i, t := range all {
		d.index[t.p] = i
	}
	for _, x := range d.own() {
		x.sum = tensor.New(x.len()).To(x.of.p.Device())
	}
	return d
}

// own lists this rank's blocks.
func (d *reducer) own() []*block {
	var own []*block
	for _, x := range d.blocks {
		if x.owner == d.comm.Rank() {
			own = append(own, x)
		}
	}
	return own
}

// reset begins a step. begun says that parameters have a gradient of it already, to which the others are added.
func (d *reducer) reset(begun bool) {
	d.begun, d.poison = begun, false
	for _, b := range d.buckets {
		b.begun = begun
	}
	for i, t := range d.all {
		d.seen[i] = t.p.Grad() != nil
	}
	if begun {
		for _, x := range d.own() {
			if g := x.of.p.Grad(); g != nil {
				x.sum.CopyFrom(x.span(g))
			} else {
				x.sum.Fill(negativeZero)
			}
		}
	}
	for _, t := range d.all {
		t.p.ZeroGrad()
	}
}

// negativeZero added to any number leaves it as it is.
var negativeZero = float32(math.Copysign(0, -1))

// round begins a round in which ranks from to to−1 compute a micro-batch each.
func (d *reducer) round(from, to int) { d.from, d.to, d.posted = from, to, 0 }

// computes reports whether this rank has a micro-batch in the round.
func (d *reducer) computes() bool { return d.comm.Rank() >= d.from && d.comm.Rank() < d.to }

// complete takes over the gradient of a parameter.
func (d *reducer) complete(p *tensor.Tensor) {
	i, ok := d.index[p]
	switch {
	case !ok || d.err != nil:
	case d.inexact:
		d.keep(i)
	case d.buckets == nil:
		d.order = append(d.order, i)
	default:
		d.fill(i)
	}
}

// finish ends the round. What no gradient came for is sent as −0.
func (d *reducer) finish() error {
	if d.inexact {
		return d.err
	}
	if d.buckets == nil && d.err == nil {
		d.err = d.layOut()
	}
	for i := range d.all {
		if d.err == nil && d.computes() && !d.put[i] {
			d.fill(i)
		}
	}
	d.post()
	clear(d.put)
	return d.err
}

// keep adds a gradient to those of this rank's earlier micro-batches.
func (d *reducer) keep(i int) {
	t := d.all[i]
	g := t.p.Grad()
	switch {
	case g == nil:
		return
	case t.sum == nil:
		t.sum = g
		t.p.SetGrad(nil)
	default:
		t.sum.AddFrom(g)
		t.p.ZeroGrad()
	}
	d.seen[i] = true
}

// collect completes the step's sums: at each block's owner, and if they are inexact in trained.whole, where there is
// one.
func (d *reducer) collect() error {
	if !d.inexact {
		return d.wait()
	}
	for _, b := range pack(d.blocks, d.comm.Size(), d.comm.Rank()) {
		if d.err != nil {
			break
		}
		buf, at := d.buffer(tensor.Float32, b.size), 0
		for _, x := range b.blocks {
			to := buf.Span(at, at+x.len())
			switch {
			case d.poison:
				to.Fill(float32(math.NaN()))
			case x.of.sum == nil:
				to.Fill(0)
			default:
				to.CopyFrom(x.span(x.of.sum))
			}
			at += x.len()
		}
		d.launch(flight{pending: d.comm.AllReduce(buf), recv: buf, arrive: func(sum, _ *tensor.Tensor) {
			at := 0
			for _, x := range b.blocks {
				v := sum.Span(at, at+x.len())
				if x.sum != nil {
					x.sum.CopyFrom(v)
				}
				if x.of.whole != nil {
					x.span(x.of.whole).CopyFrom(v)
				}
				at += x.len()
			}
		}})
	}
	err := d.wait()
	for _, t := range d.all {
		t.p.SetGrad(t.sum)
		t.p.ZeroGrad()
		t.sum = nil
	}
	return err
}

// layOut makes the buckets: parameters in the order in which rank 0's first backward pass completed them, the others
// behind, last to first.
func (d *reducer) layOut() error {
	orders, err := share(d.comm, d.order)
	if err != nil {
		return err
	}
	order, seen := orders[0], make([]bool, len(d.all))
	for _, i := range order {
		seen[i] = true
	}
	for i := len(d.all) - 1; i >= 0; i-- {
		if !seen[i] {
			order = append(order, i)
		}
	}
	var blocks []*block
	for _, i := range order {
		blocks = append(blocks, d.all[i].blocks...)
	}
	d.buckets = pack(blocks, d.comm.Size(), d.comm.Rank())
	for _, b := range d.buckets {
		b.begun = d.begun
		at := 0
		for _, x := range b.blocks {
			x.in, x.slot = b, at
			at += x.len()
		}
	}
	return nil
}

// fill puts a parameter's gradient into its buckets, sends those that are full, and drops it.
func (d *reducer) fill(i int) {
	t := d.all[i]
	g := t.p.Grad()
	for _, x := range t.blocks {
		b := x.in
		if b.send == nil {
			b.send = d.buffer(tensor.Float32, b.size)
		}
		to := b.send.Span(x.slot, x.slot+x.len())
		switch {
		case d.poison:
			to.Fill(float32(math.NaN()))
		case g == nil:
			to.Fill(negativeZero)
		default:
			to.CopyFrom(x.span(g))
		}
		if b.put++; b.put == len(b.blocks) {
			d.post()
		}
	}
	d.put[i], d.seen[i] = true, d.seen[i] || g != nil
	t.p.ZeroGrad()
}

// post sends what is full, in order.
func (d *reducer) post() {
	for d.err == nil && d.posted < len(d.buckets) {
		b := d.buckets[d.posted]
		if d.computes() && b.put < len(b.blocks) {
			return
		}
		sends, recvs := make([]int, d.comm.Size()), make([]int, d.comm.Size())
		n, me := 0, d.comm.Rank()
		own := make([]bool, 0, d.to-d.from) // whether the next gradient is this rank's
		for q := d.from; q < d.to; q++ {
			if own = append(own, q == me); q != me {
				recvs[q] = b.counts[me]
				n += recvs[q]
			}
		}
		if d.computes() {
			copy(sends, b.counts)
		} else {
			b.send = d.buffer(tensor.Float32, 0)
		}
		recv := d.buffer(tensor.Float32, n)
		d.launch(flight{pending: d.comm.Exchange(recv, recvs, b.send, sends), recv: recv, send: b.send,
			arrive: func(recv, send *tensor.Tensor) { b.add(own, recv, send) }})
		b.send, b.put = nil, 0
		d.posted++
	}
}

// add adds the ranks' gradients of this rank's blocks to their sums, one rank after another: those that were received,
// and its own, which is in send.
func (b *bucket) add(own []bool, recv, send *tensor.Tensor) {
	at := 0
	for _, own := range own {
		for _, x := range b.own {
			piece := send
			if own {
				piece = send.Span(x.slot, x.slot+x.len())
			} else {
				piece = recv.Span(at, at+x.len())
				at += x.len()
			}
			if b.begun {
				x.sum.AddFrom(piece)
			} else {
				x.sum.CopyFrom(piece)
			}
		}
		b.begun = true
	}
}

// launch adds a flight to those under way, takes in what has arrived, and waits for the oldest if there are too many.
func (d *reducer) launch(f flight) {
	d.queue = append(d.queue, f)
	for len(d.queue) > inFlight || len(d.queue) > 0 && d.queue[0].pending.Done() {
		d.settle()
	}
}

// settle waits for the oldest flight.
func (d *reducer) settle() {
	f := d.queue[0]
	d.queue = d.queue[1:]
	if err := f.pending.Wait(); err != nil {
		if d.err == nil {
			d.err = err
		}
		return // its buffers may still be written to
	}
	f.arrive(f.recv, f.send)
	for _, t := range []*tensor.Tensor{f.recv, f.send} {
		if t == nil {
			continue
		}
		k := bufferKind{t.DType(), t.Len()}
		d.spare[k] = append(d.spare[k], t)
	}
}

// wait waits for everything under way.
func (d *reducer) wait() error {
	for len(d.queue) > 0 {
		d.settle()
	}
	return d.err
}

// buffer is a vector for a flight.
func (d *reducer) buffer(dt tensor.DType, n int) *tensor.Tensor {
	k := bufferKind{dt, n}
	if s := d.spare[k]; len(s) > 0 {
		d.spare[k] = s[:len(s)-1]
		return s[len(s)-1]
	}
	return tensor.NewOf(dt, n)
}

// gather gives every rank, for each of blocks, the vector that get returns at the block's owner, as type dt. put
// receives it.
func (d *reducer) gather(dt tensor.DType, blocks []*block, get func(x *block) *tensor.Tensor,
	put func(x *block, v *tensor.Tensor)) error {
	for _, b := range pack(blocks, d.comm.Size(), d.comm.Rank()) {
		if d.err != nil {
			break
		}
		recv, from := d.buffer(dt, b.size), 0
		for _, n := range b.counts[:d.comm.Rank()] {
			from += n
		}
		at := from
		for _, x := range b.own {
			recv.Span(at, at+x.len()).CopyFrom(get(x))
			at += x.len()
		}
		d.launch(flight{pending: d.comm.AllGather(recv, b.counts, recv.Span(from, at)), recv: recv,
			arrive: func(recv, _ *tensor.Tensor) {
				at := 0
				for _, x := range b.blocks {
					put(x, recv.Span(at, at+x.len()))
					at += x.len()
				}
			}})
	}
	return d.wait()
}
