package train_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// net is a small model with dropout: two towers and a norm.
type net struct {
	Lower nn.Layer       `param:"lower"`
	Norm  *nn.LayerNorm  `param:"norm"`
	Drop  *nn.Dropout    `param:"drop"`
	Upper nn.Layer       `param:"upper"`
	Spare *tensor.Tensor `param:"spare,optional"`

	spared bool // the loss depends on Spare in every third micro-batch
}

func newNet(seed uint64) *net {
	r := rand.New(rand.NewPCG(seed, 1))
	return &net{Lower: nn.NewLinear(r, 5, 7, true), Norm: nn.NewLayerNorm(r, 7, 1e-5, true), Drop: &nn.Dropout{P: 0.1}, Upper: nn.NewLinear(r, 7, 3, true)}
}

// sample is a batch: rows and what to make of them.
type sample struct {
	x, y  *tensor.Tensor
	names []string
	n     int
}

func (s sample) Supervised() int   { return s.n }
func (s sample) Samples() []string { return s.names }

func (s sample) In(a *tensor.Arena) sample {
	s.x, s.y = s.x.In(a), s.y.In(a)
	return s
}

func (m *net) Loss(b sample) *tensor.Tensor {
	h := m.Drop.Forward(m.Norm.Forward(nn.Activated(m.Lower, b.x, tensor.GELU)))
	d := m.Upper.Forward(h).Sub(b.y)
	l := d.Mul(d).Mean()
	if m.spared && b.n%3 == 1 {
		l = l.Add(m.Spare.Mul(m.Spare).Mean())
	}
	return l
}

// regression is a data set whose batch n is a function of n.
func regression(_ context.Context, n int) (sample, error) {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	rows := 2 + n%3
	x := tensor.Randn(r, 1, rows, 5)
	y := make([]float32, rows*3)
	for i := range y {
		v := x.Data()[i/3*5+i%3]
		y[i] = v*v - 0.3
	}
	s := sample{x: x, y: tensor.From(y, rows, 3), n: 1 + n%5}
	for i := range rows {
		s.names = append(s.names, fmt.Sprintf("s%d.%d", n, i))
	}
	return s, nil
}

// stage trains all of net.
func stage(steps int) train.Stage[sample] {
	return train.Stage[sample]{Name: "fit", Batches: regression, Steps: steps, Schedule: train.Cosine(0.1), Clip: 1, Accumulate: 2,
		Groups: []train.Group{{Params: "lower.**", LR: 1e-2, WeightDecay: 0.01, NoDecay: []string{"**.bias"}}, {Params: "norm.**", LR: 1e-2}, {Params: "upper.**", LR: 3e-2}}}
}

// bits are all parameters as they lie in memory.
func bits(m any) map[string]string {
	out := map[string]string{}
	for name, p := range nn.Params(m) {
		out[name] = string(p.Bytes())
	}
	return out
}

func TestLearns(t *testing.T) {
	m := newNet(1)
	rep, err := train.Run(t.Context(), m, train.Options{}, stage(400))
	require.NoError(t, err)
	l := rep.Stages[0].Loss
	require.Len(t, l, 400)
	require.Less(t, mean(l[380:]), 0.5*mean(l[:10]))
	require.Zero(t, rep.Stages[0].LR[0], "a warm-up begins at 0")
}

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

// TestRepeats: the same run gives the same bits, on any number of threads, and with accumulation of either kind and recomputation.
func TestRepeats(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, weighted := range []bool{false, true} {
		var want map[string]string
		for _, threads := range []int{1, 1, 2, 4} {
			runtime.GOMAXPROCS(threads)
			m := newNet(1)
			s := stage(20)
			s.TokenWeighted, s.EMA = weighted, 0.9
			_, err := train.Run(t.Context(), m, train.Options{}, s)
			require.NoError(t, err)
			if want == nil {
				want = bits(m)
			}
			require.Equal(t, want, bits(m))
		}
	}
}

// TestFreezes: what no group names does not move by a bit, and neither do Except's.
func TestFreezes(t *testing.T) {
	m := newNet(1)
	was := bits(m)
	s := stage(5)
	s.Groups = []train.Group{{Params: "upper.**", Except: []string{"*.bias"}, LR: 1e-2}}
	_, err := train.Run(t.Context(), m, train.Options{}, s)
	require.NoError(t, err)
	for name, b := range bits(m) {
		require.Equal(t, name != "upper.weight", b == was[name], name)
	}
}

