package cpu

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

var processes = flag.Int("processes", 12, "how many fresh processes TestFreshProcesses starts at every level")

// freshVariable makes TestBits print instead of doing nothing.
const freshVariable = "GOLLAVA_CPU_TEST_BITS"

// TestFreshProcesses: every process of a level computes the same bits, however busy the machine is. Processes that
// each decided for themselves by a short measurement how to multiply did not.
func TestFreshProcesses(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 4 * runtime.NumCPU() { // other work, which disturbs any measurement
		go func() {
			for x := uint64(1); ; x = x*6364136223846793005 + 1 {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	for l := generic; l <= supported(); l++ {
		t.Run(l.String(), func(t *testing.T) {
			seen := map[string]int{}
			for range *processes {
				c := exec.Command(os.Args[0], "-test.run=^TestBits$")
				c.Env = append(os.Environ(), freshVariable+"=1", levelVariable+"="+l.String())
				out, err := c.Output()
				require.NoError(t, err, "%s", out)
				var unit, sum string
				_, err = fmt.Sscan(string(out), &unit, &sum)
				require.NoError(t, err, "%s", out)
				require.Contains(t, unit, "/"+l.String())
				seen[unit+" "+sum]++
			}
			require.Len(t, seen, 1, "%d processes", *processes)
		})
	}
}

// TestBits prints the unit and the bits of products that each unit would compute in another way.
func TestBits(t *testing.T) {
	if os.Getenv(freshVariable) == "" {
		t.Skip("this is what the processes of TestFreshProcesses do")
	}
	d := New()
	h := sha256.New()
	r := rand.New(rand.NewPCG(1, 2))
	for _, dt := range []backend.DType{backend.Float32, backend.BFloat16} {
		const m, n, k = 256, 272, 256 // large enough for a matrix unit: see worthBF16x3
		p := backend.MatMul{A: d.Alloc(dt, m*k), B: d.Alloc(dt, n*k), C: d.Alloc(backend.Float32, m*n), M: m, N: n, K: k, BT: true, Batch: 1}
		for _, b := range []*backend.Buffer{p.A, p.B} {
			full := d.Alloc(backend.Float32, b.Len)
			for i := range full.Float32() {
				full.Float32()[i] = float32(r.NormFloat64())
			}
			if dt == backend.Float32 {
				d.Copy(b, full)
			} else {
				d.Cast(b, full)
			}
		}
		d.MatMul(&p)
		require.NoError(t, binary.Write(h, binary.LittleEndian, p.C.Float32()))
	}
	fmt.Printf("%s %x\n", d.Unit(), h.Sum(nil))
}
