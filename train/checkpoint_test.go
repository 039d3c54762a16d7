package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// two stages: first the upper part, then all of it with averaging, in bfloat16 where the model is.
func two() []train.Stage[sample] {
	a, b := stage(7), stage(9)
	a.Name, a.Every, a.Groups = "align", 3, []train.Group{{Params: "upper.**", LR: 1e-2}}
	b.Name, b.Every, b.EMA, b.Accumulate, b.TokenWeighted, b.Seed = "tune", 2, 0.8, 3, true, 5
	return []train.Stage[sample]{a, b}
}

// mixed is a net whose lower weight is bfloat16.
func mixed() *net {
	m := newNet(1)
	low := m.Lower.(*nn.Linear)
	low.Weight = low.Weight.Detach().Cast(tensor.BFloat16).Clone().Param()
	return m
}

// story is metrics.jsonl without clock readings, of steps and evaluations only.
func story(t *testing.T, dir string) []string {
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(b)) {
		var e train.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Kind == "step" || e.Kind == "evaluation" {
			e.Time, e.Seconds = e.Time.Truncate(1<<62), 0
			out = append(out, fmt.Sprintf("%s %s %d %v %v %v %v %d %v", e.Kind, e.Stage, e.Step, e.Loss, e.Average, e.GradNorm, e.LR, e.Tokens, e.Scores))
		}
	}
	return out
}

// TestResume stops a run at random places, between steps and within one, and expects the same bits as without.
func TestResume(t *testing.T) {
	wantDir := t.TempDir()
	m := mixed()
	_, err := train.Run(t.Context(), m, train.Options{Dir: wantDir}, two()...)
	require.NoError(t, err)
	want, lines := bits(m), story(t, wantDir)
	require.Len(t, lines, 16)

	r := rand.New(rand.NewPCG(1, 2))
	within := 0
	for range 30 {
		dir := memoryDir(t)
		left := 1 + r.IntN(7*2+9*3) // micro-batches until the stop
		var m *net
		for first := true; ; first = false {
			ctx, cancel := context.WithCancel(t.Context())
			stages := two()
			for i := range stages {
				stages[i].Batches = func(c context.Context, n int) (sample, error) {
					if left--; left == 0 && (first || r.IntN(2) == 0) {
						cancel()
					}
					return regression(c, n)
				}
			}
			m = mixed()
			_, err := train.Run(ctx, m, train.Options{Dir: dir, Resume: !first}, stages...)
			cancel()
			if err == nil {
				break
			}
			var stop *train.Stopped
			require.ErrorAs(t, err, &stop)
			if strings.Count(filepath.Base(stop.Dir), "-") == 3 {
				within++
			}
			left = 1 + r.IntN(20)
		}
		require.Equal(t, want, bits(m))
		require.Equal(t, lines, story(t, dir))
	}
	require.Greater(t, within, 5, "stops within a step")
	require.Less(t, within, 40)
}

// TestResumeDone: a finished run has nothing to do, and gives back the trained weights.
func TestResumeDone(t *testing.T) {
	dir := t.TempDir()
	m := mixed()
	var said string
	observe := func(e train.Event) error { said += e.Text + "\n"; return nil }
	_, err := train.Run(t.Context(), m, train.Options{Dir: dir, Resume: true, Observe: observe}, two()...)
	require.NoError(t, err)
	require.Contains(t, said, dir+" holds no checkpoint to resume: beginning anew")
	again := mixed()
	said = ""
	rep, err := train.Run(t.Context(), again, train.Options{Dir: dir, Resume: true, Observe: observe}, two()...)
	require.NoError(t, err)
	require.Contains(t, said, "the run was finished: ")
	require.NotContains(t, said, "going on from")
	require.Equal(t, bits(m), bits(again))
	require.Equal(t, 9, rep.Stages[1].Steps)
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	run := func(m *net, o train.Options, f func([]train.Stage[sample])) error {
		s := two()
		if f != nil {
			f(s)
		}
		_, err := train.Run(t.Context(), m, o, s...)
		return err
	}
	require.NoError(t, run(mixed(), train.Options{Dir: dir}, nil))
	resume := train.Options{Dir: dir, Resume: true}

	require.ErrorContains(t, run(mixed(), train.Options{Dir: dir}, nil), "holds checkpoints of an earlier run")
	require.ErrorContains(t, run(mixed(), train.Options{Resume: true}, nil), "set Dir")
	require.ErrorContains(t, run(mixed(), resume, func(s []train.Stage[sample]) { s[1].Groups[2].LR = 7 }), "[1].groups[2].lr was 0.03 and is now 7")
	require.ErrorContains(t, run(mixed(), resume, func(s []train.Stage[sample]) { s[0].Steps = 8 }), "[0].steps was 7 and is now 8")
	require.ErrorContains(t, run(mixed(), resume, func(s []train.Stage[sample]) { s[0].Config = map[string]string{"data": "x"} }), `[0].config was null and is now {"data":"x"}`)
	require.ErrorContains(t, run(newNet(1), resume, nil), "parameter lower.weight was bfloat16[7 5] and is float32[7 5]")

	part := t.TempDir()
	only := two()[:1]
	_, err := train.Run(t.Context(), mixed(), train.Options{Dir: part}, only...)
	require.NoError(t, err)
	other := mixed()
	other.Norm.Bias.Data()[0]++
	_, err = train.Run(t.Context(), other, train.Options{Dir: part, Resume: true}, only...)
	require.ErrorContains(t, err, "frozen parameter norm.bias has other values")

	state := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(state, nil, 0o600))
	require.ErrorContains(t, run(mixed(), train.Options{Dir: filepath.Join(state, "run")}, nil), "directory of the run")
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := stage(2)
	s.After = func(step int) {
		if step == 1 {
			_, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir}, stage(2))
			require.ErrorContains(t, err, fmt.Sprintf("is in use by process %d", os.Getpid()))
		}
	}
	_, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir}, s)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), []byte("999999\n"), 0o600))
	var said []string
	_, err = train.Run(t.Context(), newNet(1), train.Options{Dir: dir, Resume: true, Observe: func(e train.Event) error {
		said = append(said, e.Text)
		return nil
	}}, stage(2))
	require.NoError(t, err)
	require.Contains(t, said[0], "process 999999 ended without giving back")
}

