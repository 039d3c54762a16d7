package cpu

import "github.com/gollava/gollava/internal/backend"

func (d *Device) Fill(dst *backend.Buffer, v float32) {
	if dst.DType == backend.BFloat16 {
		var h [1]uint16
		narrowGo(h[:], []float32{v})
		fill(dst.BFloat16(), h[0])
		return
	}
	fill(dst.Float32(), v)
}

func fill[T float32 | uint16](x []T, v T) {
	if len(x) <= 2*grain {
		set(x, v)
		return
	}
	ranges(len(x), grain, func(i, j int) { set(x[i:j], v) })
}

// set fills a little by hand and copies it: what is copied moves in large registers.
func set[T float32 | uint16](x []T, v T) {
	if v == 0 && 1/float32(v) > 0 { // not −0
		clear(x)
		return
	}
	n := min(len(x), 16)
	for i := range x[:n] {
		x[i] = v
	}
	for n < len(x) {
		n += copy(x[n:], x[:min(n, 1024)])
	}
}

func (d *Device) Copy(dst, src *backend.Buffer) {
	switch dst.DType {
	case backend.Float32:
		copied(dst.Float32(), src.Float32())
	case backend.Int32:
		copied(dst.Int32(), src.Int32())
	case backend.BFloat16:
		copied(dst.BFloat16(), src.BFloat16())
	default:
		copied(dst.Raw(), src.Raw())
	}
}

func copied[T any](dst, src []T) {
	switch n := len(dst); {
	case n <= 2*grain:
		copy(dst, src)
	case n <= streamed:
		ranges(n, grain, func(i, j int) { copy(dst[i:j], src[i:j]) })
	default: // tasks long enough that copy writes past the caches
		ranges(n, 1<<19, func(i, j int) { copy(dst[i:j], src[i:j]) })
	}
}

// streamed is the number of elements of which no processor's caches hold much.
const streamed = 4 << 20

func (d *Device) Cast(dst, src *backend.Buffer) {
	k := vectors()
	switch {
	case src.DType == dst.DType:
		d.Copy(dst, src)
	case src.DType.Quantized():
		decode(dst.Float32(), src, 0)
	case dst.DType.Quantized():
		encode(dst, src.Float32())
	case src.DType == backend.Int32:
		cast(dst.Float32(), src.Int32(), k.fromInt)
	case src.DType == backend.BFloat16:
		cast(dst.Float32(), src.BFloat16(), k.widen)
	default:
		cast(dst.BFloat16(), src.Float32(), k.narrow)
	}
}

func cast[D, S any](dst []D, src []S, f func(dst []D, x []S)) {
	if len(dst) <= grain {
		f(dst, src)
		return
	}
	ranges(len(dst), grain, func(i, j int) { f(dst[i:j], src[i:j]) })
}

func (d *Device) CopyBlocks(dst *backend.Buffer, dstOff, dstStride int, src *backend.Buffer, srcOff, srcStride int,
	rows, cols int, add bool) {
	y, x := dst.Float32(), src.Float32()
	if rows*cols <= grain {
		copyBlocks(y, dstOff, dstStride, x, srcOff, srcStride, rows, cols, add)
		return
	}
	if rows == 1 {
		ranges(cols, grain, func(i, j int) { copyBlocks(y, dstOff+i, 0, x, srcOff+i, 0, 1, j-i, add) })
		return
	}
	ranges(rows, height(cols), func(i, j int) {
		copyBlocks(y, dstOff+i*dstStride, dstStride, x, srcOff+i*srcStride, srcStride, j-i, cols, add)
	})
}

func copyBlocks(y []float32, yOff, yStride int, x []float32, xOff, xStride int, rows, cols int, add bool) {
	f := vectors().binary[backend.Add]
	for i := range rows {
		to, from := y[yOff+i*yStride:][:cols], x[xOff+i*xStride:][:cols]
		if add {
			f(to, to, from)
		} else {
			copy(to, from)
		}
	}
}

