package nn

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

var large = flag.Bool("large", false, "write a checkpoint of 2 GiB and measure loading it")

// stack is a model of 2 GiB in bfloat16.
type stack struct {
	Layers []Layer `param:"layers"`
}

func newStack(n, width int) *stack {
	s := &stack{}
	for range n {
		s.Layers = append(s.Layers, NewLinear(nil, width, width, false))
	}
	return s
}

// A sharded checkpoint of 2 GiB opens at once, loads at the speed of memory, and takes hardly more memory than the
// weights that are kept.
//
//	go test ./nn -run LargeCheckpoint -large -v
func TestLargeCheckpoint(t *testing.T) {
	if !*large {
		t.Skip("needs 2 GiB on the disk and as much memory: -large")
	}
	const n, width = 64, 4096
	dir := t.TempDir()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	var list []safetensors.Tensor
	for i := range n {
		list = append(list, safetensors.Tensor{Name: fmt.Sprintf("layers.%d.weight", i), DType: "BF16", Shape: []int{width, width}, Write: func(w io.Writer) error {
			for range width * width * 2 / len(block) {
				if _, err := w.Write(block); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	require.NoError(t, safetensors.WriteDir(dir, list, nil, 500<<20))
	bytes := int64(n) * width * width * 2

	for _, c := range []struct {
		name string
		o    LoadOptions
		kept int64
	}{
		{"cold or warm, bf16", LoadOptions{DType: As(tensor.BFloat16)}, bytes},
		{"warm, bf16", LoadOptions{DType: As(tensor.BFloat16)}, bytes},
		{"warm, as float32", LoadOptions{DType: As(tensor.Float32)}, 2 * bytes},
		{"warm, aliased", LoadOptions{Alias: true}, bytes},
	} {
		runtime.GC()
		start := time.Now()
		w, err := OpenWeights(dir)
		require.NoError(t, err)
		opened := time.Since(start)
		require.Less(t, opened, time.Second/2)
		resetPeak(t)
		before := peak(t)
		m := newStack(n, width)
		start = time.Now()
		require.NoError(t, Load(m, w, c.o))
		d := time.Since(start)
		grown := peak(t) - before
		t.Logf("%s: opened in %v, loaded in %v: %.2f GB/s; peak memory %.3f × the weights", c.name, opened.Round(time.Microsecond),
			d.Round(time.Millisecond), float64(bytes)/1e9/d.Seconds(), float64(grown)/float64(c.kept))
		require.LessOrEqual(t, float64(grown), 1.1*float64(c.kept))
		if c.name == "warm, bf16" { // on a machine that does nothing else
			require.Greater(t, float64(bytes)/d.Seconds(), 1e9)
		}
		require.Equal(t, block[:1000], m.Layers[n-1].(*Linear).Weight.Cast(tensor.BFloat16).Bytes()[:1000])
		require.NoError(t, w.Close())
		if c.o.Alias {
			return
		}
		m = nil
		debugFree()
	}
}

// debugFree gives freed memory back to the system, so that the next peak starts low.
func debugFree() {
	runtime.GC()
	debug.FreeOSMemory()
}

// resetPeak makes the kernel forget the highest resident memory so far.
func resetPeak(t *testing.T) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("measures memory through Linux's /proc: %v", err)
	}
}

// peak is the highest resident memory, in bytes.
func peak(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, tail, ok := strings.Cut(string(b), "VmHWM:")
	require.True(t, ok)
	var kib int64
	_, err = fmt.Sscan(tail, &kib)
	require.NoError(t, err)
	return kib << 10
}
