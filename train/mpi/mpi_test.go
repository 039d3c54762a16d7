//go:build linux

package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/mpi"
)

// role is the variable that makes a process of this test a rank.
const role = "GOLLAVA_MPI_TEST"

// roles are what ranks do, by name.
var roles = map[string]func(c *mpi.Comm) error{"collectives": collectives, "train": trains}

func TestMain(m *testing.M) {
	f := roles[os.Getenv(role)]
	if f == nil {
		os.Exit(m.Run())
	}
	c, err := mpi.Open(os.Getenv("GOLLAVA_MPI_TEST_LIBRARY"))
	if err == nil {
		if err = f(c); err == nil {
			err = c.Close()
		}
	}
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &coded):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(coded.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "rank failed:", err)
		os.Exit(1)
	}
	mpi.Exit(0)
}

// launcher is an installed MPI. An empty library is found as a program would find it.
type launcher struct {
	name, program, library string
	open                   bool // it takes Open MPI's options
}

var launchers = []launcher{{"Open MPI", "mpirun.openmpi", "", true}, {"MPICH", "mpirun.mpich", "", false}}

var (
	other   = flag.String("launcher", "", "test this mpirun instead of mpirun.openmpi and mpirun.mpich")
	library = flag.String("library", "", "with -launcher: load this library")
)

// each runs f with every MPI that is installed.
func each(t *testing.T, f func(t *testing.T, l launcher)) {
	tested := launchers
	if *other != "" {
		version, err := exec.Command(*other, "--version").CombinedOutput()
		require.NoError(t, err, "%s", version)
		tested = []launcher{{"other", *other, *library, bytes.Contains(version, []byte("Open MPI"))}}
	}
	for _, l := range tested {
		t.Run(strings.ReplaceAll(l.name, " ", ""), func(t *testing.T) {
			if _, err := exec.LookPath(l.program); err != nil {
				t.Skipf("%s is not installed (no %s in the path): apt-get install openmpi-bin mpich", l.name, l.program)
			}
			f(t, l)
		})
	}
}

// start prepares n ranks of a role.
func (l launcher) start(ctx context.Context, n int, what string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	args := []string{"-n", fmt.Sprint(n)}
	if l.open {
		args = append(args, "--oversubscribe", "--bind-to", "none")
	}
	c := exec.CommandContext(ctx, l.program, append(args, os.Args[0])...)
	c.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
		"OMPI_MCA_mpi_yield_when_idle=1",
		"OMPI_MCA_btl_vader_single_copy_mechanism=none", "GOMAXPROCS=2", role+"="+what, "GOLLAVA_MPI_TEST_LIBRARY="+l.library)
	c.Env = append(c.Env, env...)
	out := new(bytes.Buffer)
	c.Stdout, c.Stderr = out, out
	return c, out
}

// collectives checks every operation against what it must give, with pieces of unequal and of no length.
func collectives(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	value := func(from, to, i int) float32 { return float32(1000*from + 100*to + i) }
	for _, unit := range []int{1, 17, 70001} {
		length := func(from, to int) int { return unit * ((from + 2*to) % 3) }
		var sends, recvs []int
		var send, want []float32
		for q := range n {
			sends, recvs = append(sends, length(me, q)), append(recvs, length(q, me))
			for i := range length(me, q) {
				send = append(send, value(me, q, i))
			}
			if q == me { // its own piece stays where it is
				recvs[q] = 0
				continue
			}
			for i := range length(q, me) {
				want = append(want, value(q, me, i))
			}
		}
		recv := tensor.New(len(want))
		pending := c.Exchange(recv, recvs, tensor.From(send, len(send)), sends)

		counts := make([]int, n)
		var all []float32
		for q := range n {
			counts[q] = unit * (q % 2)
			for i := range counts[q] {
				all = append(all, float32(q+i%128))
			}
		}
		own := make([]float32, counts[me])
		for i := range own {
			own[i] = float32(me + i%128)
		}
		whole, half := tensor.New(len(all)), tensor.NewOf(tensor.BFloat16, len(all))
		gather := c.AllGather(whole, counts, tensor.From(own, len(own)))
		narrow := c.AllGather(half, counts, tensor.From(own, len(own)).Cast(tensor.BFloat16))
		sum := tensor.Full(float32(me+1), unit)
		reduce := c.AllReduce(sum)
		for _, p := range []interface{ Wait() error }{pending, gather, narrow, reduce} {
			if err := p.Wait(); err != nil {
				return err
			}
		}
		for what, x := range map[string][2][]float32{"Exchange": {want, recv.Data()}, "AllGather": {all, whole.Data()},
			"AllGather of bfloat16": {all, half.Cast(tensor.Float32).Data()}, "AllReduce": {{float32(n * (n +
				1) / 2)}, sum.Data()[unit-1:]}} {
			for i := range x[0] {
				if math.Float32bits(x[0][i]) != math.Float32bits(x[1][i]) {
					return fmt.Errorf("rank %d, unit %d: %s: element %d is %v, not %v", me, unit, what, i, x[1][i],
						x[0][i])
				}
			}
		}
	}
	for _, size := range []int{0, 5, 100000} {
		messages, err := c.Share(bytes.Repeat([]byte{byte('a' + me)}, size*me))
		if err != nil {
			return err
		}
		for q, m := range messages {
			if string(m) != strings.Repeat(string(rune('a'+q)), size*q) {
				return fmt.Errorf("rank %d: message of rank %d has %d bytes", me, q, len(m))
			}
		}
	}
	fmt.Printf("rank %d of %d by %s\n", me, n, c.Library())
	return nil
}

func TestCollectives(t *testing.T) {
	each(t, func(t *testing.T, l launcher) {
		for _, n := range []int{1, 2, 3, 4} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			c, out := l.start(ctx, n, "collectives")
			err := c.Run()
			cancel()
			require.NoError(t, err, "%s", out)
			for rank := range n {
				require.Contains(t, out.String(), fmt.Sprintf("rank %d of %d by ", rank, n))
			}
			t.Log(strings.Split(out.String(), "\n")[0])
		}
	})
}
