//go:build unix

package train_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// TestResumeOnAnotherUnit stops a run, and goes on in processes that compute in plain Go: without permission they
// refuse and change nothing, with it they end, and say so.
func TestResumeOnAnotherUnit(t *testing.T) {
	if strings.Contains(tensor.Unit(), "/generic") {
		t.Skipf("there is one unit only, %s", tensor.Unit())
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	stages := two()
	stages[0].Batches = func(c context.Context, n int) (sample, error) {
		if n == 5 {
			cancel()
		}
		return regression(c, n)
	}
	_, err := train.Run(ctx, mixed(), train.Options{Dir: dir}, stages...)
	var stop *train.Stopped
	require.ErrorAs(t, err, &stop)
	state, err := os.ReadFile(filepath.Join(stop.Dir, "state.json"))
	require.NoError(t, err)
	require.Contains(t, string(state), `"unit": "`+tensor.Unit()+`"`)

	resume := func(permission string) (string, error) {
		var out bytes.Buffer
		c := child(t, dir, &out, "GOLLAVA_CPU=generic", anyUnit+"="+permission)
		err := c.Wait()
		return out.String(), err
	}
	out, err := resume("")
	require.Error(t, err)
	require.Contains(t, out, "it was computed on "+tensor.Unit()+", and this process computes on ")
	require.Contains(t, out, "-any-unit")
	again, err := os.ReadFile(filepath.Join(stop.Dir, "state.json"))
	require.NoError(t, err)
	require.Equal(t, state, again)

	out, err = resume("1")
	require.NoError(t, err, out)
	story, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	require.Contains(t, string(story), "which rounds differently")

	m := mixed() // a finished run is read on any unit
	_, err = train.Run(t.Context(), m, train.Options{Dir: dir, Resume: true}, two()...)
	require.NoError(t, err)
}
