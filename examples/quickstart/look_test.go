package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// eavesdrop remembers what a layer was given.
type eavesdrop struct {
	nn.Layer
	heard *tensor.Tensor
}

func (e *eavesdrop) Forward(x *tensor.Tensor) *tensor.Tensor {
	e.heard = x
	return e.Layer.Forward(x)
}

// The weights that are shown are those that the fused attention applied: with them, the values add up to what the model passed on.
func TestLookedAt(t *testing.T) {
	var out discarded
	j, err := open([]string{"-preset", "toy", "-out", filepath.Join(t.TempDir(), "run")}, &out)
	require.NoError(t, err)
	clip, err := j.newCLIP("clip")
	require.NoError(t, err)
	language, err := j.newLanguage()
	require.NoError(t, err)
	m, err := j.join(clip, language)
	require.NoError(t, err)

	e := newExam(j.world, shapes.Test, shapes.ColorOf, 3)
	e.pool.look(m.Vision, j.selects())
	prompt := j.vocabulary.prompt(e.set[2].Text, j.places())
	b := connector.Batch{IDs: tensor.Ints(prompt, 1, len(prompt)), Features: e.pool.seen([]int{2}).NoGrad()}
	g := lookedAt(m, b)
	require.Len(t, g.weights, 4)

	a := m.Language.(*llm.Llama).Decoder.Layers[g.layer].(*llm.LlamaBlock).Attention
	query, key, value, output := &probe{Layer: a.QueryNorm}, &probe{Layer: a.KeyNorm}, &probe{Layer: a.Value}, &eavesdrop{Layer: a.Output}
	a.QueryNorm, a.KeyNorm, a.Value, a.Output = query, key, value, output
	m.Hidden(b)
	positions := make([]int32, len(prompt))
	for i := range positions {
		positions[i] = int32(i)
	}
	cos, sin := m.Language.(*llm.Llama).RoPE().At(positions)
	q, k := tensor.RoPE(query.said, cos, sin), tensor.RoPE(key.said, cos, sin)
	T, C := len(prompt), output.heard.Dim(2)
	D := q.Dim(3)
	for h := range q.Dim(2) {
		w := attention(q, k, h)
		for d := range D {
			sum := 0.0
			for s := range T {
				sum += w[s] * float64(value.said.Data()[s*C+h*D+d])
			}
			require.InDelta(t, output.heard.Data()[(T-1)*C+h*D+d], sum, 1e-5)
		}
		if h == g.head {
			require.InDeltaSlice(t, w[2:6], g.weights, 1e-6) // behind <s> USER:
		}
	}
}

type discarded struct{}

func (discarded) Write(b []byte) (int, error) { return len(b), nil }
