package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// Gather returns the rows of table that ids (int32) name: table [N, ...], ids of any shape → [ids..., ...]. With a
// weight as the table it is an embedding; the table may be bfloat16 or, as [N, C], of a block type. It panics if an id
// is outside [0, N).
func Gather(table, ids *Tensor) *Tensor {
	cols := rowsOf("Gather", table, ids)
	at := ids.beside(table)
	out := placeOf(table, at).alloc(Float32, append(slices.Clone(ids.shape), table.shape[1:]...)...)
	out.buf().Device.GatherRows(out.buf(), table.buf(), at.buf(), cols)
	record(out, "Gather", func(dy *gradient) {
		dst, fresh := table.accumulator()
		if fresh {
			dst.Device.Fill(dst, 0)
		}
		dst.Device.ScatterAddRows(dst, dy.buf(), at.buf(), cols)
	}, nil, table)
	return out
}

func rowsOf(op string, table, ids *Tensor) (cols int) {
	ids.want(op, Int32)
	table.check(op)
	if !table.isWeight(true) || len(table.shape) < 1 {
		Fail(op, "rows of %v %v: needs a table [N, ...] of float32 or bfloat16, or [N, C] of a block type", table.dtype,
			table.shape)
	}
	checkIDs(op, ids, table.shape[0])
	_, _, cols = around(table.shape, 0, 1)
	return cols
}

func checkIDs(op string, ids *Tensor, n int) {
	for i, id := range ids.Host().IntData() {
		if id < 0 || int(id) >= n {
			Fail(op, "id %d at position %d of %v is outside [0, %d), the rows there are", id, i, ids.shape, n)
		}
	}
}

// ScatterAddRows returns zeros [n, C] with row i of src [M, C] added to row ids[i], in order.
func ScatterAddRows(n int, ids, src *Tensor) *Tensor {
	src.want("ScatterAddRows", Float32)
	ids.want("ScatterAddRows", Int32)
	if len(src.shape) != 2 || len(ids.shape) != 1 || ids.n != src.shape[0] {
		Fail("ScatterAddRows", "rows %v at ids %v: needs [M, C] and [M]", src.shape, ids.shape)
	}
	checkIDs("ScatterAddRows", ids, n)
	cols := src.shape[1]
	at := ids.beside(src)
	out := placeOf(src, at).alloc(Float32, n, cols)
	out.buf().Device.Fill(out.buf(), 0)
	out.buf().Device.ScatterAddRows(out.buf(), src.buf(), at.buf(), cols)
	record(out, "ScatterAddRows", func(dy *gradient) {
		src.into(func(dx *backend.Buffer) { dx.Device.GatherRows(dx, dy.buf(), at.buf(), cols) })
	}, nil, src)
	return out
}

// ScatterRows returns x [N, C] with rows ids [M] (int32, distinct) replaced by those of src [M, C]: how image features
// take their places among the token embeddings.
func ScatterRows(x, ids, src *Tensor) *Tensor {
	x.want("ScatterRows", Float32)
	src.want("ScatterRows", Float32)
	ids.want("ScatterRows", Int32)
	if len(x.shape) != 2 || len(src.shape) != 2 || x.shape[1] != src.shape[1] || len(ids.shape) != 1 ||
		ids.n != src.shape[0] {
		Fail("ScatterRows", "rows %v at ids %v of %v: needs [M, C], [M] and [N, C]", src.shape, ids.shape, x.shape)
	}
	checkIDs("ScatterRows", ids, x.shape[0])
	if d, moved := apart("ScatterRows", x, src); moved {
		return ScatterRows(x.on(d), ids, src.on(d))
	}
	seen, list := make(map[int32]bool, ids.n), ids.Host().IntData()
	for _, id := range list {
		if seen[id] {
			Fail("ScatterRows", "row %d of %v is named twice; ScatterAddRows adds up", id, x.shape)
		}
		seen[id] = true
	}
	cols := x.shape[1]
	at := ids.beside(x)
	d := placeOf(x, at, src)
	out := d.like(x)
	d.Copy(out.buf(), x.buf())
	clearRows(out.buf(), list, cols)
	d.ScatterAddRows(out.buf(), src.buf(), at.buf(), cols)
	record(out, "ScatterRows", func(dy *gradient) {
		src.into(func(dx *backend.Buffer) { d.GatherRows(dx, dy.buf(), at.buf(), cols) })
		x.overwrite(dy, func(dx *backend.Buffer) { clearRows(dx, list, cols) })
	}, nil, x, src)
	return out
}

func clearRows(b *backend.Buffer, ids []int32, cols int) {
	for _, id := range ids {
		b.Device.Fill(b.Slice(int(id)*cols, cols), 0)
	}
}
