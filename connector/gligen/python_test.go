package gligen_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

var saveTo = flag.String("save", "", "folder for pipelines that testdata/load_saved.py loads in diffusers")

// TestSaveForPython writes pipelines, each with noise and what Draw makes of it.
func TestSaveForPython(t *testing.T) {
	if *saveTo == "" {
		t.Skip("-save is not given: testdata/load_saved.py runs this test to load what it writes in diffusers; " +
			"its last output is testdata/load_saved.txt")
	}
	for name, edit := range map[string]func(*unet.Config){
		"gligen": nil,
		"plain":  func(c *unet.Config) { c.AttentionType = unet.Plain },
		"linear": func(c *unet.Config) {
			c.LinearProjection, c.LayersPerBlock, c.Heads, c.FreqShift = true, unet.Levels{2, 1}, unet.Levels{1, 2}, 1
		},
	} {
		p := pipeline(t, edit)
		dir := filepath.Join(*saveTo, name)
		require.NoError(t, gligen.Save(dir, p, nn.SaveOptions{}))
		start := tensor.Randn(rand.New(rand.NewPCG(1, 1)), 1, 1, 4, 8, 8)
		r := gligen.Request{Prompt: "a cat on a mat", Negative: "blurry"}
		if p.UNet.Position != nil {
			r.Objects = []gligen.Object{cat}
		}
		x, err := p.Draw(ctx, []gligen.Request{r}, gligen.Options{Steps: 3, Guidance: 4, Tau: 1, Latents: start})
		require.NoError(t, err)
		var list []safetensors.Tensor
		for name, x := range map[string]*tensor.Tensor{"latents": start, "image": x} {
			list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: x.Shape(),
				Write: func(w io.Writer) error {
					_, err := w.Write(x.Bytes())
					return err
				}})
		}
		require.NoError(t, safetensors.Write(filepath.Join(dir, "expected.safetensors"), list, nil))
	}
}