// TestKeeps: the newest and the best checkpoints stay.
func TestKeeps(t *testing.T) {
	dir := t.TempDir()
	s := stage(20)
	s.Every = 2
	scores := []float64{1, 3, 2, 2, 2}
	i := -1
	s.Evaluate = []train.Evaluation{{Name: "dev", Every: 4, Best: "acc", Run: func(context.Context) (map[string]float64, error) {
		i++
		return map[string]float64{"acc": scores[i]}, nil
	}}}
	_, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir}, s)
	require.NoError(t, err)
	es, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	require.NoError(t, err)
	for i := range es {
		es[i] = filepath.Base(es[i])
	}
	require.Equal(t, []string{"checkpoint-01-00000008", "checkpoint-01-00000018", "checkpoint-02-00000000"}, es)
}

// TestDamage flips one bit in each of 500 places of the newest checkpoint: it is noticed, and the run goes on from the one before.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s := stage(20)
	s.Every = 2
	s.After = func(step int) {
		if step == 8 {
			cancel()
		}
	}
	_, err := train.Run(ctx, newNet(1), train.Options{Dir: dir}, s)
	require.ErrorIs(t, err, context.Canceled)
	s.After = nil

	var files []string
	total := 0
	for _, f := range []string{"manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"} {
		name := filepath.Join(dir, "checkpoint-01-00000008", f)
		info, err := os.Stat(name)
		require.NoError(t, err)
		files = append(files, name)
		total += int(info.Size())
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 500 {
		name := files[i%len(files)]
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		at, bit := r.IntN(len(b)), byte(1)<<r.IntN(8)
		b[at] ^= bit
		require.NoError(t, os.WriteFile(name, b, 0o600))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var said string
		_, err = train.Run(ctx, newNet(1), train.Options{Dir: dir, Resume: true, Observe: func(e train.Event) error {
			said += e.Text + "\n"
			return nil
		}}, s)
		require.ErrorIs(t, err, context.Canceled)
		require.Contains(t, said, "checkpoint-01-00000008 is damaged", "%s byte %d bit %d", name, at, bit)
		require.Contains(t, said, "going on from "+filepath.Join(dir, "checkpoint-01-00000006"))
		b[at] ^= bit
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
	for _, n := range []string{"06", "08"} {
		require.NoError(t, os.Truncate(filepath.Join(dir, "checkpoint-01-000000"+n, "model.safetensors"), 100))
	}
	_, err = train.Run(t.Context(), newNet(1), train.Options{Dir: dir, Resume: true}, s)
	require.ErrorContains(t, err, "none of the 2 checkpoints")
}

var full = flag.Bool("full", false, "kill 200 times instead of 20")

// errKilled is what a faulty file system panics with.
var errKilled = errors.New("killed")

// faulty is a file system that fails, or dies, at its n-th operation, and fails at all after it until it is mended.
type faulty struct {
	train.FileSystem
	left int
	die  bool
	dead bool
	seen int
}

func (f *faulty) step() error {
	f.seen++
	if f.left--; f.left == 0 || f.dead {
		f.dead = f.die
		if f.die {
			panic(errKilled)
		}
		return syscall.ENOSPC
	}
	return nil
}

func (f *faulty) Mkdir(n string) error {
	return errors.Join(f.step(), f.unless(func() error { return f.FileSystem.Mkdir(n) }))
}
func (f *faulty) SyncDir(n string) error { return errors.Join(f.step(), f.FileSystem.SyncDir(n)) }
func (f *faulty) Rename(a, b string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FileSystem.Rename(a, b)
}

func (f *faulty) unless(g func() error) error {
	if f.left == 0 {
		return nil
	}
	return g()
}

func (f *faulty) RemoveAll(n string) error {
	if f.die {
		if err := f.step(); err != nil {
			return err
		}
	}
	return f.FileSystem.RemoveAll(n)
}

func (f *faulty) Create(n string) (train.File, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	w, err := f.FileSystem.Create(n)
	return &faultyFile{w, f}, err
}

type faultyFile struct {
	train.File
	fs *faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.fs.step(); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // half of it gets there
		return n, err
	}
	return f.File.Write(b)
}

