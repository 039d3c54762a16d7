package llm

import (
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Logits applies the model's head to hidden states [..., C]: [..., V].
func Logits(m Model, hidden *tensor.Tensor) *tensor.Tensor { return m.Head().Forward(hidden) }

// Loss is the mean cross-entropy of predicting each next label: what m makes of position t is scored against the label at t+1, labels int32
// [B, T] with tensor.IgnoreIndex where there is nothing to learn. It panics if that leaves none. Only positions that are scored go through the last block's
// MLP and the head (in.Rows is set here).
func Loss(m Model, in Input, labels *tensor.Tensor) *tensor.Tensor {
	var next *tensor.Tensor
	in.Rows, next = scored(labels, m.Config().VocabSize)
	hidden := m.Hidden(in) // [N, C]
	if head, ok := m.Head().(*nn.Linear); ok && head.Bias == nil {
		defer tensor.Blame(head)
		return tensor.LinearCrossEntropy(hidden, head.Weight, next)
	}
	return tensor.CrossEntropy(Logits(m, hidden), next)
}

// scored lists the positions b·T + t of labels [B, T] that are followed by a label, and these labels [N].
func scored(labels *tensor.Tensor, vocabulary int) (rows []int32, next *tensor.Tensor) {
	const op = "Loss"
	B, T := labels.Dims2()
	var ids []int32
	for i, l := range Shift(labels).IntData() {
		switch {
		case l == tensor.IgnoreIndex:
		case l < 0 || int(l) >= vocabulary:
			tensor.Fail(op, "label %d of row %d at position %d is neither in [0, %d) nor %d", l, i/T, i%T+1, vocabulary, tensor.IgnoreIndex)
		default:
			rows, ids = append(rows, int32(i)), append(ids, l)
		}
	}
	if len(rows) == 0 {
		tensor.Fail(op, "no label to learn: behind the first of each row, all of [%d %d] are %d (IgnoreIndex); leave such a batch out", B, T, tensor.IgnoreIndex)
	}
	return rows, tensor.WrapInts(ids, len(ids))
}

// Shift moves labels [B, T] one to the left, so that position t holds what comes next; the last of each row is tensor.IgnoreIndex.
func Shift(labels *tensor.Tensor) *tensor.Tensor {
	B, T := labels.Dims2()
	from, to := labels.IntData(), make([]int32, B*T)
	for b := range B {
		row := to[b*T : (b+1)*T]
		copy(row, from[b*T : (b+1)*T][min(1, T):])
		if T > 0 {
			row[T-1] = tensor.IgnoreIndex
		}
	}
	return tensor.Ints(to, B, T)
}

// Extent reads an attention mask, rows of 0 and 1 with the ones in one piece (padding at either side), as Start and End for [Input], with
// positions that count the real tokens from 0; pads get 0. It reports false for a mask with a hole.
func Extent(mask []int32, rows int) (start, end, positions []int32, ok bool) {
	start, end, positions = make([]int32, rows), make([]int32, rows), make([]int32, len(mask))
	T := len(mask) / max(rows, 1)
	for b := range rows {
		row := mask[b*T : (b+1)*T]
		from := 0
		for from < T && row[from] == 0 {
			from++
		}
		to := from
		for to < T && row[to] != 0 {
			positions[b*T+to] = int32(to - from)
			to++
		}
		for _, m := range row[to:] {
			if m != 0 {
				return nil, nil, nil, false
			}
		}
		start[b], end[b] = int32(from), int32(to)
	}
	return start, end, positions, true
}
