package main

import (
	"fmt"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
	"github.com/gollava/gollava/tensor"
)

// elementwiseCases read and write rows of 1024 elements, in the first caches and far out of them, into memory that is
// there or as a user of the library does, who gets a new tensor.
func elementwiseCases() []Case {
	const cols = 1024
	d := cpu.New()
	type buf = *backend.Buffer
	type ten = *tensor.Tensor
	ops := []struct {
		name  string
		into  func(y, x, w buf, rows int)
		fresh func(x, w ten) ten
	}{
		{"exp", func(y, x, _ buf, _ int) { d.Unary(backend.Exp, y, x) }, func(x, _ ten) ten { return x.Exp() }},
		{"silu", func(y, x, _ buf, _ int) { d.Unary(backend.SiLU, y, x) }, func(x, _ ten) ten { return x.SiLU() }},
		{"gelu", func(y, x, _ buf, _ int) { d.Unary(backend.GELU, y, x) }, func(x, _ ten) ten { return x.GELU() }},
		{"rmsnorm", func(y, x, w buf, rows int) { d.RMSNorm(y, nil, x, w, rows, cols, 1e-6) },
			func(x, w ten) ten { return x.RMSNorm(w, 1e-6) }},
		{"layernorm", func(y, x, w buf, rows int) { d.LayerNorm(y, nil, nil, x, w, w, rows, cols, 1e-5) },
			func(x, w ten) ten { return x.LayerNorm(w, w, 1e-5) }},
		{"softmax", func(y, x, _ buf, rows int) { d.Softmax(y, x, rows, cols) }, func(x, _ ten) ten { return x.Softmax() }},
	}
	var list []Case
	for _, op := range ops {
		for _, s := range []struct {
			name string
			rows int
		}{{"64KiB", 16}, {"32MiB", 8192}} {
			for _, output := range []string{"reused", "fresh"} {
				c := Case{
					Name: fmt.Sprintf("elementwise/%s/%s/%s", op.name, s.name, output), Op: op.name,
					Args:   size{"rows": s.rows, "cols": cols, "output": output},
					Rivals: []string{"torch"}, Unit: "GB/s", Work: 8e-9 * float64(s.rows*cols),
					Setup: func() func() {
						x, w := random(d, s.rows*cols), random(d, cols)
						if output == "reused" {
							y := random(d, s.rows*cols)
							return func() { op.into(y, x, w, s.rows) }
						}
						xt, wt := tensor.Wrap(x.Float32(), s.rows, cols), tensor.Wrap(w.Float32(), cols)
						return func() { scope(func(s *tensor.Arena) { op.fresh(xt.In(s), wt) }) }
					},
				}
				if output == "reused" {
					c.Rivals = []string{"torch", "c"}
				}
				list = append(list, c)
			}
		}
	}
	return list
}
