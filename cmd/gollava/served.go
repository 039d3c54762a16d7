package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector/embed"
	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit/imagebind"
)

// openSilent loads a model that gives no answers: one that draws, or an ImageBind. Without one in dir ok is false.
func (v serveCommand) openSilent(dir string) (o opened, ok bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, "model_index.json")); err == nil { // diffusers' layout
		p, err := gligen.Open(dir, nn.LoadOptions{})
		return opened{model: serve.Draws(artist{p}), template: "none: images only"}, true, err
	}
	var head struct {
		ModelType string `json:"model_type"`
	}
	_ = jsonfile.Read(filepath.Join(dir, "config.json"), &head) // what is wrong with it, loading will say
	if head.ModelType != "imagebind" && !strings.HasSuffix(dir, ".pth") {
		return o, false, nil
	}
	e, err := embed.Open(dir, nn.LoadOptions{DType: source{DType: v.DType}.dtype()})
	return opened{model: serve.Embeds(binder{e}), template: "none: embeddings only"}, true, err
}

// artist draws for a server.
type artist struct{ pipeline *gligen.Pipeline }

// Draw implements [serve.Drawer].
func (a artist) Draw(ctx context.Context, d serve.Drawing) (*imaging.RGB, error) {
	r := gligen.Request{Prompt: d.Prompt, Negative: d.Negative}
	for _, x := range d.Objects {
		r.Objects = append(r.Objects, gligen.Object{Phrase: x.Phrase, Box: x.Box})
	}
	o := gligen.Defaults()
	o.Seed, o.Width, o.Height = d.Seed, d.Size.W, d.Size.H
	if d.Steps > 0 {
		o.Steps = d.Steps
	}
	if d.Guidance != nil {
		o.Guidance = *d.Guidance
	}
	switch {
	case len(r.Objects) == 0:
		o.Tau = 0
	case d.Tau != nil:
		o.Tau = *d.Tau
	}
	x, err := a.pipeline.Draw(ctx, []gligen.Request{r}, o)
	if err != nil {
		return nil, err
	}
	drawn := gligen.Image(x, 0)
	m := imaging.New(drawn.Rect.Dx(), drawn.Rect.Dy())
	for i := range m.W * m.H {
		copy(m.Pix[3*i:3*i+3], drawn.Pix[4*i:])
	}
	return m, nil
}

// binder embeds for a server.
type binder struct{ embedder *embed.Embedder }

// Embed implements [serve.Embedder]. Tokens are the number of inputs, not of positions.
func (b binder) Embed(ctx context.Context, inputs []serve.Input) ([][]float32, int, error) {
	var items []embed.Item
	for i, in := range inputs {
		switch {
		case in.IDs != nil:
			return nil, 0, fmt.Errorf("input %d: this model reads texts, images and sounds, no token ids", i)
		case in.Image != nil:
			items = append(items, embed.Item{Kind: imagebind.Vision, Image: in.Image})
		case in.Sound != nil:
			items = append(items, embed.Item{Kind: imagebind.Audio, Sound: in.Sound})
		default:
			items = append(items, embed.Text(in.Text))
		}
	}
	x, err := b.embedder.Embed(ctx, items...)
	if err != nil {
		return nil, 0, err
	}
	n, E := x.Dims2()
	vectors := make([][]float32, n)
	for i := range vectors {
		vectors[i] = x.Data()[i*E : (i+1)*E]
	}
	return vectors, n, nil
}
