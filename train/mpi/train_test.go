//go:build linux

package mpi_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/mpi"
)

var full = flag.Bool("full", false, "kill 200 times instead of 20, however long it takes")

// model is two layers, the lower one bfloat16, and a parameter that every third batch uses.
type model struct {
	Lower *nn.Linear     `param:"lower"`
	Drop  *nn.Dropout    `param:"drop"`
	Upper *nn.Linear     `param:"upper"`
	Spare *tensor.Tensor `param:"spare"`
}

type batch struct {
	x, y *tensor.Tensor
	n    int
}

func (b batch) Supervised() int { return b.n }

func (m *model) Loss(b batch) *tensor.Tensor {
	d := m.Upper.Forward(m.Drop.Forward(nn.Activated(m.Lower, b.x, tensor.GELU))).Sub(b.y)
	l := d.Mul(d).Mean()
	if b.n%3 == 1 {
		l = l.Add(m.Spare.Mul(m.Spare).Mean())
	}
	return l
}

func batches(_ context.Context, n int) (batch, error) {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	pause := time.Millisecond // so that there is something to interrupt
	if d, err := time.ParseDuration(os.Getenv("GOLLAVA_MPI_TEST_PAUSE")); err == nil {
		pause = d
	}
	time.Sleep(pause)
	rows := 2 + n%3
	return batch{tensor.Randn(r, 1, rows, 5), tensor.Randn(r, 1, rows, 3), 1 + n%5}, nil
}

// trains trains the model in two stages, with what the environment says, and resumes what is there.
func trains(c *mpi.Comm) error {
	var comm train.Comm
	rank := ""
	if c != nil {
		comm, rank = c, fmt.Sprint(c.Rank())
	}
	r := rand.New(rand.NewPCG(1, 1))
	m := &model{nn.NewLinear(r, 5, 9001, true), &nn.Dropout{P: 0.1}, nn.NewLinear(r, 9001, 3, true),
		tensor.Randn(r, 1, 3).Param()}
	m.Lower.Weight = m.Lower.Weight.Detach().Cast(tensor.BFloat16).Clone().Param()
	stage := train.Stage[batch]{Name: "align", Batches: batches, Steps: 4, Accumulate: 4, Clip: 0.5,
		Schedule: train.Cosine(0.1), Every: 2,
		Groups: []train.Group{{Params: "upper.**", LR: 1e-2, WeightDecay: 0.01}, {Params: "spare", LR: 1e-3}}}
	tune := stage
	tune.Name, tune.EMA, tune.TokenWeighted, tune.Steps = "tune", 0.8, true, 6
	tune.Groups = append([]train.Group{{Params: "lower.**", LR: 1e-2}}, tune.Groups...)
	units := os.Getenv("GOLLAVA_MPI_TEST_UNITS")
	if units == "common" {
		unit, slowed, err := train.CommonUnit(comm)
		if err != nil {
			return err
		}
		fmt.Printf("all on %s; %s\n", unit, slowed)
	}
	if lr := os.Getenv("GOLLAVA_MPI_TEST_LR"); lr != "" && lr == rank {
		tune.Groups[0].LR = 7
	}
	if fail := os.Getenv("GOLLAVA_MPI_TEST_FAIL"); fail != "" && fail == rank {
		stage.Batches = func(ctx context.Context, n int) (batch, error) {
			if n >= 8 {
				return batch{}, errors.New("cat.jpg is not a picture")
			}
			return batches(ctx, n)
		}
	}
	o := train.Options{Dir: os.Getenv("GOLLAVA_MPI_TEST_DIR"), Resume: true, Signals: true, Comm: comm,
		AnyUnit: units == "any", ZeRO1: os.Getenv("GOLLAVA_MPI_TEST_ZERO") != ""}
	_, err := train.Run(context.Background(), m, o, stage, tune)
	var stop *train.Stopped
	if errors.As(err, &stop) {
		return stopped{stop}
	}
	return err
}

// stopped ends a rank with the status of its signal.
type stopped struct{ *train.Stopped }

func (s stopped) ExitCode() int { return s.Code }

