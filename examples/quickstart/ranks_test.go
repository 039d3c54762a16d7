package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
)

var everyWorld = flag.Bool("every-world", false, "TestRanks starts 1, 2 and 4 ranks of each MPI, with ZeRO-1 and "+
	"without")

// TestRanks: the program on several ranks ends in the same files as alone: weights of every stage, scores, curves.
//
//	go test ./examples/quickstart -run TestRanks -v -every-world
func TestRanks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	said, err := quick(t, "-accumulate", "4", "-out", dir) // one process, which cuts its batches as the ranks do
	require.NoError(t, err, said)
	_, err = quick(t, "-accumulate", "2", "-out", dir, "-resume")
	require.ErrorContains(t, err, "-accumulate was 4 and is now 2")
	want := results(t, dir)
	t.Run("goroutines", func(t *testing.T) { testGoroutines(t, want) })
	t.Run("processes", func(t *testing.T) { testProcesses(t, want) })
}

func testGoroutines(t *testing.T, want map[string]string) {
	const n = 3 // which compute 2, 1 and 1 micro-batches of a step
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-preset", "toy", "-accumulate", "4", "-zero1", "-out", dir}
	errs := make([]error, n)
	var said bytes.Buffer
	var all sync.WaitGroup
	for rank, comm := range train.Local(n) {
		out := io.Writer(&said)
		if rank > 0 {
			out = silent{t}
		}
		all.Go(func() {
			if errs[rank] = run(t.Context(), args, strings.NewReader(""), out, comm); errs[rank] != nil {
				comm.Abort(errs[rank])
			}
		})
	}
	all.Wait()
	for rank, err := range errs {
		require.NoError(t, err, "rank %d of %d\n%s", rank, n, &said)
	}
	require.Equal(t, want, results(t, dir), "%d ranks", n)
}

// silent is the output of a rank that has nothing to say.
type silent struct{ t *testing.T }

func (s silent) Write(b []byte) (int, error) {
	s.t.Errorf("printed by another rank than 0: %s", b)
	return len(b), nil
}

func testProcesses(t *testing.T, want map[string]string) {
	if testing.Short() {
		t.Skip("it builds and starts programs")
	}
	binary := filepath.Join(t.TempDir(), "quickstart")
	build := exec.Command("go", "build", "-tags", "mpi", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	for _, l := range []struct {
		program string
		args    []string
		worlds  []string
	}{
		{"mpirun.openmpi", []string{"--oversubscribe", "--bind-to", "none"}, []string{"2 -zero1"}},
		{"mpirun.mpich", nil, []string{"4"}},
	} {
		t.Run(l.program, func(t *testing.T) {
			if _, err := exec.LookPath(l.program); err != nil {
				t.Skipf("%s is not installed: apt-get install openmpi-bin mpich", l.program)
			}
			if *everyWorld {
				l.worlds = []string{"1", "1 -zero1", "2", "2 -zero1", "4", "4 -zero1"}
			}
			for _, w := range l.worlds {
				n, flags, _ := strings.Cut(w, " ")
				dir := filepath.Join(t.TempDir(), "run")
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				args := slices.Concat([]string{"-n", n}, l.args,
					[]string{binary, "-preset", "toy", "-accumulate", "4", "-out", dir}, strings.Fields(flags))
				cmd := exec.CommandContext(ctx, l.program, args...)
				cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
					"OMPI_MCA_mpi_yield_when_idle=1", "OMPI_MCA_btl_vader_single_copy_mechanism=none")
				began := time.Now()
				said, err := cmd.CombinedOutput()
				cancel()
				require.NoError(t, err, "%s", said)
				require.Equal(t, n != "1", strings.Contains(string(said), n+" processes by "), "%s", said)
				require.Equal(t, want, results(t, dir), "%s", w)
				t.Logf("%s ranks: %.1f s", w, time.Since(began).Seconds())
			}
		})
	}
}
