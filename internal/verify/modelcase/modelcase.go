// Package modelcase checks models against folders of what transformers and PEFT computed with them: the tasks "causal_lm" (a decoder: logits, loss,
// gradients, generation), "peft" (a base model with an adapter) and "pickle" (PyTorch's files, and some that must be refused).
package modelcase

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

// batch is a padded batch of text as the cases record it, below a prefix such as "in." or "in.loss.".
type batch struct {
	ids       *tensor.Tensor // [B, T]
	mask      []int32        // [B·T]
	positions []int32
	labels    *tensor.Tensor // nil: none
}

func readBatch(e *verify.Report, prefix string) (b batch, err error) {
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
