package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// together trains on n ranks of this process, each with a model of its own, and returns the models and each rank's
// error.
func together(ctx context.Context, n int, build func() *net, o train.Options,
	stages func(rank int) []train.Stage[sample]) ([]*net, []train.Report, []error) {
	models, reports, errs := make([]*net, n), make([]train.Report, n), make([]error, n)
	var all sync.WaitGroup
	for rank, c := range train.Local(n) {
		all.Go(func() {
			o := o
			o.Comm = c
			models[rank] = build()
			reports[rank], errs[rank] = train.Run(ctx, models[rank], o, stages(rank)...)
		})
	}
	all.Wait()
	return models, reports, errs
}

// wide is a model with parameters of several blocks, a bfloat16 one among them, and one that only every third
// micro-batch uses.
func wide() *net {
	r := rand.New(rand.NewPCG(1, 1))
	m := &net{Lower: nn.NewLinear(r, 5, 7001, true), Norm: nn.NewLayerNorm(r, 7001, 1e-5, true),
		Drop: &nn.Dropout{P: 0.1}, Upper: nn.NewLinear(r, 7001, 3, true),
		Spare: tensor.Randn(r, 1, 3).Param(), spared: true}
	low := m.Lower.(*nn.Linear)
	low.Weight = low.Weight.Detach().Cast(tensor.BFloat16).Clone().Param()
	return m
}

// spread are two stages whose steps have seven and four micro-batches, with clipping, averaging, weights by tokens,
// and a parameter that not every micro-batch uses.
func spread() []train.Stage[sample] {
	a, b := stage(4), stage(5)
	a.Name, a.Accumulate, a.Groups, a.Clip = "align", 7, []train.Group{{Params: "upper.**", LR: 1e-2},
		{Params: "spare", LR: 1e-2}}, 0.1
	b.Name, b.Accumulate, b.EMA, b.TokenWeighted, b.Every = "tune", 4, 0.8, true, 2
	b.Groups = append(b.Groups, train.Group{Params: "spare", LR: 1e-3})
	b.Evaluate = []train.Evaluation{{Name: "look", Every: 2, Best: "x",
		Run: func(context.Context) (map[string]float64, error) {
			return map[string]float64{"x": rand.Float64()}, nil // differs on every rank: rank 0's counts
		}}}
	return []train.Stage[sample]{a, b}
}

// numbers are what a rank reports of its stages: losses, norms, scores.
func numbers(r train.Report) string {
	out := ""
	for _, s := range r.Stages {
		out += fmt.Sprintln(s.Name, s.Steps, s.Skipped, s.Loss, s.Norm, s.LR, s.Stopped)
	}
	return out
}

// TestRanks: with any number of ranks, optimizer state sharded or not, a run ends in the same bits and reports the
// same numbers.
func TestRanks(t *testing.T) {
	var want map[string]string
	var said string
	for _, n := range []int{1, 2, 3, 4} {
		for _, zero := range []bool{false, true} {
			models, reports, errs := together(t.Context(), n, wide, train.Options{ZeRO1: zero},
				func(int) []train.Stage[sample] { return spread() })
			for rank := range n {
				require.NoError(t, errs[rank])
				if want == nil {
					want, said = bits(models[rank]), numbers(reports[rank])
				}
				require.Equal(t, want, bits(models[rank]), "rank %d of %d, ZeRO-1 %v", rank, n, zero)
				require.Equal(t, said, numbers(reports[rank]), "rank %d of %d, ZeRO-1 %v", rank, n, zero)
			}
		}
	}
}

