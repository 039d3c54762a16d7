//go:build amd64 && !purego

package cpu

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

// TestNearAndFar: products of few rows have the same bits whether memory is fetched near its use or far ahead of it.
func TestNearAndFar(t *testing.T) {
	if supported() < avx512 {
		t.Skip("this processor has no AVX-512")
	}
	defer useLevel(avx512)()
	chosen := skinnies[avx512]
	defer func() { skinnies[avx512] = chosen }()
	d := New()
	r := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		p := backend.MatMul{M: 1 + r.IntN(7), N: 1 + r.IntN(70), K: 32 + r.IntN(200), BT: true, Batch: 1}
		dt := []backend.DType{backend.Float32, backend.BFloat16}[r.IntN(2)]
		p.A, p.B = normals(d, backend.Float32, p.M*p.K), normals(d, dt, p.N*p.K)
		var results [2][]float32
		for i, near := range []bool{false, true} {
			skinnies[avx512] = skinnyAVX512(near)
			p.C = d.Alloc(backend.Float32, p.M*p.N)
			d.MatMul(&p)
			results[i] = p.C.Float32()
		}
		require.Equal(t, results[0], results[1], "%d×%d×%d of %v", p.M, p.N, p.K, dt)
	}
}
