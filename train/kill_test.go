//go:build unix

package train_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
)

// childDir is the variable that makes TestChild train in a directory instead of doing nothing.
const childDir = "GOLLAVA_TRAIN_TEST_DIR"

// anyUnit is the variable that lets TestChild resume on another unit.
const anyUnit = "GOLLAVA_TRAIN_TEST_ANY_UNIT"

// pauseOf is the variable that says how long TestChild pauses before each batch.
const pauseOf = "GOLLAVA_TRAIN_TEST_PAUSE"

// slow are the stages of two, with steps that take a while.
func slow() []train.Stage[sample] {
	s, pause := two(), time.Millisecond
	if d, err := time.ParseDuration(os.Getenv(pauseOf)); err == nil {
		pause = d
	}
	for i := range s {
		s[i].Batches = func(ctx context.Context, n int) (sample, error) {
			time.Sleep(pause)
			return regression(ctx, n)
		}
	}
	return s
}

// TestChild is what the other tests run in a process of its own.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("not a child")
	}
	_, err := train.Run(t.Context(), mixed(), train.Options{Dir: dir, Resume: true, AnyUnit: os.Getenv(anyUnit) != "", Signals: true, Command: "again"}, slow()...)
	var stop *train.Stopped
	if errors.As(err, &stop) {
		os.Stdout.WriteString(stop.Error())
		os.Exit(stop.Code)
	}
	require.NoError(t, err)
}

func child(t *testing.T, dir string, out *bytes.Buffer, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], "-test.run=^TestChild$")
	c.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	c.Stdout, c.Stderr = out, out
	require.NoError(t, c.Start())
	return c
}

// TestKill kills runs at random times, again and again until one finishes: the result is that of a run in peace.
func TestKill(t *testing.T) {
	dir := memoryDir(t)
	start := time.Now()
	var out bytes.Buffer
	require.NoError(t, child(t, dir, &out).Wait(), "%s", &out)
	took := time.Since(start)
	want := weights(t, dir)

	r := rand.New(rand.NewPCG(5, 6))
	killed, kills := 0, 20
	if *full {
		kills = 200
	}
	for killed < kills {
		dir := memoryDir(t)
		for done := false; !done; {
			var out bytes.Buffer
			c := child(t, dir, &out)
			timer := time.AfterFunc(time.Duration(r.Int64N(int64(took))), func() { _ = c.Process.Kill() })
			err := c.Wait()
			timer.Stop()
			if done = err == nil; !done {
				require.ErrorContains(t, err, "killed", "%s", &out)
				killed++
			}
		}
		require.Equal(t, want, weights(t, dir))
	}
}

// TestSignals: the first SIGTERM or SIGINT finishes the step and saves.
func TestSignals(t *testing.T) {
	for sig, code := range map[os.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		dir := memoryDir(t)
		var out bytes.Buffer
		c := child(t, dir, &out, pauseOf+"=300ms") // so that it still runs when the signal comes
		require.Eventually(t, func() bool {
			b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
			return err == nil && bytes.Contains(b, []byte(`"step"`))
		}, time.Minute, time.Millisecond)
		require.NoError(t, c.Process.Signal(sig))
		require.Error(t, c.Wait())
		require.Equal(t, code, c.ProcessState.ExitCode(), "%s", &out)
		require.Contains(t, out.String(), "once more to exit at once")
		require.Contains(t, out.String(), "go on with: again")
		require.NoError(t, child(t, dir, &out).Wait())
		weights(t, dir)
	}
}