func (f *faultyFile) Sync() error { return errors.Join(f.fs.step(), f.File.Sync()) }

// TestDiskFull: whichever write fails, the run goes on, and says so; its result is the same.
func TestDiskFull(t *testing.T) { everyWrite(t, false) }

// TestDies: whichever step of writing the process dies at, the run resumes with the same result.
func TestDies(t *testing.T) { everyWrite(t, true) }

func everyWrite(t *testing.T, die bool) {
	ref := mixed()
	count := &faulty{FileSystem: train.Disk, left: math.MaxInt}
	_, err := train.Run(t.Context(), ref, train.Options{Dir: t.TempDir()}.On(count), two()...)
	require.NoError(t, err)
	want := bits(ref)
	require.Greater(t, count.seen, 100)
	for n := 1; n <= count.seen; n++ {
		fs := &faulty{FileSystem: train.Disk, left: n, die: die}
		dir := memoryDir(t)
		m, said := mixed(), ""
		o := train.Options{Dir: dir, Observe: func(e train.Event) error {
			said += e.Text
			return nil
		}}
		err := func() (err error) {
			defer func() {
				if e := recover(); e != nil && e != errKilled {
					panic(e)
				} else if e != nil {
					err = errKilled
				}
			}()
			_, err = train.Run(t.Context(), m, o.On(fs), two()...)
			return err
		}()
		switch {
		case die && fs.left <= 0:
			require.ErrorIs(t, err, errKilled, "operation %d", n)
		case !die && err == nil:
			require.Contains(t, said, "not written, the ones before stay", "operation %d", n)
			require.Contains(t, said, syscall.ENOSPC.Error())
		case !die:
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, "could not be stored")
		}
		if err != nil {
			m = mixed()
			o.Resume = true
			_, err = train.Run(t.Context(), m, o, two()...)
			require.NoError(t, err, "operation %d", n)
		}
		require.Equal(t, want, bits(m), "operation %d", n)
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestRollback: three bad steps in a row put the weights back to the last good state, on disk or in memory, and the run goes on.
func TestRollback(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		for _, every := range []int{0, 4} {
			s := stage(12)
			s.Every = every
			m := newNet(1)
			bias := m.Upper.(*nn.Linear).Bias
			var kept float32
			s.Batches = func(ctx context.Context, n int) (sample, error) {
				b, err := regression(ctx, n)
				if n/2 == 6 || n/2 == 7 || n/2 == 8 { // steps 7, 8, 9
					b.x.Data()[0] = float32(math.Inf(1))
				}
				return b, err
			}
			s.After = func(step int) {
				if step == 4 {
					kept = bias.Data()[0]
				}
			}
			var back float32
			var text string
			rep, err := train.Run(t.Context(), m, train.Options{Dir: dir, Observe: func(e train.Event) error {
				if e.Kind == "rollback" {
					back, text = bias.Data()[0], e.Text
				}
				return nil
			}}, s)
			if every == 0 {
				require.ErrorContains(t, err, "to go back to (set Every)")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, 3, rep.Stages[0].Skipped)
			require.Equal(t, kept, back)
			require.Contains(t, text, "are those of step 4 again")
			require.False(t, math.IsNaN(rep.Stages[0].Loss[11]))
		}
	}
}

// memoryDir is a temporary directory, in memory where there is such a place: what a killed process wrote survives there too, and syncing costs nothing.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "gollava-train-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
