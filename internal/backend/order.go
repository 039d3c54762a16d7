package backend

// Lines works along the middle axis of [outer, n, inner].
type Lines interface {
	// TopK sets row i < k of values and at (Int32), both [outer, k, inner], to the element of x that is the i-th
	// in descending order, or in ascending order unless largest, and to its index: of equals the first comes
	// first, and NaN is the largest number.
	TopK(values, at, x *Buffer, outer, n, inner, k int, largest bool)

	// CumSum sets dst[o, i, j] to the sum of x[o, :i+1, j], or with reverse of x[o, i:, j]. dst may be x.
	CumSum(dst, x *Buffer, outer, n, inner int, reverse bool)

	// GatherLines sets dst[o, i, j] = x[o, at[o, i, j], j] for dst and at (Int32) [outer, m, inner].
	GatherLines(dst, x, at *Buffer, outer, n, m, inner int)

	// ScatterLines adds src[o, i, j] to dst[o, at[o, i, j], j], in order of i.
	ScatterLines(dst, src, at *Buffer, outer, n, m, inner int)
}
