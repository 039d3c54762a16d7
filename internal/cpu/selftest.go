package cpu

import (
	"fmt"
	"os"

	"github.com/gollava/gollava/internal/backend"
)

// A processor, or an emulator, that announces instructions which it computes wrongly would train nonsense without a
// sound. So each level tests itself on small products when the program starts, in well under a millisecond, and gives
// way to the next lower one if it fails.
func init() {
	for active > generic && !selfTest() {
		if os.Getenv(levelVariable) != "" {
			panic(fmt.Sprintf("cpu: %s=%v: this processor computes wrong products at that level", levelVariable, active))
		}
		active--
	}
}

// selfTest reports whether the active level's products of odd sizes, in all forms, equal plain loops. All numbers are
// small integers, so that sums are exact in any order.
func selfTest() bool {
	if active == amx && !amxRight() {
		return false
	}
	const most = 29 * 37
	var a, b, c [most]float32
	for i := range a {
		a[i], b[i] = float32(i*7%13-6), float32(i*5%11-5)
	}
	s := borrow()
	defer s.giveBack()
	for _, m := range [][3]int{{29, 37, 5}, {2, 35, 29}} { // packed and skinny
		for form := range 4 {
			p := product{A: a[:], B: b[:], C: c[:], M: m[0], N: m[1], K: m[2], lda: m[2], ldb: m[1], ldc: m[1], AT: form&1 != 0,
				BT: form&2 != 0}
			if p.AT {
				p.lda = p.M
			}
			if p.BT {
				p.ldb = p.K
			}
			g := p.gemm()
			g.act = backend.ReLU
			g.serial(s)
			for i := range p.M {
				for j := range p.N {
					want := float32(0)
					for k := range p.K {
						want += g.a.at(i*g.a.row+k*g.a.col) * g.b.at(k*g.b.row+j*g.b.col)
					}
					if c[i*p.N+j] != max(want, 0) {
						return false
					}
				}
			}
		}
	}
	return true
}
