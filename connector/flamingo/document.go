package flamingo

import "github.com/gollava/gollava/tensor"

// DocumentLabels are the labels of a web document with images, as OpenFlamingo trains on it: every id is its own label,
// but for <image>, what comes before the first, and what stands between <|endofchunk|> and the next <image>; these have
// tensor.IgnoreIndex. Padding is the caller's. Source: OpenFlamingo's train_utils.py, for MMC4.
func DocumentLabels(ids []int32, c Config) []int32 {
	labels := make([]int32, len(ids))
	learns := false
	for i, id := range ids {
		mark := int(id) == c.Image
		learns = learns || mark
		if labels[i] = id; mark || !learns {
			labels[i] = tensor.IgnoreIndex
		}
		if int(id) == c.End {
			learns = false
		}
	}
	return labels
}
