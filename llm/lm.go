package llm

import (
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Logits applies the model's head to hidden states [..., C]: [..., V].
func Logits(m Model, hidden *tensor.Tensor) *tensor.Tensor { return m.Head().Forward(hidden) }

// Loss is the mean cross-entropy of predicting each label from the tokens before it: the hidden state of position t
// is scored against the label at t+1. labels are int32 [B, T], tensor.IgnoreIndex where there is nothing to learn. It
// panics if that leaves none. Only positions that are scored go through the last block's MLP and the head (in.Rows is
// set here), and the logits are formed in chunks. A mixture of
// experts whose config asks for it adds its load-balancing loss. The result is a scalar.
func Loss(m Model, in Input, labels *tensor.Tensor) *tensor.Tensor {
	rows, next := scored("Loss", labels, m.Config().VocabSize)
	if len(rows) == 0 {
		tensor.Fail("Loss",
			"no label to learn: after the first of each row, all of %v are %d (IgnoreIndex); leave such a batch out",
			labels.Shape(), tensor.IgnoreIndex)
	}
	in.Rows = rows
	experts := m.Config().Experts
	if experts.Count == 0 || !experts.UseAuxLoss {
		return nextLoss(m, m.Hidden(in), next)
	}
	in.routing = &routing{}
	loss := nextLoss(m, m.Hidden(in), next)
	if len(in.routing.logits) == 0 { // no layer has experts
		return loss
	}
	return loss.Add(in.routing.loss(in, experts).Scale(float32(experts.AuxLoss)))
}

// nextLoss is the mean cross-entropy of ids [N] given hidden states [N, C].
func nextLoss(m Model, hidden *tensor.Tensor, next []int32) *tensor.Tensor {
	if head, ok := m.Head().(*nn.Linear); ok && head.Bias == nil {
		defer tensor.Blame(head)
		return tensor.LinearCrossEntropy(hidden, head.Weight, tensor.WrapInts(next, len(next)))
	}
	return logProbs(m, hidden, next).Mean().Scale(-1)
}

// LogProbs returns the log-probability of each label given the tokens before it, float32 [B, T]: element (b, t) is
// log softmax(logits at t−1)[labels(b, t)], and 0 at t = 0 and where labels (int32 [B, T]) hold tensor.IgnoreIndex.
// It panics for other labels outside the vocabulary. The result is recorded, as for DPO, PPO and likelihood scores;
// sum it over t for the log-likelihood of a row's labels. The logits are formed in chunks of rows, in the backward
// pass once more. Only scored positions go through the last block's MLP and the head (in.Rows is set here).
func LogProbs(m Model, in Input, labels *tensor.Tensor) *tensor.Tensor {
	B, T := labels.Dims2()
	rows, next := scored("LogProbs", labels, m.Config().VocabSize)
	if len(rows) == 0 {
		return tensor.New(B, T)
	}
	in.Rows = rows
	p := logProbs(m, m.Hidden(in), next) // [N]
	to := make([]int32, len(rows))
	for i, r := range rows {
		to[i] = r + 1 // from the position that predicts to the label's own
	}
	return tensor.ScatterAddRows(B*T, tensor.WrapInts(to, len(to)), p.Reshape(len(to), 1)).Reshape(B, T)
}

// logitsPerChunk bounds the elements of the logits that logProbs forms at a time: 16 MiB.
const logitsPerChunk = 4 << 20

// logProbs scores ids [N] by hidden states [N, C]: [N]. Of each chunk only the result is kept.
func logProbs(m Model, hidden *tensor.Tensor, ids []int32) *tensor.Tensor {
	N, step := len(ids), max(logitsPerChunk/m.Config().VocabSize, 32)
	var parts []*tensor.Tensor
	for from := 0; from < N; from += step {
		to := min(from+step, N)
		labels := tensor.WrapInts(ids[from:to], to-from)
		parts = append(parts, tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
			return tensor.Checkpoint(func(in []*tensor.Tensor) *tensor.Tensor {
				return tensor.LogProbs(Logits(m, in[0]), labels)
			}, in[0].Slice(0, from, to))
		}, hidden))
	}
	return tensor.Concat(0, parts...)
}

// scored lists the positions b·T + t of labels [B, T] that are followed by a label, and these labels.
func scored(op string, labels *tensor.Tensor, vocabulary int) (rows, next []int32) {
	_, T := labels.Dims2()
	for i, l := range Shift(labels).Host().IntData() {
		switch {
		case l == tensor.IgnoreIndex:
		case l < 0 || int(l) >= vocabulary:
			tensor.Fail(op, "label %d of row %d at position %d is neither in [0, %d) nor %d", l, i/T, i%T+1,
				vocabulary, tensor.IgnoreIndex)
		default:
			rows, next = append(rows, int32(i)), append(next, l)
		}
	}
	return rows, next
}

// Shift moves labels [B, T] one to the left, so that position t holds what comes next; the last of each row is
// tensor.IgnoreIndex.
func Shift(labels *tensor.Tensor) *tensor.Tensor {
	B, T := labels.Dims2()
	from, to := labels.Host().IntData(), make([]int32, B*T)
	for b := range B {
		row := to[b*T : (b+1)*T]
		copy(row, from[b*T : (b+1)*T][min(1, T):])
		if T > 0 {
			row[T-1] = tensor.IgnoreIndex
		}
	}
	return tensor.Ints(to, B, T)
}

// Extent reads an attention mask, rows of 0 and 1 with the ones in one piece (padding at either side), as Start and
// End for [Input], with positions that count the real tokens from 0; pads get 0. It reports false for a mask with a
// hole.
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
