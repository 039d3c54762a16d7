package train_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// stuck is a file system that writes no tensors of one checkpoint before it is let go.
type stuck struct {
	train.FileSystem
	name string
	free chan struct{}
}

func (s *stuck) Create(n string) (train.File, error) {
	f, err := s.FileSystem.Create(n)
	if strings.Contains(n, s.name) && strings.HasSuffix(n, ".safetensors") {
		return stuckFile{f, s}, err
	}
	return f, err
}

type stuckFile struct {
	train.File
	fs *stuck
}

func (f stuckFile) Write(b []byte) (int, error) {
	<-f.fs.free
	return f.File.Write(b)
}

// TestSaveBehind: steps go on while a checkpoint is written, averages are swapped in and out meanwhile, and it holds the
// state that it was begun at.
func TestSaveBehind(t *testing.T) {
	run := func(fs train.FileSystem, after func(step int)) (dir string, events []train.Event) {
		dir = t.TempDir()
		s := stage(9)
		s.Every, s.EMA, s.After = 4, 0.8, after
		s.Evaluate = []train.Evaluation{{Name: "dev", Every: 1,
			Run: func(context.Context) (map[string]float64, error) { return nil, nil }}}
		o := train.Options{Dir: dir, Keep: 10, Observe: func(e train.Event) error {
			if e.Kind == "step" || e.Kind == "checkpoint" {
				events = append(events, e)
			}
			return nil
		}}
		_, err := train.Run(t.Context(), mixed(), o.On(fs), s)
		require.NoError(t, err)
		return dir, events
	}
	want, _ := run(train.Disk, nil)
	fs := &stuck{train.Disk, "-00000004", make(chan struct{})}
	got, events := run(fs, func(step int) {
		if step == 7 {
			close(fs.free)
		}
	})
	var order []string
	for _, e := range events {
		order = append(order, e.Kind[:1]+string(rune('0'+e.Step)))
	}
	require.Equal(t, "s1 s2 s3 s4 s5 s6 s7", strings.Join(order[:7], " "))
	require.Contains(t, order, "c4")
	require.Contains(t, order, "c8")
	for _, step := range []string{"00000004", "00000008"} {
		for _, f := range []string{"model.safetensors", "optimizer.safetensors"} {
			a, err := os.ReadFile(filepath.Join(want, "checkpoint-01-"+step, f))
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(got, "checkpoint-01-"+step, f))
			require.NoError(t, err)
			require.Equal(t, a, b, "step %s: %s", step, f)
		}
	}
}

// TestStopBehind: a run that is to stop while a checkpoint is written ends with both that one and its newest state.
func TestStopBehind(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	fs := &stuck{train.Disk, "-00000004", make(chan struct{})}
	s := stage(9)
	s.Every = 4
	s.After = func(step int) {
		if step == 5 {
			cancel()
			close(fs.free)
		}
	}
	_, err := train.Run(ctx, newNet(1), train.Options{Dir: dir}.On(fs), s)
	var stop *train.Stopped
	require.ErrorAs(t, err, &stop)
	require.Equal(t, filepath.Join(dir, "checkpoint-01-00000005"), stop.Dir)
	names, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "checkpoint-01-00000004"), stop.Dir}, names)
}

// TestCheckpointNotFinite: weights that are not finite become no checkpoint, which is said, and the run goes back to the
// one before.
func TestCheckpointNotFinite(t *testing.T) {
	for _, m := range []*net{newNet(1), mixed()} {
		s := stage(9)
		s.Every, s.EMA = 2, 0
		spoil := true
		s.After = func(step int) {
			if step == 4 && spoil {
				spoil = false
				m.Norm.Weight.Data()[3] = float32(math.Inf(1))
			}
		}
		said := map[string]string{}
		o := train.Options{Dir: t.TempDir(), Keep: 10, Observe: func(e train.Event) error {
			said[e.Kind] += e.Text + "\n"
			return nil
		}}
		_, err := train.Run(t.Context(), m, o, s)
		require.NoError(t, err)
		require.Contains(t, said["note"], "checkpoint of step 4 not written, the ones before stay: parameter norm.weight is not finite")
		require.NotContains(t, said["checkpoint"], "-00000004")
		require.NoDirExists(t, filepath.Join(o.Dir, "checkpoint-01-00000004"))
		require.Contains(t, said["rollback"], "those of step 2 again")
		names, err := filepath.Glob(filepath.Join(o.Dir, ".new-*"))
		require.NoError(t, err)
		require.Empty(t, names)
	}
}

// keeping is a file system that fails to remove a checkpoint, once.
type keeping struct {
	train.FileSystem
	failed bool
}

func (k *keeping) RemoveAll(n string) error {
	if !k.failed && strings.HasPrefix(filepath.Base(n), "checkpoint-") {
		k.failed = true
		return os.ErrPermission
	}
	return k.FileSystem.RemoveAll(n)
}

// TestCheckpointStays: an old checkpoint that cannot be removed is a note, and the new one is there.
func TestCheckpointStays(t *testing.T) {
	s := stage(9)
	s.Every = 2
	var notes, saved []string
	o := train.Options{Dir: t.TempDir(), Keep: 1, Observe: func(e train.Event) error {
		switch e.Kind {
		case "note":
			notes = append(notes, e.Text)
		case "checkpoint":
			saved = append(saved, e.Text)
		}
		return nil
	}}
	_, err := train.Run(t.Context(), newNet(1), o.On(&keeping{FileSystem: train.Disk}), s)
	require.NoError(t, err)
	require.Len(t, saved, 4)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "removing an old checkpoint: permission denied")
	names, err := filepath.Glob(filepath.Join(o.Dir, "checkpoint-*"))
	require.NoError(t, err)
	require.Len(t, names, 1, "it is removed with the next")
}

// BenchmarkCheckpoint trains 34 million parameters, with a checkpoint of 400 MB every 10 steps. still-% is the share of
// the time for which training stands still for them.
func BenchmarkCheckpoint(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const wide = 4096
	m := &net{Lower: nn.NewLinear(r, wide, wide, false), Norm: nn.NewLayerNorm(r, wide, 1e-5, true),
		Drop: &nn.Dropout{}, Upper: nn.NewLinear(r, wide, wide, false)}
	batch := sample{x: tensor.Randn(r, 1, 256, wide), y: tensor.Randn(r, 1, 256, wide), n: 1}
	still, total := 0.0, 0.0
	for b.Loop() {
		var begin, end time.Time
		_, err := train.Run(b.Context(), m, train.Options{Dir: b.TempDir(), Observe: func(e train.Event) error {
			switch e.Kind {
			case "step":
				if end = e.Time; e.Step == 1 {
					begin = e.Time
				}
			case "checkpoint":
				still += e.Seconds
			}
			return nil
		}}, train.Stage[sample]{Name: "wide", Steps: 36, Every: 10,
			Batches: func(context.Context, int) (sample, error) { return batch, nil },
			Groups:  []train.Group{{Params: "**", LR: 1e-4}}})
		require.NoError(b, err)
		total += end.Sub(begin).Seconds()
	}
	b.ReportMetric(100*still/total, "still-%")
	b.ReportMetric(total/35/float64(b.N), "s/step")
}