// TestRanksInexact: the fast sum gives all ranks the same bits, which differ from the exact ones by rounding, and is
// not resumed by another number.
func TestRanksInexact(t *testing.T) {
	one, _, errs := together(t.Context(), 1, wide, train.Options{},
		func(int) []train.Stage[sample] { return spread()[:1] })
	require.NoError(t, errs[0])
	want := one[0].Upper.(*nn.Linear).Weight.Data()
	for _, zero := range []bool{false, true} {
		dir := memoryDir(t)
		o := train.Options{InexactSum: true, ZeRO1: zero, Dir: dir}
		models, _, errs := together(t.Context(), 3, wide, o, func(int) []train.Stage[sample] { return spread()[:1] })
		for rank := range 3 {
			require.NoError(t, errs[rank])
			require.Equal(t, bits(models[0]), bits(models[rank]))
		}
		got := models[0].Upper.(*nn.Linear).Weight.Data()
		require.NotEqual(t, want, got)
		for i := range want {
			require.InDelta(t, want[i], got[i], 3e-3,
				"Adam's first steps are of the size of the learning rate, whatever the gradient")
		}
		o.Resume = true
		_, _, errs = together(t.Context(), 2, wide, o, func(int) []train.Stage[sample] { return spread()[:1] })
		require.ErrorContains(t, errs[0], "[0].ranks was 3 and is now 2")
	}
}

// TestRanksSkip: a loss of NaN on one rank makes all skip the step, and its rank and sample are named; so does a
// gradient of NaN.
func TestRanksSkip(t *testing.T) {
	var want map[string]string
	for _, n := range []int{1, 2, 4} {
		var said []string
		var mu sync.Mutex
		o := train.Options{ZeRO1: n == 4, Observe: func(e train.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == "skipped" {
				said = append(said, e.Text)
			}
			return nil
		}}
		models, reports, errs := together(t.Context(), n, wide, o, func(int) []train.Stage[sample] {
			s := spread()
			s[0].Batches = func(ctx context.Context, n int) (sample, error) {
				b, err := regression(ctx, n)
				if n == 7+5 {
					b.x.Data()[3] = float32(math.NaN())
				}
				return b, err
			}
			return s
		})
		for rank := range n {
			require.NoError(t, errs[rank])
			require.Equal(t, 1, reports[rank].Stages[0].Skipped)
			if want == nil {
				want = bits(models[0])
			}
			require.Equal(t, want, bits(models[rank]), "%d ranks", n)
		}
		require.Len(t, said, n)
		if n > 1 {
			require.Contains(t, said[0], fmt.Sprintf("rank %d on ", 5%n))
		}
		require.Contains(t, said[0], "the loss of micro-batch 12 (samples [s12.0 s12.1]) is not finite")
	}
}

// TestRanksFail: an error on one rank ends all, and names it.
func TestRanksFail(t *testing.T) {
	_, _, errs := together(t.Context(), 3, wide, train.Options{}, func(rank int) []train.Stage[sample] {
		s := spread()
		if rank == 1 {
			s[0].Batches = func(ctx context.Context, n int) (sample, error) {
				if n >= 7 {
					return sample{}, errors.New("cat.jpg is not a picture")
				}
				return regression(ctx, n)
			}
		}
		return s
	})
	require.ErrorContains(t, errs[1], "step 2: micro-batch 8: cat.jpg is not a picture")
	for _, rank := range []int{0, 2} {
		require.ErrorContains(t, errs[rank], "rank 1 ended: rank 1 on ")
		require.ErrorContains(t, errs[rank], "cat.jpg is not a picture")
	}
	for i, err := range errs {
		t.Log(i, err)
	}
}

// TestRanksDiffer: what differs between ranks is named before any of them trains.
func TestRanksDiffer(t *testing.T) {
	for _, c := range []struct {
		what string
		f    func(s []train.Stage[sample])
	}{
		{"config: [1].groups[0].lr was 0.01 and is now 7", func(s []train.Stage[sample]) { s[1].Groups[0].LR = 7 }},
		{"stage \"align\": accumulate 2: 3 ranks need at least as many",
			func(s []train.Stage[sample]) { s[0].Accumulate = 2 }},
	} {
		_, _, errs := together(t.Context(), 3, wide, train.Options{}, func(rank int) []train.Stage[sample] {
			s := spread()
			if rank == 2 {
				c.f(s)
			}
			return s
		})
		for rank := range errs {
			require.ErrorContains(t, errs[rank], c.what)
			if rank != 2 {
				require.ErrorContains(t, errs[rank], "rank 2", fmt.Sprint(rank))
			}
		}
	}
}

// named is a Comm whose library has a name.
type named struct {
	train.Comm
	library string
}

func (n named) Library() string { return n.library }