func (d *Device) GatherRows(dst, table, ids *backend.Buffer, cols int) {
	y, at := dst.Float32(), ids.Int32()
	var full []float32
	var half []uint16
	if table.DType.Quantized() {
		for i, id := range at {
			decodePart(y[i*cols:(i+1)*cols], table, int(id)*cols)
		}
		return
	}
	if table.DType == backend.BFloat16 {
		half = table.BFloat16()
	} else {
		full = table.Float32()
	}
	if len(y) <= grain {
		gather(y, full, half, at, cols)
		return
	}
	ranges(len(at), height(cols), func(i, j int) { gather(y[i*cols:j*cols], full, half, at[i:j], cols) })
}

func gather(y, full []float32, half []uint16, ids []int32, cols int) {
	widen := vectors().widen
	for i, id := range ids {
		if row, o := y[i*cols:(i+1)*cols], int(id)*cols; half != nil {
			widen(row, half[o:o+cols])
		} else {
			copy(row, full[o:o+cols])
		}
	}
}

func (d *Device) ScatterAddRows(dst, src, ids *backend.Buffer, cols int) {
	y, x, at := dst.Float32(), src.Float32(), ids.Int32()
	if len(x) <= grain {
		scatter(y, x, at, cols, 0, cols)
		return
	}
	ranges(cols, max(64, cols/8), func(i, j int) { scatter(y, x, at, cols, i, j) }) // rows may meet in dst, columns cannot
}

// scatter adds columns from to to of x's rows.
func scatter(y, x []float32, ids []int32, cols, from, to int) {
	add := vectors().binary[backend.Add]
	for i, id := range ids {
		row := y[int(id)*cols+from : int(id)*cols+to]
		add(row, row, x[i*cols+from:i*cols+to])
	}
}

func (d *Device) Patches(dst, src *backend.Buffer, b, c, h, w, p int, inverse bool) {
	y, x := dst.Float32(), src.Float32()
	if len(y) <= grain {
		patches(y, x, 0, b*(h/p), c, h, w, p, inverse)
		return
	}
	ranges(b*(h/p), height(c*p*w), func(i, j int) { patches(y, x, i, j, c, h, w, p, inverse) })
}

// patches moves bands of patches, band n·(h/p)+i being the i-th of image n.
func patches(y, x []float32, from, to, c, h, w, p int, inverse bool) {
	for band := from; band < to; band++ {
		image, top := band/(h/p), band%(h/p)*p
		for col := range w / p {
			row := (band*(w/p) + col) * c * p * p
			for line := range c * p {
				pixels := ((image*c+line/p)*h+top+line%p)*w + col*p
				if inverse {
					copy(y[pixels:pixels+p], x[row+line*p:])
				} else {
					copy(y[row+line*p:row+line*p+p], x[pixels:])
				}
			}
		}
	}
}

func (d *Device) Expand(dst, src *backend.Buffer, outer, n, inner int, scale float32) {
	y, x := dst.Float32(), src.Float32()
	if len(y) <= grain {
		expand(y, x, 0, outer*n, n, inner, scale)
		return
	}
	if inner == 1 && outer == 1 {
		fill(y, scale*x[0])
		return
	}
	if inner == 1 {
		ranges(outer, height(n), func(i, j int) { expand(y, x, i*n, j*n, n, 1, scale) })
		return
	}
	ranges(outer*n, height(inner), func(i, j int) { expand(y, x, i, j, n, inner, scale) })
}

// expand fills rows from to to of dst [outer·n, inner].
func expand(y, x []float32, from, to, n, inner int, scale float32) {
	if inner == 1 {
		for i := from; i < to; i += n {
			set(y[i:i+n], scale*x[i/n])
		}
		return
	}
	f := vectors().affine
	for i := from; i < to; i++ {
		f(y[i*inner:(i+1)*inner], x[i/n*inner:(i/n+1)*inner], scale, 0)
	}
}
