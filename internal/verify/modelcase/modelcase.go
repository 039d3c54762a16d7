// Package modelcase checks models against folders of what transformers and PEFT computed with them: the tasks "causal_lm" (a decoder: logits, loss,
// gradients, generation), "peft" (a base model with an adapter) and "pickle" (PyTorch's files, and some that must be refused).
package modelcase

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

// caseFile is case.json.
type caseFile struct {
	Checkpoints []string // folders that must load and give the recorded results
	AlsoConfig  []string `json:"also_config"` // other spellings of config.json
	Tolerance   verify.Tolerance
}

// read reads dir's case.json into c.
func read(dir string, c any) error { return verify.ReadJSON(filepath.Join(dir, "case.json"), c) }

// caught runs f and turns a misuse panic, which a case's data can cause, into an error.
func caught(f func() error) error {
	var err error
	if e := tensor.Catch(func() { err = f() }); e != nil {
		return e
	}
	return err
}

// batch is a padded batch of text as the cases record it, below a prefix such as "in." or "in.loss.".
type batch struct {
	ids       *tensor.Tensor // [B, T]
	mask      []int32        // [B·T]
	positions []int32
	labels    *tensor.Tensor // nil: none
}

func readBatch(e *verify.Expected, prefix string) (b batch, err error) {
	b.ids, b.mask = e.Tensor(prefix+"input_ids"), e.Ints(prefix+"attention_mask")
	if e.Has(prefix + "position_ids") {
		b.positions = e.Ints(prefix + "position_ids")
	}
	if e.Has(prefix + "labels") {
		b.labels = e.Tensor(prefix + "labels")
	}
	switch {
	case e.Err != nil:
		return b, e.Err
	case b.ids.DType() != tensor.Int32 || b.ids.Rank() != 2 || len(b.mask) != b.ids.Len():
		return b, fmt.Errorf("%s: %sinput_ids and attention_mask are no int32 [B, T]", e.Path(), prefix)
	case b.positions != nil && len(b.positions) != b.ids.Len(), b.labels != nil && (b.labels.DType() != tensor.Int32 || b.labels.Len() != b.ids.Len()):
		return b, fmt.Errorf("%s: %sposition_ids or labels do not fit input_ids", e.Path(), prefix)
	}
	return b, nil
}