// TestBFloat16 trains bfloat16 weights by way of float32 masters: steps far smaller than a bfloat16's spacing add up.
func TestBFloat16(t *testing.T) {
	m := newNet(1)
	up := m.Upper.(*nn.Linear)
	up.Weight = up.Weight.Detach().Cast(tensor.BFloat16).Clone().Param()
	was := up.Weight.Detach().Cast(tensor.Float32).Clone()
	s := stage(200)
	s.Schedule, s.Groups = train.Constant(), []train.Group{{Params: "upper.weight", LR: 1e-5}}
	_, err := train.Run(t.Context(), m, train.Options{}, s)
	require.NoError(t, err)
	moved := 0
	now := up.Weight.Detach().Cast(tensor.Float32)
	for i, v := range now.Data() {
		if v != was.Data()[i] {
			moved++
		}
	}
	require.Greater(t, moved, 10, "of 21: each step alone is rounded away")
}

// TestAverage: the averaged weights are Σ, and they are what evaluations and the end of the stage see.
func TestAverage(t *testing.T) {
	m := newNet(1)
	s := stage(10)
	s.EMA = 0.75
	bias := m.Upper.(*nn.Linear).Bias
	want, seen := bias.Clone().Data(), []float32(nil)
	s.After = func(int) {
		for i, v := range bias.Data() {
			want[i] = 0.75*want[i] + 0.25*v
		}
	}
	s.Evaluate = []train.Evaluation{{Name: "look", Every: 4, Run: func(context.Context) (map[string]float64, error) {
		seen = append(seen, bias.Data()[0], want[0])
		return map[string]float64{"x": 1}, nil
	}}}
	_, err := train.Run(t.Context(), m, train.Options{}, s)
	require.NoError(t, err)
	require.Len(t, seen, 6)
	for i := 0; i < 6; i += 2 {
		require.InDelta(t, seen[i+1], seen[i], 1e-6)
	}
	require.InDeltaSlice(t, want, bias.Data(), 1e-6)
}

func TestEarlyStop(t *testing.T) {
	s := stage(50)
	scores := []float64{5, 4, 4.5, 4.2, 3, 3.1, 3.2, 3.3}
	i := 0
	s.Evaluate = []train.Evaluation{{Name: "held-out", Every: 2, Best: "-loss", Patience: 3, Run: func(context.Context) (map[string]float64, error) {
		i++
		return map[string]float64{"loss": scores[min(i-1, len(scores)-1)]}, nil
	}}}
	rep, err := train.Run(t.Context(), newNet(1), train.Options{}, s)
	require.NoError(t, err)
	require.Equal(t, 16, rep.Stages[0].Steps)
	require.Contains(t, rep.Stages[0].Stopped, "loss has not improved on 3, reached at step 10")
}

// TestGenerate: what the model makes of a probe set comes with the evaluation, in the event, in the metrics and on the screen.
func TestGenerate(t *testing.T) {
	s := stage(4)
	m := newNet(1)
	s.Evaluate = []train.Evaluation{{Name: "look", Every: 2, Generate: func(context.Context) ([]string, error) {
		return []string{fmt.Sprintf("a probe\nof %d values", m.Upper.Forward(tensor.New(2, 7)).Len())}, nil
	}}}
	var seen []string
	var w bytes.Buffer
	dir := t.TempDir()
	_, err := train.Run(t.Context(), m, train.Options{Dir: dir, Progress: &w, Observe: func(e train.Event) error {
		seen = append(seen, e.Generated...)
		return nil
	}}, s)
	require.NoError(t, err)
	require.Equal(t, []string{"a probe\nof 6 values", "a probe\nof 6 values"}, seen)
	require.Contains(t, w.String(), "fit 2/4 · evaluation: look\n    a probe\n    of 6 values\n")
	metrics, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	require.Contains(t, string(metrics), `"generated":["a probe\nof 6 values"]`)

	s.Evaluate[0].Best = "acc"
	_, err = train.Run(t.Context(), m, train.Options{}, s)
	require.ErrorContains(t, err, `evaluation "look": best "acc" needs Run`)
}

