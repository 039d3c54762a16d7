package interop

import (
	"sync"
	"unsafe"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// BLAS is gonum's implementation with this library's single-precision matrix products. Its zero value is ready to use,
// from any number of goroutines; products run one after another, each on all processors. It meets blas.Float32 and
// Gorgonia's BLAS.
type BLAS struct{ gonum.Implementation }

// smallProduct is the number of multiplications below which gonum's own loop is called: handing over costs as much.
const smallProduct = 1 << 10

var (
	device backend.Device = cpu.New()
	busy   sync.Mutex
)

func transposed(t blas.Transpose) (yes, ok bool) {
	return t == blas.Trans || t == blas.ConjTrans, t == blas.NoTrans || t == blas.Trans || t == blas.ConjTrans
}

// fits reports whether a slice of length n holds a rows×cols matrix with leading dimension ld.
func fits(n, rows, cols, ld int) bool { return ld >= max(1, cols) && n >= (rows-1)*ld+cols }

func buffer(x []float32) *backend.Buffer {
	return backend.NewBuffer(device, backend.Float32, len(x), unsafe.Pointer(unsafe.SliceData(x)))
}

// contiguous is the rows×cols matrix x with leading dimension ld as a buffer, copied if it has gaps; release takes a
// copy back.
func contiguous(x []float32, rows, cols, ld int) (b *backend.Buffer, release func()) {
	src := buffer(x[:(rows-1)*ld+cols])
	if ld == cols || rows == 1 {
		return src, func() {}
	}
	b = device.Alloc(backend.Float32, rows*cols)
	device.CopyBlocks(b, 0, cols, src, 0, ld, rows, cols, false)
	return b, func() { device.Free(b) }
}

// Sgemm computes C = α·op(A)·op(B) + β·C, where op transposes on demand; see blas.Float32Level3. It panics as gonum
// does.
func (g BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) {
	aT, okA := transposed(tA)
	bT, okB := transposed(tB)
	aRows, aCols, bRows, bCols := m, k, k, n
	if aT {
		aRows, aCols = k, m
	}
	if bT {
		bRows, bCols = n, k
	}
	// gonum's has the panics, and the cases in which there is nothing to multiply.
	if !okA || !okB || m <= 0 || n <= 0 || k <= 0 || alpha == 0 || m*n*k < smallProduct ||
		!fits(len(a), aRows, aCols, lda) ||
		!fits(len(b), bRows, bCols, ldb) || !fits(len(c), m, n, ldc) {
		g.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	busy.Lock()
	defer busy.Unlock()
	A, freeA := contiguous(a, aRows, aCols, lda)
	defer freeA()
	B, freeB := contiguous(b, bRows, bCols, ldb)
	defer freeB()
	p := backend.MatMul{A: A, B: B, M: m, N: n, K: k, AT: aT, BT: bT, Batch: 1}
	if alpha == 1 && (beta == 0 || beta == 1) && (ldc == n || m == 1) {
		p.C, p.Accumulate = buffer(c[:m*n]), beta == 1
		device.MatMul(&p)
		return
	}
	p.C = device.Alloc(backend.Float32, m*n)
	defer device.Free(p.C)
	device.MatMul(&p)
	for i := range m {
		row, sum := c[i*ldc:i*ldc+n], p.C.Float32()[i*n:(i+1)*n]
		for j, v := range sum {
			if beta == 0 { // what C holds does not count, not even NaN
				row[j] = alpha * v
			} else {
				row[j] = beta*row[j] + alpha*v
			}
		}
	}
}

// Sgemv computes y = α·op(A)·x + β·y; see blas.Float32Level2. Products with α = 1, β of 0 or 1 and no gaps are this
// library's, others gonum's.
func (g BLAS) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int,
	beta float32, y []float32, incY int) {
	aT, ok := transposed(tA)
	inner, outer := n, m
	if aT {
		inner, outer = m, n
	}
	if !ok || m <= 0 || n <= 0 || m*n < smallProduct || alpha != 1 || beta != 0 && beta != 1 || incX != 1 ||
		incY != 1 || lda != n || len(a) < m*n ||
		len(x) < inner || len(y) < outer {
		g.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	busy.Lock()
	defer busy.Unlock()
	device.MatMul(&backend.MatMul{A: buffer(x[:inner]), B: buffer(a[:m*n]), C: buffer(y[:outer]), M: 1, N: outer,
		K: inner, BT: !aT, Batch: 1, Accumulate: beta == 1})
}
