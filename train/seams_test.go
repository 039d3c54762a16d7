package train_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// halves is a model whose batches use one of two parts or both.
type halves struct {
	A *tensor.Tensor `param:"a"`
	B *tensor.Tensor `param:"b"`
}

type half struct {
	parts  string
	silent bool
}

func (h half) Reaches(name string) bool { return h.silent || strings.Contains(h.parts, name) }

func (m *halves) Loss(h half) *tensor.Tensor {
	x := tensor.Full(1, 3)
	if strings.Contains(h.parts, "a") {
		x = x.Mul(m.A)
	}
	if strings.Contains(h.parts, "b") {
		x = x.Mul(m.B)
	}
	return x.Sum()
}

// A first batch that cannot reach a part of the model is no fault; one that could and does not is.
func TestFirstBatchOfOneKind(t *testing.T) {
	run := func(batches ...half) (*halves, error) {
		m := &halves{tensor.Full(1, 3).Param(), tensor.Full(1, 3).Param()}
		_, err := train.Run(t.Context(), m, train.Options{}, train.Stage[half]{Name: "fit", Steps: 2, Accumulate: len(batches) / 2, Groups: []train.Group{{Params: "*", LR: 0.1}},
			Batches: func(_ context.Context, n int) (half, error) { return batches[n], nil }})
		return m, err
	}
	m, err := run(half{parts: "a"}, half{parts: "ab"})
	require.NoError(t, err)
	require.NotEqual(t, float32(1), m.B.Data()[0], "the second batch trains it")
	m, err = run(half{parts: "a"}, half{parts: "a"})
	require.NoError(t, err)
	require.Equal(t, float32(1), m.B.Data()[0])
	_, err = run(half{parts: "a"}, half{parts: "b"}, half{parts: "a"}, half{parts: "a"})
	require.NoError(t, err)
	_, err = run(half{parts: "a", silent: true}, half{parts: "ab"})
	require.ErrorContains(t, err, "brought no gradient to 1 parameters")
}

// What only reports does not end a training.
func TestMetricsThatCannotBeWritten(t *testing.T) {
	for _, block := range []string{"tensorboard", "metrics.jsonl"} {
		dir := t.TempDir()
		path := filepath.Join(dir, block)
		if block == "tensorboard" {
			require.NoError(t, os.WriteFile(path, []byte("in the way"), 0o600))
		} else {
			require.NoError(t, os.Mkdir(path, 0o700))
		}
		var notes []string
		rep, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir, Observe: func(e train.Event) error {
			if e.Kind == "note" {
				notes = append(notes, e.Text)
			}
			return nil
		}}, stage(4))
		require.NoError(t, err, block)
		require.Len(t, rep.Stages[0].Loss, 4)
		require.Len(t, notes, 1, block)
		require.Contains(t, notes[0], block[:5])
	}
}

// A run whose last step was not finite failed, though it had fewer bad steps than it takes to go back.
func TestLastStepNotFinite(t *testing.T) {
	for _, bad := range []int{3, 4} { // of 4 steps
		s := stage(4)
		plain := s.Batches
		s.Batches = func(ctx context.Context, n int) (sample, error) {
			b, err := plain(ctx, n)
			if n/2+1 == bad {
				b.x = tensor.Full(float32(math.NaN()), b.x.Shape()...)
			}
			return b, err
		}
		_, err := train.Run(t.Context(), newNet(1), train.Options{}, s)
		if bad == 4 {
			require.ErrorContains(t, err, "the last 1 of 4 steps were skipped")
		} else {
			require.NoError(t, err)
		}
	}
}

// A checkpoint's file that is a link to a device, a pipe or too long is damaged, at once.
func TestCheckpointOfDevices(t *testing.T) {
	dir := t.TempDir()
	s := stage(6)
	s.Every = 2
	_, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir, Keep: 9}, s)
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	require.NoError(t, err)
	require.Greater(t, len(names), 2)
	last, before := names[len(names)-1], names[len(names)-2]
	weights := filepath.Join(last, "model.safetensors")
	require.NoError(t, os.Remove(weights))
	require.NoError(t, os.Symlink("/dev/zero", weights))
	b, err := os.ReadFile(filepath.Join(before, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(before, "model.safetensors"), append(b, make([]byte, 1<<20)...), 0o600))
	var notes []string
	_, err = train.Run(t.Context(), newNet(1), train.Options{Dir: dir, Resume: true, Observe: func(e train.Event) error {
		notes = append(notes, e.Text)
		return nil
	}}, s)
	require.NoError(t, err)
	said := strings.Join(notes, "\n")
	require.Contains(t, said, last+" is damaged: model.safetensors: is not a regular file")
	require.Contains(t, said, before+" is damaged: model.safetensors: has ")
}

// Lengths that overflow are errors.
func TestLengthsThatOverflow(t *testing.T) {
	s := stage(0)
	s.Epochs, s.Length = 1e20, 3
	_, err := train.Run(t.Context(), newNet(1), train.Options{}, s)
	require.ErrorContains(t, err, "epochs 1e+20")
	s = stage(1 << 40)
	_, err = train.Run(t.Context(), newNet(1), train.Options{}, s)
	require.ErrorContains(t, err, "each may be")
}

// A frozen parameter that differs in any bit is another model's.
func TestResumeWithOneOtherBit(t *testing.T) {
	dir := t.TempDir()
	s := stage(4)
	s.Groups = []train.Group{{Params: "upper.**", LR: 1e-2}}
	s.Every = 2
	_, err := train.Run(t.Context(), newNet(1), train.Options{Dir: dir}, s)
	require.NoError(t, err)
	m := newNet(1)
	m.Norm.Bias.Data()[6] = 1e-30
	_, err = train.Run(t.Context(), m, train.Options{Dir: dir, Resume: true}, s)
	require.ErrorContains(t, err, "frozen parameter norm.bias has other values")
}

// Nothing is written before a run is accepted.
func TestAccepted(t *testing.T) {
	dir, calls := t.TempDir(), 0
	o := train.Options{Dir: dir, Accepted: func() error { calls++; return nil }}
	_, err := train.Run(t.Context(), newNet(1), o, stage(2))
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	_, err = train.Run(t.Context(), newNet(1), o, stage(2))
	require.ErrorContains(t, err, "holds checkpoints of an earlier run")
	o.Resume = true
	_, err = train.Run(t.Context(), newNet(1), o, stage(3))
	require.ErrorContains(t, err, "differs")
	require.Equal(t, 1, calls)
	_, err = train.Run(t.Context(), newNet(1), o, stage(2))
	require.NoError(t, err)
	require.Equal(t, 2, calls)
}