// TestNames injects NaN into each parameter in turn and expects the step to be skipped and the layer named.
func TestNames(t *testing.T) {
	for name := range nn.Params(newNet(1)) {
		for _, v := range []float64{math.NaN(), math.Inf(1)} {
			m := newNet(1)
			for n, p := range nn.Params(m) {
				if n == name {
					p.Data()[0] = float32(v)
				}
			}
			var said []string
			_, err := train.Run(t.Context(), m, train.Options{Observe: func(e train.Event) error {
				if e.Kind == "skipped" {
					said = append(said, e.Text)
				}
				return nil
			}}, stage(9))
			require.ErrorContains(t, err, "3 steps in a row are not finite")
			require.Len(t, said, 3, name)
			layer, _, _ := strings.Cut(name, ".")
			require.Contains(t, said[0], "in "+layer)
			require.Contains(t, said[0], "samples [s0.0 s0.1]")
			require.Regexp(t, `\[2 \d\] holds NaN or Inf`, said[0])
		}
	}
}

// tower is a stack of blocks, each with four parameters.
type tower struct {
	Blocks []nn.Layer `param:"blocks"`
}

type block struct {
	Norm *nn.LayerNorm `param:"norm"`
	Proj nn.Layer      `param:"proj"`
}

func (b *block) Forward(x *tensor.Tensor) *tensor.Tensor {
	return x.Add(nn.Activated(b.Proj, b.Norm.Forward(x), tensor.SiLU))
}

func (m *tower) Loss(b sample) *tensor.Tensor {
	x := b.x
	for _, l := range m.Blocks {
		x = l.Forward(x)
	}
	return x.Mul(x).Mean()
}

// TestNamesPlaces injects NaN at 40 places, the parameters of ten blocks: each time the layer that it comes from is named, and nothing moves.
func TestNamesPlaces(t *testing.T) {
	build := func() *tower {
		r := rand.New(rand.NewPCG(1, 1))
		m := &tower{}
		for range 10 {
			m.Blocks = append(m.Blocks, &block{nn.NewLayerNorm(r, 5, 1e-5, true), nn.NewLinear(r, 5, 5, true)})
		}
		return m
	}
	places := 0
	for name := range nn.Params(build()) {
		places++
		m := build()
		for n, p := range nn.Params(m) {
			if n == name {
				p.Data()[p.Len()/2] = float32(math.NaN())
			}
		}
		was, said := bits(m), ""
		s := stage(3)
		s.Groups = []train.Group{{Params: "**", LR: 1e-2}}
		_, err := train.Run(t.Context(), m, train.Options{Observe: func(e train.Event) error {
			if e.Kind == "skipped" && said == "" {
				said = e.Text
			}
			return nil
		}}, s)
		require.Error(t, err)
		layer := name[:strings.LastIndex(name, ".")]
		require.True(t, strings.HasSuffix(said, "in "+layer), "%s: %s", name, said)
		require.Equal(t, was, bits(m))
	}
	require.Equal(t, 40, places)
}

// TestSkips: one bad batch is left out and nothing else happens.
func TestSkips(t *testing.T) {
	s := stage(8)
	s.Batches = func(ctx context.Context, n int) (sample, error) {
		b, err := regression(ctx, n)
		if n == 5 {
			b.x.Data()[3] = float32(math.NaN())
		}
		return b, err
	}
	m := newNet(1)
	var text string
	rep, err := train.Run(t.Context(), m, train.Options{Observe: func(e train.Event) error {
		if e.Kind == "skipped" {
			text += e.Text
		}
		return nil
	}}, s)
	require.NoError(t, err)
	require.Equal(t, 1, rep.Stages[0].Skipped)
	require.True(t, math.IsNaN(rep.Stages[0].Loss[2]))
	require.Equal(t, "step 3 changes nothing: the loss of micro-batch 5 (samples [s5.0 s5.1 s5.2 s5.3]) is not finite: tensor: Linear: the result [4 7] holds NaN or Inf because its operand [4 5] does in lower", text)
	for name, p := range nn.Params(m) {
		ok, _ := tensor.AllFinite([]*tensor.Tensor{p})
		require.True(t, ok, name)
	}
}

