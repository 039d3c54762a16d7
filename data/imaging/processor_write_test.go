package imaging

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessorJSON(t *testing.T) {
	next := CLIP(336)
	next.Aspect, next.Canvases = "anyres", []Size{{672, 336}, {336, 1008}}
	pad := CLIP(224)
	pad.Aspect, pad.Mean, pad.Filter = "pad", [3]float64{0.85, 0.8, 0.7}, Bilinear
	plain := &Processor{Rescale: true, Factor: 1. / 255, Normalize: true, Mean: [3]float64{0.5, 0.4, 0.3}, Std: [3]float64{0.25, 0.2, 0.1}, Filter: Bicubic, Resize: true, Edge: 48}
	for _, p := range []*Processor{CLIP(336), SigLIP(384), next, pad, plain} {
		raw, err := json.Marshal(p)
		require.NoError(t, err)
		back, err := ParseProcessor(raw)
		require.NoError(t, err, string(raw))
		if p == plain {
			back.Crop = Size{} // the class's default, which is not used
		}
		require.Equal(t, p, back)
	}
	next.Aspect = "anyres_max_9"
	_, err := json.Marshal(next)
	require.ErrorContains(t, err, `no processor for "anyres_max_9"`)
	_, err = json.Marshal(&Processor{Resize: true})
	require.ErrorContains(t, err, "size")
}
