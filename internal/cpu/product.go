package cpu

// product is one matrix product on slices, for use inside a task: C = A·B, or C += A·B, of M×N elements with inner length K.
// Rows of a matrix are lda, ldb or ldc elements apart. C overlaps neither A nor B.
type product struct {
	A, B, C       []float32
	M, N, K       int
	lda, ldb, ldc int
	AT, BT        bool // A is stored [K, M]; B is stored [N, K]
	Accumulate    bool
}

// run computes p on the calling goroutine. It allocates nothing, once s has grown to the size it needs.
func (p *product) run(s *scratch) {
	for i := range p.M {
		row := p.C[i*p.ldc:][:p.N]
		if !p.Accumulate {
			clear(row)
		}
		for k := range p.K {
			a := i*p.lda + k
			if p.AT {
				a = k*p.lda + i
			}
			x := p.A[a]
			if p.BT {
				for j := range row {
					row[j] += x * p.B[j*p.ldb+k]
				}
				continue
			}
			for j, v := range p.B[k*p.ldb:][:p.N] {
				row[j] += x * v
			}
		}
	}
}
