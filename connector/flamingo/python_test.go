package flamingo_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

var saveTo = flag.String("save", "", "folder for models that ../testdata/load_saved.py loads in transformers")

// TestSaveForPython writes IDEFICS of several kinds, each with an input and what this package computes of it.
func TestSaveForPython(t *testing.T) {
	if *saveTo == "" {
		t.Skip("-save is not given: connector/testdata/load_saved.py runs this test to load what it writes in " +
			"transformers; its last output is connector/testdata/load_saved.txt")
	}
	for name, edit := range map[string]func(*flamingo.Config){
		"idefics": func(*flamingo.Config) {},
		"idefics-float": func(c *flamingo.Config) {
			c.VectorGates, c.QKNorms, c.ResamplerQKNorms, c.Every = false, false, false, 2
		},
		"idefics-patches": func(c *flamingo.Config) { c.Latents, c.AddedWords, c.Image = 0, 0, 5 },
	} {
		c := idefics()
		edit(&c)
		m := build(t, c, 0.7)
		dir := filepath.Join(*saveTo, name)
		require.NoError(t, flamingo.Save(dir, m, flamingo.SaveOptions{}))
		m, err := flamingo.Load(dir, flamingo.LoadOptions{})
		require.NoError(t, err)

		b, err := m.Splice(samples(1)[:1], false)
		require.NoError(t, err)
		z := llm.Logits(m.Language, m.Hidden(b))
		ids := b.IDs.IntData()
		for i, id := range ids {
			if id < 0 {
				ids[i] = int32(c.Image)
			}
		}
		T := len(ids)
		x := m.Connector.(connector.Attended).Context(b.IDs, tensor.New(2, 1), []int{2})
		see := make([]float32, T*2)
		for i := range T {
			for s := x.From[i]; s < x.To[i]; s++ {
				see[2*i+int(s)] = 1
			}
		}
		require.NoError(t, nn.Save(struct {
			IDs    *tensor.Tensor `param:"input_ids"`
			Pixels *tensor.Tensor `param:"pixel_values"`
			See    *tensor.Tensor `param:"image_attention_mask"`
			Logits *tensor.Tensor `param:"logits"`
		}{tensor.From(ids, 1, T), b.Pixels.Reshape(1, 2, 3, 12, 12), tensor.From(see, 1, T, 2), z},
			filepath.Join(dir, "expected.safetensors"), nn.SaveOptions{}))
	}
}