// TestRanksOfDifferentKinds: other data, another library, another model, another folder at one rank: each is refused at
// the start, and names the rank and the key.
func TestRanksOfDifferentKinds(t *testing.T) {
	require.ErrorContains(t, train.DifferentCode("4cf4013", "8d8e89d"),
		"code: it runs a program built of 8d8e89d, not of 4cf4013: install the same program on all hosts")
	require.NoError(t, train.DifferentCode("4cf4013", "4cf4013"))
	shared, elsewhere := t.TempDir(), t.TempDir()
	for _, c := range []struct {
		what string
		f    func(o *train.Options, m *net)
	}{
		{`data: "1b", not "1a": give all ranks the same files`,
			func(o *train.Options, _ *net) { o.Same = map[string]string{"data": "1b"} }},
		{"library: it is joined by libmpi.so.40 (Open MPI v4.1.6), not by libmpi.so.40 (Open MPI v4.1.4)",
			func(o *train.Options, _ *net) { o.Comm = named{o.Comm, "libmpi.so.40 (Open MPI v4.1.6)"} }},
		{"model: parameter spare is ", func(_ *train.Options, m *net) { m.Spare = tensor.New(4).Param() }},
		{"it does not see the file that rank 0 on ", func(o *train.Options, _ *net) { o.Dir = elsewhere }},
	} {
		errs := make([]error, 3)
		var all sync.WaitGroup
		for rank, comm := range train.Local(3) {
			all.Go(func() {
				m := wide()
				o := train.Options{Dir: shared, Comm: named{comm, "libmpi.so.40 (Open MPI v4.1.4)"},
					Same: map[string]string{"data": "1a"}}
				if rank == 2 {
					o.Comm = comm
					if c.f(&o, m); o.Comm == comm {
						o.Comm = named{comm, "libmpi.so.40 (Open MPI v4.1.4)"}
					}
				}
				_, errs[rank] = train.Run(t.Context(), m, o, spread()...)
			})
		}
		all.Wait()
		for rank, err := range errs {
			require.ErrorContains(t, err, c.what, "rank %d", rank)
			if rank != 2 {
				require.ErrorContains(t, err, "rank 2 on ", "rank %d", rank)
			}
		}
	}
}

// TestRanksResume stops runs of several ranks, at any time and on any of them, and goes on with another number and
// the other kind of optimizer: the result is that of one rank without a stop, and so are the stored weights.
func TestRanksResume(t *testing.T) {
	models, _, errs := together(t.Context(), 1, wide, train.Options{},
		func(int) []train.Stage[sample] { return spread() })
	require.NoError(t, errs[0])
	want := bits(models[0])
	stored := ""
	r := rand.New(rand.NewPCG(1, 3))
	for i := range 12 {
		dir := memoryDir(t)
		var log []string
		for leg := 0; ; leg++ {
			n := []int{4, 1, 2, 3}[(i+leg)%4]
			ctx, cancel := context.WithCancel(t.Context())
			left, stopper := 1+r.IntN(20), r.IntN(n)
			o := train.Options{Dir: dir, Resume: true, ZeRO1: (i/4+leg)%2 == 0}
			models, _, errs = together(ctx, n, wide, o, func(rank int) []train.Stage[sample] {
				s := spread()
				for i := range s {
					s[i].Evaluate = nil
					s[i].Batches = func(c context.Context, n int) (sample, error) {
						if rank == stopper {
							if left--; left == 0 {
								cancel()
							}
						}
						return regression(c, n)
					}
				}
				return s
			})
			cancel()
			for rank := range n {
				require.Equal(t, errs[0] == nil, errs[rank] == nil, "%v", errs)
			}
			if errs[0] == nil {
				break
			}
			var stop *train.Stopped
			require.ErrorAs(t, errs[0], &stop)
			log = append(log, fmt.Sprintf("%d ranks to %s", n, filepath.Base(stop.Dir)))
		}
		for rank := range models {
			require.Equal(t, want, bits(models[rank]), "%v", log)
		}
		if w := weights(t, dir); stored == "" {
			stored = w
		} else {
			require.Equal(t, stored, w, "%v", log)
		}
		t.Log(log)
	}
}

// weights are the stored weights of a finished run.
func weights(t *testing.T, dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint-03-00000000", "model.safetensors"))
	require.NoError(t, err)
	return string(b)
}
