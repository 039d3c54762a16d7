package main

import (
	"fmt"
	"strings"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// gemmCases are the products of a Linear of N outputs and K inputs on M rows: x·Wᵀ, and its gradients dy·W and dyᵀ·x. A
// row of one is a GEMV.
func gemmCases() []Case {
	var list []Case
	for _, s := range [][3]int{{512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {577, 4096, 1024},
		{577, 1024, 4096}, {577, 1024, 1024}, {128, 4096, 4096},
		{256, 4096, 1024}, {577, 64, 577}, {1024, 16, 2048}, {8, 4096, 4096}} {
		for _, op := range []string{"x·Wᵀ", "dy·W", "dyᵀ·x"} {
			list = append(list, gemmCase(op, s[0], s[1], s[2], backend.Float32))
		}
	}
	for _, s := range [][3]int{{1024, 1024, 1024}, {577, 4096, 1024}, {128, 4096, 4096}, {1024, 16, 2048}} {
		for _, op := range []string{"x·Wᵀ", "dy·W", "dyᵀ·x"} {
			list = append(list, gemmCase(op, s[0], s[1], s[2], backend.BFloat16))
		}
	}
	for _, dt := range []backend.DType{backend.Float32, backend.BFloat16} {
		for _, s := range [][2]int{{4096, 4096}, {11008, 4096}, {32000, 768}} {
			c := gemmCase("x·Wᵀ", 1, s[0], s[1], dt)
			c.Name = strings.NewReplacer("gemm", "gemv", "/1×", "/").Replace(c.Name)
			c.Unit, c.Work, c.Share = "GB/s", 1e-9*float64(dt.Bytes(1)*s[0]*s[1]), byMemory
			list = append(list, c)
		}
	}
	return list
}

// gemmCase multiplies matrices of one type; what comes of them is float32, the rival's of the same type.
func gemmCase(op string, m, n, k int, dt backend.DType) Case {
	name, rivals := op, []string{"openblas", "torch"}
	if dt == backend.BFloat16 {
		name, rivals = op+"/bfloat16", rivals[1:]
	}
	return Case{
		Name: fmt.Sprintf("gemm/%s/%d×%d×%d", name, m, n, k), Op: "gemm",
		Args: size{"which": op, "m": m, "n": n, "k": k, "dtype": dt.String()}, Rivals: rivals,
		Unit: "GFLOP/s", Work: 2e-9 * float64(m) * float64(n) * float64(k), Share: byArithmetic,
		Half: dt == backend.BFloat16,
		Setup: func() func() {
			d := cpu.New()
			x, w, y := random(d, m*k), random(d, n*k), random(d, m*n)
			p := &backend.MatMul{A: x, B: w, C: y, M: m, N: n, K: k, BT: true, Batch: 1}
			switch op {
			case "dy·W":
				p = &backend.MatMul{A: y, B: w, C: x, M: m, N: k, K: n, Batch: 1}
			case "dyᵀ·x":
				p = &backend.MatMul{A: y, B: x, C: w, M: n, N: k, K: m, AT: true, Batch: 1}
			}
			if dt == backend.BFloat16 {
				p.A, p.B = narrow(d, p.A), narrow(d, p.B)
			}
			return func() { d.MatMul(p) }
		},
	}
}

func narrow(d backend.Device, x *backend.Buffer) *backend.Buffer {
	y := d.Alloc(backend.BFloat16, x.Len)
	d.Cast(y, x)
	return y
}

// random returns n numbers in [−1, 1).
func random(d backend.Device, n int) *backend.Buffer {
	b := d.Alloc(backend.Float32, n)
	x := b.Float32()
	for i := range x {
		x[i] = 2*backend.Uniform(1, uint64(i)) - 1
	}
	return b
}
