package train

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProgressLine: on a terminal the line of a step fits at every width, keeps what matters most, and names the rates
// of all groups.
func TestProgressLine(t *testing.T) {
	var w strings.Builder
	columns := 200
	p := &progress{w: &w, width: func() int { return columns }, rate: 1e12}
	groups := []Group{{Params: "multi_modal_projector.**"}, {Params: "**.lora_*.**"}}
	start := time.Unix(1, 0)
	p.begin(groups, 5197, start)
	e := Event{
		Kind: "step", Stage: "lora", Step: 270, Loss: 1.23456, Average: 1.5, LR: []float64{2e-5, 2e-4},
		Samples: 16, Tokens: 900, FLOPs: 2e11, Time: start.Add(time.Second),
	}
	require.NoError(t, p.event(e))
	require.Regexp(t, `^lora 270/5197 · loss 1\.2346 · mean 1\.5000 · lr multi_modal_projector 2e-05, lora_ 0\.0002 `+
		`· 16 samples/s · 900 tokens/s · 20% of matrix product speed · 1h22m7s left · [\d.]+ [MG]iB$`, w.String())
	for columns = 1; columns <= 200; columns++ {
		require.Less(t, columnsOf(p.step(e)), columns)
	}
	columns = 80
	require.Equal(t, "lora 270/5197 · loss 1.2346 · lr multi_moda… 2e-05, lora_ 0.0002 · 1h22m7s left", p.step(e))
	e.LR = []float64{1e-3, 1e-3}
	require.Contains(t, p.step(e), " · lr 0.001 · ")

	w.Reset()
	require.NoError(t, p.event(Event{Kind: "note", Text: "no metrics are recorded"}))
	require.NoError(t, p.event(Event{Kind: "stage", Stage: "lora", Step: 5197, Text: "done: 5197 steps, 0 skipped"}))
	require.Equal(t, "\rnote: no metrics are recorded\x1b[K\n"+
		"lora 5197/5197 · done: 5197 steps, 0 skipped\n", w.String())
}

// TestEstimateText: the plan is a table with a line for each thing.
func TestEstimateText(t *testing.T) {
	e := Estimate{
		Stage: "tune", Weights: 3 << 20, Gradients: 1 << 20, Optimizer: 2 << 20, Activations: 5 << 20, Samples: 4,
		Steps: 100, FLOPs: 1e12, Step: 1500 * time.Millisecond, Duration: 150 * time.Second, accumulate: 2,
		groups: []Group{{Params: "language_model.**", LR: 2e-5}}, values: []int{262144}, trained: 1 << 20,
	}
	require.Equal(t, `stage tune
  trains             262144  values of language_model.** at rate 2e-05
  memory           11.0 MiB
    weights         3.0 MiB  of the whole model
    gradients       1.0 MiB
    optimizer       2.0 MiB  moments, float32 copies, averages
    activations     5.0 MiB  of a micro-batch
    loader              0 B  batches that are ready
    other               0 B  what waits for the garbage collector
  checkpoint            0 B  each, on disk
  batch                   8  samples a step, as 2 micro-batches of 4
  steps                 100  of 1e+12 FLOPs
  time                2m30s  1.5s a step; without evaluations and checkpoints`, e.String())
	ranked := e.Over(2, false).String()
	require.Contains(t, ranked, "stage tune, each of 2 ranks\n")
	require.Regexp(t, `\n    sums +[\d.]+ MiB`, ranked)
	require.Regexp(t, `\n  traffic +1\.0 MiB  sent in a step`, ranked)
	for _, line := range strings.Split(ranked, "\n") {
		require.LessOrEqual(t, columnsOf(line), 79)
	}
}
