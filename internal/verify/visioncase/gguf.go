package visioncase

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/ggufcase"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// GGUF checks the task gguf_llava.
func GGUF(dir string) ([]verify.Row, error) { return each(dir, inGGUF) }

// inGGUF checks a model whose two files are in GGUF: features, the logits of supervised tokens and the loss, what the
// vision part's file says, and that the model computes the same after it was written and read again.
func inGGUF(k *check) error {
	m, err := k.load()
	if err != nil {
		return err
	}
	p, err := k.pictures("in.")
	if err != nil {
		return err
	}
	b, err := k.batch("in.", p)
	if err != nil {
		return err
	}
	if err := m.Check(b); err != nil {
		return err
	}
	features, loss := m.Tokens(b), m.Loss(b)
	k.Output("image_features", features)
	k.Output("supervised_logits", supervised(llm.Logits(m.Language, m.Hidden(b)), b.Labels))
	k.Loss("loss", loss)
	if k.Described.MMProj != "" {
		k.Add(ggufcase.Said(k.Dir, k.Described.MMProj, k.mmproj))
	}
	again, err := k.rewritten(m)
	if err != nil {
		return fmt.Errorf("written again: %w", err)
	}
	k.Add(
		verify.Absolute("features, written and read again", verify.Widen(again.Tokens(b).Data()),
			verify.Widen(features.Data()), k.Tolerance.Out),
	)
	k.Add(
		verify.Absolute("loss, written and read again", []float64{float64(again.Loss(b).Item())},
			[]float64{float64(loss.Item())}, k.Tolerance.Loss),
	)
	return nil
}

// rewritten is m, written to files in GGUF and read from them.
func (k *check) rewritten(m *connector.VLM) (*connector.VLM, error) {
	dir, err := os.MkdirTemp("", "gollava-verify-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.gguf")
	if _, err := llava.SaveGGUF(path, &connector.Assistant{Model: m}, llm.GGUFOptions{Type: "f32"}); err != nil {
		return nil, err
	}
	return llava.Load(dir, llava.LoadOptions{})
}

// supervised picks from logits [B, T, V] the rows t whose next token has a label: [N, V].
func supervised(logits, labels *tensor.Tensor) *tensor.Tensor {
	B, T, V := logits.Dims3()
	var rows []int32
	for i, label := range labels.IntData() {
		if i%T > 0 && label >= 0 {
			rows = append(rows, int32(i-1))
		}
	}
	return tensor.Gather(logits.Reshape(B*T, V), tensor.WrapInts(rows, len(rows)))
}
