package llm

import "github.com/gollava/gollava/tensor"

// packed is in without its padding: the real positions of all sequences lie one after another in one row, [1, N, C],
// and each attends within its own sequence. So nothing is computed of padding. in itself is returned where there is no
// padding or all positions are wanted, and of passes with a cache, a context or a prefix, which belong to rows, or for
// the loss of routers, which counts rows. Source: transformers' DataCollatorWithFlattening.
func (in Input) packed() Input {
	if in.Rows == nil || in.Start == nil && in.End == nil || in.Cache != nil || in.Context != nil || in.Prefix != nil ||
		in.routing != nil {
		return in
	}
	in.check()
	B, T, C := in.Embeds.Dims3()
	p := Pass{in: in, rows: B, T: T}
	positions := p.Positions()
	var real []int32         // b·T + t of each real position
	to := make([]int32, B*T) // where it lies when packed, counted from 1
	in.from, in.Positions = nil, nil
	for b := range B {
		first := int32(len(real))
		from, end := p.real(b)
		for t := from; t < end; t++ {
			real = append(real, int32(b*T+t))
			to[b*T+t] = int32(len(real))
			in.from, in.Positions = append(in.from, first), append(in.Positions, positions[b*T+t])
		}
	}
	if len(real) == B*T || len(real) == 0 {
		return p.in
	}
	rows := make([]int32, len(in.Rows))
	for i, r := range in.Rows {
		if r < 0 || int(r) >= B*T || to[r] == 0 {
			return p.in // of padding, or for the pass to refuse
		}
		rows[i] = to[r] - 1
	}
	N := len(real)
	in.Embeds = tensor.Gather(in.Embeds.Reshape(B*T, C), tensor.WrapInts(real, N)).Reshape(1, N, C)
	in.Rows, in.Start, in.End = rows, nil, nil
	return in
}
