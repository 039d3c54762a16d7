//go:build unix

package llava

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/backend/remote"
	"github.com/gollava/gollava/internal/cpu"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// TestRemote moves models to a device whose memory cannot be addressed: losses, gradients, optimizer steps and answers
// are the host's to the bit, and so is what is saved and loaded.
func TestRemote(t *testing.T) {
	inner, err := remote.New(cpu.New())
	require.NoError(t, err)
	defer inner.Close()
	d := tensor.NewDevice(inner)
	other := small()
	other.Text.ModelType, other.Text.TieWordEmbeddings, other.Text.EmbeddingStd = "qwen3", true, 0.3
	other.SlotStd, other.Merge = 0.5, 2
	experts := small()
	experts.Text.ModelType = "qwen2_moe"
	experts.Text.Experts = llm.Experts{Count: 3, PerToken: 2, Width: 14, SharedWidth: 11}
	window := small()
	window.Text.ModelType, window.Text.SlidingWindow, window.Select.Class = "mistral", 7, "cls_patch"
	for name, c := range map[string]Config{"llama": small(), "qwen3": other, "experts": experts, "window": window} {
		t.Run(name, func(t *testing.T) {
			run := func(on tensor.Device) (losses []float32, answer llm.Generated, m *connector.VLM) {
				m = newModel(t, c)
				nn.To(m, on)
				samples := []connector.Sample{
					{IDs: []int32{1, 4, -200, 5, 2}, Labels: []int32{-100, -100, -100, 5, 2},
						Images: []connector.Image{{Pixels: picture(1)}}},
					{IDs: []int32{1, 3, 7, 2}, Labels: []int32{-100, -100, 7, 2}}}
				items := map[*tensor.Tensor]*tensor.AdamWItem{}
				for step := range 3 {
					b, err := m.Splice(samples, true)
					require.NoError(t, err)
					tensor.Scope(func(s *tensor.Arena) {
						loss := m.Loss(b.In(s))
						require.Equal(t, on, loss.Device())
						losses = append(losses, loss.Item())
						loss.Backward()
					})
					var all []tensor.AdamWItem
					for _, p := range nn.Params(m) {
						if p.Grad() == nil {
							continue
						}
						if items[p] == nil {
							zeros := func() *tensor.Tensor { return tensor.New(p.Shape()...).To(on) }
							items[p] = &tensor.AdamWItem{Param: p, M: zeros(), V: zeros()}
						}
						all = append(all, *items[p])
					}
					tensor.AdamW(tensor.AdamWConfig{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, GradScale: 1,
						Step: step + 1}, all)
					for _, p := range nn.Params(m) {
						p.ZeroGrad()
					}
				}
				b, err := m.Splice([]connector.Sample{{IDs: []int32{1, 4, -200, 5},
					Images: []connector.Image{{Pixels: picture(2)}}}}, false)
				require.NoError(t, err)
				answer, err = m.Generate(t.Context(), b, llm.Options{MaxNewTokens: 9, EOS: []int{}})
				require.NoError(t, err)
				return losses, answer, m
			}
			losses, answer, here := run(tensor.Device{})
			lossesThere, answerThere, there := run(d)
			require.Equal(t, losses, lossesThere)
			require.Equal(t, answer, answerThere)
			for _, p := range nn.Params(there) {
				require.Equal(t, d, p.Device())
			}

			dir := t.TempDir()
			require.NoError(t, Save(dir, there, SaveOptions{Layout: Hub}))
			again, err := Load(dir, LoadOptions{})
			require.NoError(t, err)
			same(t, here, again)
			path := filepath.Join(dir, "own.safetensors")
			require.NoError(t, nn.Save(there, path, nn.SaveOptions{}))
			w, err := nn.OpenWeights(path)
			require.NoError(t, err)
			defer w.Close()
			back := newModel(t, c)
			require.NoError(t, nn.Load(back, w, nn.LoadOptions{Device: d}))
			for _, p := range nn.Params(back) {
				require.Equal(t, d, p.Device())
			}
			nn.To(back, tensor.Device{})
			same(t, here, back)
		})
	}
}