// TestGradientNaN: a finite loss whose gradient is not.
func TestGradientNaN(t *testing.T) {
	m := &rooted{newNet(1)}
	var text string
	_, err := train.Run(t.Context(), m, train.Options{Observe: func(e train.Event) error {
		if e.Kind == "skipped" {
			text = e.Text
		}
		return nil
	}}, stage(4))
	require.Error(t, err)
	require.Contains(t, text, "gradient")
	require.Contains(t, text, "Sqrt")
	require.Contains(t, text, "in upper.")
}

type rooted struct {
	Net *net `param:",inline"`
}

func (m *rooted) Loss(b sample) *tensor.Tensor {
	y := m.Net.Upper.Forward(m.Net.Norm.Forward(m.Net.Lower.Forward(b.x)))
	return y.Sub(y).Sqrt().Mean() // √0: finite, with an infinite derivative
}

func TestBadInput(t *testing.T) {
	with := func(f func(*train.Stage[sample])) train.Stage[sample] {
		s := stage(4)
		f(&s)
		return s
	}
	spare := newNet(1)
	spare.Spare = tensor.New(3).Param()
	meta := newNet(1)
	meta.Upper = nn.NewLinear(nil, 7, 3, true)
	for _, c := range []struct {
		model  *net
		stages []train.Stage[sample]
		want   string
	}{
		{nil, nil, "no stages"},
		{nil, []train.Stage[sample]{stage(4), stage(4)}, `stage "fit": an earlier stage has the same name`},
		{nil, []train.Stage[sample]{stage(0)}, "zero steps"},
		{nil, []train.Stage[sample]{stage(-1)}, "steps -1"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Name = "" })}, "has no name"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Batches = nil })}, "Batches is nil"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Steps, s.Epochs = 0, 1 })}, "empty data set"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Epochs = 1 })}, "both steps (4) and epochs"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups = nil })}, "no parameter groups"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups[0].Params = "lowr.**" })}, `group "lowr.**" matches no parameter; the model has lower.**, norm.**, upper.**`},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups[0].Params = "**" })}, `parameter norm.weight is in two groups, "**" and "norm.**"`},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups[0].Params = "a.[" })}, "malformed"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups[0].Except = []string{"**"} })}, "Except takes out every parameter"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups[0].LR = math.NaN() })}, `group "lower.**": lr NaN`},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Schedule.Kind = "cosin" })}, `schedule kind "cosin"`},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Betas[1] = 1 })}, "betas"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Recompute = true })}, "SetRecompute"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) {
			s.Evaluate = []train.Evaluation{{Name: "e", Run: func(context.Context) (map[string]float64, error) { return nil, nil }, Best: "acc"}}
		})}, `no score "acc"`},
		{spare, []train.Stage[sample]{with(func(s *train.Stage[sample]) { s.Groups = []train.Group{{Params: "**", LR: 1}} })}, `no gradient to 1 parameters of group "**": [spare]`},
		{meta, []train.Stage[sample]{stage(4)}, "parameter upper.weight of group \"upper.**\" has no weights yet"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) {
			s.Batches = func(context.Context, int) (sample, error) { return sample{names: []string{"cat.jpg"}}, nil }
		})}, "micro-batch 0 (samples [cat.jpg]) has no supervised tokens"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) {
			s.Batches = func(_ context.Context, n int) (sample, error) {
				return sample{x: tensor.New(2, 4), y: tensor.New(2, 3), n: 1}, nil
			}
		})}, "in lower"},
		{nil, []train.Stage[sample]{with(func(s *train.Stage[sample]) {
			s.Batches = func(ctx context.Context, n int) (sample, error) {
				if n == 3 {
					return sample{}, errors.New("cat.jpg is not a picture")
				}
				return regression(ctx, n)
			}
		})}, "step 2: micro-batch 3: cat.jpg is not a picture"},
	} {
		m := c.model
		if m == nil {
			m = newNet(1)
		}
		_, err := train.Run(t.Context(), m, train.Options{}, c.stages...)
		require.ErrorContains(t, err, c.want)
		t.Log(err)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := stage(9)
	s.After = func(step int) {
		if step == 4 {
			cancel()
		}
	}
	_, err := train.Run(ctx, newNet(1), train.Options{}, s)
	var stop *train.Stopped
	require.ErrorAs(t, err, &stop)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 4, stop.Step)
}
