package main

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/study"
)

// The toy preset runs through everything; what is resumed prints the same, but for the clock.
func TestToy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-preset", "toy", "-out", dir}
	rows := func(args ...string) (said string, rows [][]string) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), args, &out))
		for _, line := range regexp.MustCompile(`(?m)^\| .*$`).FindAllString(out.String(), -1)[1:] {
			cells := strings.Split(line, " | ")
			require.Len(t, cells, 9, line)
			rows = append(rows, append(cells[:4:4], cells[5], cells[7], cells[8])) // without what depends on time
		}
		return out.String(), rows
	}
	said, first := rows(args...)
	require.NotContains(t, said, "NaN")
	var names []string
	for _, r := range first {
		names = append(names, strings.TrimPrefix(r[0], "| "))
	}
	require.Equal(t, []string{"linear", "mlp", "q-former", "resampler", "prefix", "no image"}, names)

	require.ErrorContains(t, run(t.Context(), args, &bytes.Buffer{}), "esume")
	_, again := rows(append(args, "-resume")...)
	require.Equal(t, first, again)
	f, err := os.Open(filepath.Join(dir, "connectors.png"))
	require.NoError(t, err)
	defer f.Close()
	_, err = png.Decode(f)
	require.NoError(t, err)

	require.ErrorContains(t, run(t.Context(), []string{"-preset", "huge"}, &bytes.Buffer{}), "default, smoke, toy")
}

// With -frozen the language model is what it was, so that without an image nothing trains. A run without it goes on
// from the same tower and language model.
func TestFrozen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-preset", "toy", "-frozen", "-out", dir}, &out))
	require.NotContains(t, out.String(), "values of language_model.** train, the rest is frozen")
	require.DirExists(t, filepath.Join(dir, "frozen", "linear"))
	require.NoDirExists(t, filepath.Join(dir, "frozen", "no-image"))
	require.Contains(t, out.String(), "\n| no image | 0 | 0 | 0.00 | 0.0000 |")

	out.Reset()
	require.NoError(t, run(t.Context(), []string{"-preset", "toy", "-resume", "-out", dir}, &out))
	require.NotContains(t, out.String(), "clip 3/3 · loss")
	require.Contains(t, out.String(), "values of language_model.** train, the rest is frozen")
	require.FileExists(t, filepath.Join(dir, "frozen", "connectors.png"))
	require.FileExists(t, filepath.Join(dir, "connectors.png"))
}

// An image comes before all text, wherever its place was, and labels stay with their tokens.
func TestSample(t *testing.T) {
	const none = tensor.IgnoreIndex
	image := tensor.New(1, 2, 3)
	ids, labels := []int32{2, 5, chat.ImageIndex, 7, 8}, []int32{none, none, none, none, 8}
	s := sample(&connector.VLM{Connector: stub{}}, ids, labels, image)
	require.Equal(t, []int32{chat.ImageIndex, 2, 5, 7, 8}, s.IDs)
	require.Equal(t, []int32{none, none, none, none, 8}, s.Labels)
	require.Same(t, image, s.Images[0].Features)
	s = sample(&connector.VLM{}, []int32{2, chat.ImageIndex, 7}, nil, image)
	require.Equal(t, connector.Sample{IDs: []int32{2, 7}}, s)
}

type stub struct{ connector.Connector }

// Between two exams the score is on the line between them; before the first and after the last it is theirs.
func TestAfter(t *testing.T) {
	trained := func(seconds float64, scores ...float64) *result {
		r := &result{system: system{added: []string{"x"}}, seconds: seconds}
		for i, step := range []int{10, 20, 40} {
			r.exams = append(r.exams, study.Point{Step: step, Scores: map[string]float64{"right": scores[i]}})
		}
		return r
	}
	fast, slow := trained(.5, .2, .4, .8), trained(2, .1, .3, .5)
	require.InDelta(t, 20, shortest([]*result{slow, fast, {end: .3}}), 1e-9)
	for seconds, want := range map[float64]float64{0: .2, 5: .2, 7.5: .3, 10: .4, 15: .6, 20: .8, 30: .8} {
		require.InDelta(t, want, fast.after(seconds), 1e-9, "%v s", seconds)
	}
	require.InDelta(t, .1, slow.after(20), 1e-9)
	require.InDelta(t, .3, (&result{end: .3}).after(20), 1e-9)
}
