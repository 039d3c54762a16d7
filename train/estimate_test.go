//go:build linux

package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// deep is a stack of wide layers that can recompute.
type deep struct {
	Layers []nn.Layer `param:"layers"`

	recompute bool
}

func (m *deep) SetRecompute(on bool) { m.recompute = on }

func (m *deep) Loss(b sample) *tensor.Tensor {
	x := b.x
	for _, l := range m.Layers {
		forward := func(in []*tensor.Tensor) *tensor.Tensor { return in[0].Add(nn.Activated(l, in[0], tensor.SiLU)) }
		if m.recompute {
			x = tensor.Checkpoint(forward, x)
		} else {
			x = forward([]*tensor.Tensor{x})
		}
	}
	d := x.Sub(b.y)
	return d.Mul(d).Mean()
}

// shape is a configuration whose needs are estimated and measured.
type shape struct {
	Name                 string
	Width, Layers, Rows  int
	Low, EMA, Recompute  bool
	Frozen, Accumulation int
}

var estimated = []shape{
	{Name: "weights", Width: 1024, Layers: 12, Rows: 64},
	{Name: "activations", Width: 512, Layers: 12, Rows: 4096},
	{Name: "both", Width: 768, Layers: 12, Rows: 1536},
	{Name: "bfloat16", Width: 1024, Layers: 14, Rows: 128, Low: true},
	{Name: "average", Width: 1024, Layers: 10, Rows: 128, EMA: true},
	{Name: "recomputed", Width: 768, Layers: 16, Rows: 3072, Recompute: true},
	{Name: "half frozen", Width: 1024, Layers: 16, Rows: 256, Frozen: 8},
	{Name: "accumulated", Width: 1024, Layers: 10, Rows: 512, Accumulation: 4},
	// the first eight are what the estimate was made with
	{Name: "narrow", Width: 256, Layers: 24, Rows: 6000},
	{Name: "bfloat16 average", Width: 768, Layers: 20, Rows: 640, Low: true, EMA: true, Accumulation: 2},
	{Name: "mostly frozen", Width: 1280, Layers: 12, Rows: 900, Frozen: 10},
}

func (s shape) stage(steps int) train.Stage[sample] {
	st := train.Stage[sample]{Name: s.Name, Steps: steps, Recompute: s.Recompute, Accumulate: s.Accumulation,
		Batches: func(_ context.Context, n int) (sample, error) {
			r := rand.New(rand.NewPCG(uint64(n%2), 1))
			x := tensor.Uniform(r, -1, 1, s.Rows, s.Width)
			return sample{x: x, y: x, n: s.Rows}, nil
		}}
	if s.EMA {
		st.EMA = 0.9
	}
	for i := s.Frozen; i < s.Layers; i++ {
		st.Groups = append(st.Groups, train.Group{Params: fmt.Sprintf("layers.%d.**", i), LR: 1e-4})
	}
	return st
}

func (s shape) model() *deep {
	m := &deep{}
	r := rand.New(rand.NewPCG(1, 1))
	for range s.Layers {
		l := nn.NewLinear(r, s.Width, s.Width, true)
		if s.Low {
			l.Weight = l.Weight.Detach().Cast(tensor.BFloat16).Clone().Param()
		}
		m.Layers = append(m.Layers, l)
	}
	return m
}

// shapeVariable tells TestEstimateChild which of estimated to run.
const shapeVariable = "GOLLAVA_TRAIN_TEST_SHAPE"

// outcome is what a child found.
type outcome struct {
	Memory   int64         `json:",omitempty"` // estimated, in bytes
	Peak     int64         `json:",omitempty"` // measured
	Duration time.Duration `json:",omitempty"` // estimated
	Actual   time.Duration `json:",omitempty"` // measured
}

// TestEstimateChild is what TestEstimates runs in processes of their own, one that plans and one that trains.
func TestEstimateChild(t *testing.T) {
	var k int
	var plan bool
	if _, err := fmt.Sscan(os.Getenv(shapeVariable), &k, &plan); err != nil {
		t.Skip("not a child")
	}
	const steps = 12
	base := status(t, "VmRSS")
	var o outcome
	m, s := estimated[k].model(), estimated[k].stage(steps)
	if plan {
		e, err := train.Plan(t.Context(), m, s)
		require.NoError(t, err)
		o.Memory, o.Duration = e.Memory(), e.Duration
	} else {
		start := time.Now()
		_, err := train.Run(t.Context(), m, train.Options{}, s)
		require.NoError(t, err)
		o.Actual = time.Since(start)
		o.Peak = status(t, "VmHWM") - base
	}
	require.NoError(t, json.NewEncoder(os.Stderr).Encode(o))
}

// status reads a line of the kernel's account of this process, in bytes.
func status(t *testing.T, key string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, key+": %d kB", &n); err == nil {
			return n << 10
		}
	}
	t.Fatalf("no %s in /proc/self/status", key)
	return 0
}

// TestEstimates holds plans against what runs of eleven kinds really take. It needs about two minutes and a machine to itself: -full.
func TestEstimates(t *testing.T) {
	if !*full {
		t.Skip("measures two minutes of training: go test ./train -run Estimates -full")
	}
	for k, s := range estimated {
		var o outcome
		for _, plan := range []bool{true, false} {
			var stderr bytes.Buffer
			c := exec.Command(os.Args[0], "-test.run=^TestEstimateChild$")
			c.Env = append(os.Environ(), fmt.Sprint(shapeVariable, "=", k, " ", plan))
			c.Stderr = &stderr
			out, err := c.Output()
			require.NoError(t, err, "%s%s", out, &stderr)
			require.NoError(t, json.Unmarshal(stderr.Bytes(), &o))
		}
		t.Logf("%-16s memory: estimate %4d MB, peak %4d MB (%+3.0f%%); time: estimate %6.0f ms, took %6.0f ms (%+3.0f%%)", s.Name, o.Memory/1e6, o.Peak/1e6,
			100*(float64(o.Memory)/float64(o.Peak)-1), o.Duration.Seconds()*1e3, o.Actual.Seconds()*1e3, 100*(o.Duration.Seconds()/o.Actual.Seconds()-1))
		if r := float64(o.Memory) / float64(o.Peak); r < 0.85 || r > 1.15 {
			t.Errorf("%s: memory estimate %d, peak %d", s.Name, o.Memory, o.Peak)
		}
		if r := o.Duration.Seconds() / o.Actual.Seconds(); r < 0.8 || r > 1.2 {
			t.Errorf("%s: time estimate %v, took %v", s.Name, o.Duration, o.Actual)
		}
	}
}