// sum is the SHA-256 of a finished run's weights.
func sum(t *testing.T, dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint-03-00000000", "model.safetensors"))
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// want is the sum of a run of one process without MPI.
var want string

func reference(t *testing.T) string {
	if want == "" {
		dir := memoryDir(t)
		t.Setenv("GOLLAVA_MPI_TEST_DIR", dir)
		require.NoError(t, trains(nil))
		want = sum(t, dir)
	}
	return want
}

// memoryDir is a temporary directory, in memory where there is such a place.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "gollava-mpi-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// train runs n ranks to their end, which must be a good one.
func (l launcher) train(t *testing.T, n int, dir string, env ...string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c, out := l.start(ctx, n, "train", append(env, "GOLLAVA_MPI_TEST_DIR="+dir)...)
	require.NoError(t, c.Run(), "%s", out)
	return sum(t, dir)
}

// TestTrains: 1, 2 and 4 ranks end in the same weights as one process without MPI, with ZeRO-1 and without.
func TestTrains(t *testing.T) {
	want := reference(t)
	each(t, func(t *testing.T, l launcher) {
		for _, n := range []int{1, 2, 4} {
			for _, zero := range []string{"", "1"} {
				require.Equal(t, want, l.train(t, n, memoryDir(t), "GOLLAVA_MPI_TEST_ZERO="+zero),
					"%d ranks, ZeRO-1 %q", n, zero)
			}
		}
	})
}

// TestUnits: a rank that computes with other instructions is named and refused; it may be allowed, or all ranks take
// what all have, and end in the bits of a run of that alone.
func TestUnits(t *testing.T) {
	if tensor.Unit() == tensor.Units()[len(tensor.Units())-1] {
		t.Skipf("this processor, or GOLLAVA_CPU, has one level only: %s", tensor.Unit())
	}
	lowest := tensor.Units()[len(tensor.Units())-1]
	host, err := os.Hostname()
	require.NoError(t, err)
	each(t, func(t *testing.T, l launcher) {
		dir := memoryDir(t)
		want := l.train(t, 1, dir, "GOLLAVA_CPU=generic")
		require.NotEqual(t, reference(t), want, "levels round differently")
		for _, units := range []string{"", "any", "common"} {
			dir := memoryDir(t)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			c, out := l.start(ctx, 2, "train", "GOLLAVA_MPI_TEST_DIR="+dir, "GOLLAVA_MPI_TEST_UNITS="+units)
			c.Args = append(c.Args, ":", "-n", "1", "env", "GOLLAVA_CPU=generic", os.Args[0]) // rank 2
			err := c.Run()
			cancel()
			differs := "rank 0 on " + host + " computes on " + tensor.Unit() + ", but ranks [2] on " + lowest +
				", which rounds differently"
			switch units {
			case "":
				require.Error(t, err)
				require.Contains(t, out.String(), differs)
				require.Contains(t, out.String(), "--common-unit")
			case "any":
				require.NoError(t, err, "%s", out)
				story, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
				require.NoError(t, err)
				require.Contains(t, string(story), differs)
			case "common":
				require.NoError(t, err, "%s", out)
				require.Equal(t, want, sum(t, dir))
				require.Contains(t, out.String(), fmt.Sprintf(
					"all on %s; rank 0 on %s has %s, rank 1 on %[2]s has %[3]s\n", lowest, host, tensor.Unit()))
			}
		}
	})
}

// until waits for a checkpoint.
func until(t *testing.T, dir, pattern string) {
	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		return err == nil && len(found) > 0
	}, 10*time.Minute, time.Millisecond)
}

// TestSignal: SIGTERM to any one rank ends all after the same step, saved; another number of ranks goes on to the
// same weights.
func TestSignal(t *testing.T) {
	want := reference(t)
	each(t, func(t *testing.T, l launcher) {
		for _, then := range []int{1, 2} {
			dir := memoryDir(t)
			c, out := l.start(t.Context(), 4, "train", "GOLLAVA_MPI_TEST_ZERO=1", "GOLLAVA_MPI_TEST_DIR="+dir,
				"GOLLAVA_MPI_TEST_PAUSE=300ms") // they still run when the signal comes
			require.NoError(t, c.Start())
			until(t, dir, "checkpoint-01-*")
			ranks := children(c.Process.Pid)
			require.Len(t, ranks, 4)
			require.NoError(t, syscall.Kill(ranks[then], syscall.SIGTERM))
			require.Error(t, c.Wait())
			require.Contains(t, out.String(), "train: stopped in stage", "%s", out)
			stopped, err := filepath.Glob(filepath.Join(dir, "checkpoint-0[12]-*"))
			require.NoError(t, err)
			require.NotEmpty(t, stopped)
			require.Equal(t, want, l.train(t, then, dir), "%s", out)
		}
	})
}

