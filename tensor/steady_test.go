package tensor_test

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// transformerStep returns a training step of a decoder of four blocks: forward, backward, AdamW.
func transformerStep(batch, length, width, heads, vocabulary int) (step func() float32) {
	r := rand.New(rand.NewPCG(1, 2))
	var items []tensor.AdamWItem
	weight := func(shape ...int) *tensor.Tensor {
		p := tensor.Randn(r, 0.05, shape...).Param()
		items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(shape...), V: tensor.New(shape...)})
		return p
	}
	type block struct{ norm1, q, k, v, o, norm2, gate, up, down *tensor.Tensor }
	embedding := weight(vocabulary, width)
	var blocks [4]block
	for i := range blocks {
		blocks[i] = block{weight(width), weight(width, width), weight(width, width), weight(width, width), weight(width, width),
			weight(width), weight(2*width, width), weight(2*width, width), weight(width, 2*width)}
	}
	norm := weight(width)
	angles := tensor.Uniform(r, -1, 1, length, width/heads/2)
	ids := make([]int, batch*length)
	for i := range ids {
		ids[i] = r.IntN(vocabulary)
	}
	in, labels := tensor.Ints(ids, batch, length), tensor.Ints(ids, batch, length)
	c := tensor.AdamWConfig{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1}
	return func() (loss float32) {
		tensor.Scope(func(s *tensor.Arena) {
			x := tensor.Gather(embedding, in.In(s))
			for _, b := range blocks {
				h := x.RMSNorm(b.norm1, 1e-6)
				project := func(w *tensor.Tensor) *tensor.Tensor {
					return tensor.Linear(h, w, nil, tensor.Identity).Reshape(batch, length, heads, width/heads)
				}
				q, k := tensor.RoPE(project(b.q), angles, angles), tensor.RoPE(project(b.k), angles, angles)
				y := tensor.Attention(q, k, project(b.v), tensor.AttentionConfig{Causal: true})
				x = x.Add(tensor.Linear(y.Reshape(batch, length, width), b.o, nil, tensor.Identity))
				h = x.RMSNorm(b.norm2, 1e-6)
				x = x.Add(tensor.Linear(tensor.SwiGLU(tensor.Linear(h, b.gate, nil, tensor.Identity), tensor.Linear(h, b.up, nil, tensor.Identity)), b.down, nil, tensor.Identity))
			}
			l := tensor.LinearCrossEntropy(x.RMSNorm(norm, 1e-6), embedding, labels)
			l.Backward()
			loss = l.Item()
		})
		c.Step++
		tensor.AdamW(c, items)
		for _, it := range items {
			it.Param.ZeroGrad()
		}
		return loss
	}
}

// After two steps no operation takes memory for a tensor from Go's heap. (One processor: each of several has scratch of
// its own, which grows when it first takes part.)
func TestSteadyStateAllocatesNoTensors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	step := transformerStep(2, 64, 64, 4, 128)
	const activation = 2 * 64 * 64 * 4
	first := step()
	step()
	before := tensortest.Allocations(activation / 8)
	last := float32(0)
	for range 5 {
		last = step()
	}
	made := tensortest.Allocations(activation/8) - before
	require.Zero(t, made, "objects of %d bytes or more made in five steps", activation/8)
	require.Less(t, last, first, "the model trains")
}

// Resident memory stays flat over a thousand steps.
func TestSteadyStateResidentMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("resident memory is read from /proc:", err)
	}
	if raced {
		t.Skip("the race detector has memory of its own")
	}
	frozen := tensor.Full(1, 128<<20/4) // beside a frozen model, one percent is more than the garbage collector's moods
	step := transformerStep(2, 32, 32, 4, 64)
	var sizes []float64
	for i := range 1501 {
		step()
		if i >= 500 && i%250 == 0 {
			sizes = append(sizes, resident(t))
		}
	}
	t.Logf("MB resident: %.2f", sizes)
	for _, s := range sizes[1:] {
		require.InEpsilon(t, sizes[0], s, 0.01)
	}
	runtime.KeepAlive(frozen)
}

func resident(t *testing.T) (megabytes float64) {
	debug.FreeOSMemory() // what the garbage collector has not returned yet is no tensor's
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			require.NoError(t, err)
			return float64(kb) / 1024
		}
	}
	t.Fatal("no VmRSS in /proc/self/status")
	return 0
}