// TestKill kills a random rank at random moments until a run finishes, again and again: all end in the same weights.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes most of a minute")
	}
	want := reference(t)
	r := rand.New(rand.NewPCG(5, 6))
	start, kills, limit := time.Now(), 10, 25*time.Second // of each library
	if *full {
		kills, limit = 100, time.Hour
	}
	each(t, func(t *testing.T, l launcher) {
		begin := time.Now()
		l.train(t, 2, memoryDir(t))
		took := time.Since(begin)
		killed, runs := 0, 0
		var hung atomic.Int32
		for begin = time.Now(); killed == 0 || killed < kills && time.Since(begin) < limit; runs++ {
			dir := memoryDir(t)
			for done := false; !done; {
				n := 2 + 2*r.IntN(2)
				c, out := l.start(t.Context(), n, "train", "GOLLAVA_MPI_TEST_DIR="+dir,
					"GOLLAVA_MPI_TEST_ZERO="+[]string{"", "1"}[r.IntN(2)])
				require.NoError(t, c.Start())
				victim, ended := r.IntN(n), make(chan struct{})
				timer := time.AfterFunc(time.Duration(r.Int64N(int64(took))), func() {
					ranks := children(c.Process.Pid)
					if victim >= len(ranks) {
						return
					}
					_ = syscall.Kill(ranks[victim], syscall.SIGKILL)
					select {
					case <-ended:
					case <-time.After(30 * time.Second):
						hung.Add(1) // Open MPI 4.1's mpirun can forget that its processes have ended
						_ = c.Process.Kill()
					}
				})
				err := c.Wait()
				close(ended)
				timer.Stop()
				if done = err == nil; !done {
					require.NotContains(t, out.String(), "damaged", "a checkpoint is whole or is not there")
					killed++
				}
			}
			require.Equal(t, want, sum(t, dir))
		}
		t.Logf("%d kills in %d runs; %d times the launcher did not notice", killed, runs, hung.Load())
		require.Positive(t, killed)
	})
	t.Log(time.Since(start))
}

// children are the ranks below a launcher's process.
func children(pid int) (ranks []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	parent := map[int]int{}
	for _, p := range procs {
		b, err := os.ReadFile(filepath.Join(p, "stat"))
		if err != nil {
			continue
		}
		var id, up int
		var state string
		if _, err := fmt.Sscanf(string(b[strings.LastIndexByte(string(b), ')')+1:]), "%s %d", &state, &up); err == nil {
			if _, err := fmt.Sscan(filepath.Base(p), &id); err == nil {
				parent[id] = up
			}
		}
	}
	self, _ := os.Executable()
	for id := range parent {
		below := id
		for below != pid && below > 1 {
			below = parent[below]
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", id)); below == pid && id != pid && err == nil &&
			exe == self {
			ranks = append(ranks, id)
		}
	}
	return ranks
}

// TestFailure: an error on one rank ends all, with a message that names the rank, its host and the step; ranks that
// differ are refused.
func TestFailure(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	each(t, func(t *testing.T, l launcher) {
		for _, c := range []struct{ env, want string }{
			{"GOLLAVA_MPI_TEST_FAIL=1", "rank 1 on " + host +
				", step 2: train: stage \"align\": step 3: micro-batch 9: cat.jpg is not a picture"},
			{"GOLLAVA_MPI_TEST_LR=2", "rank 2 on " + host + " differs from rank 0 on " + host +
				": config: [1].groups[0].lr was 0.01 and is now 7"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			cmd, out := l.start(ctx, 3, "train", c.env, "GOLLAVA_MPI_TEST_DIR="+memoryDir(t))
			require.Error(t, cmd.Run())
			require.NoError(t, ctx.Err(), "all ranks end")
			cancel()
			require.Contains(t, out.String(), c.want)
		}
	})
}

// TestWrongLauncher: a library of another family than the launcher makes each process a world of one, which is refused.
func TestWrongLauncher(t *testing.T) {
	each(t, func(t *testing.T, l launcher) {
		other := "libmpi.so.40"
		if l.open {
			other = "libmpich.so.12"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c, out := l.start(ctx, 2, "collectives", "GOLLAVA_MPI_TEST_LIBRARY="+other)
		require.Error(t, c.Run())
		if strings.Contains(out.String(), "cannot open shared object file") {
			t.Skipf("%s is not installed: apt-get install openmpi-bin mpich", other)
		}
		require.Contains(t, out.String(), "launcher and library are of different families", "%s", out)
		require.Contains(t, out.String(), "=2: ")
	})
}

func TestNoLibrary(t *testing.T) {
	_, err := mpi.Open("libnothing.so.1")
	require.ErrorContains(t, err, "libnothing.so.1: cannot open shared object file")
}
