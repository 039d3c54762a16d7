package gligen_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

var ctx = context.Background()

func draw(t *testing.T, p *gligen.Pipeline, o gligen.Options, rs ...gligen.Request) []float32 {
	x, err := p.Draw(ctx, rs, o)
	require.NoError(t, err)
	for _, v := range x.Data() {
		require.True(t, v >= 0 && v <= 1)
	}
	return x.Data()
}

var cat = gligen.Object{Phrase: "a cat", Box: [4]float64{0.1, 0.2, 0.6, 0.7}}

// Closed gates, and τ = 0, leave the base model bit for bit; open ones do not.
func TestGatesOfDrawings(t *testing.T) {
	p := pipeline(t, nil)
	o := gligen.Options{Steps: 3, Guidance: 3, Tau: 1, Seed: 1}
	plain, boxed := gligen.Request{Prompt: "a mat"}, gligen.Request{Prompt: "a mat", Objects: []gligen.Object{cat}}
	require.NotEqual(t, draw(t, p, o, plain), draw(t, p, o, boxed))
	o.Tau = 0
	base := draw(t, p, o, plain)
	require.Equal(t, base, draw(t, p, o, boxed))
	o.Tau = 1
	require.NotEqual(t, base, draw(t, p, o, boxed))
	for name, x := range nn.Params(p.UNet) {
		if strings.Contains(name, ".alpha_") {
			x.Fill(0)
		}
	}
	require.Equal(t, base, draw(t, p, o, boxed))
}

// An image depends on its own request, its place and the seed, and on nothing else.
func TestRequestsAreIndependent(t *testing.T) {
	p := pipeline(t, nil)
	o := gligen.Options{Steps: 4, Guidance: 2, Tau: 1, Seed: 3, Height: 12, Width: 20, Scheduler: diffusion.PNDM}
	a := gligen.Request{Prompt: "a cat", Negative: "blurry"}
	b := gligen.Request{Prompt: "a mat", Objects: []gligen.Object{cat}}
	both := draw(t, p, o, a, b)
	require.Len(t, both, 2*3*12*20)
	require.Equal(t, both, draw(t, p, o, a, b))
	require.InDeltaSlice(t, both[:3*12*20], draw(t, p, o, a), 1e-4)
	o.Seed = 4
	require.NotEqual(t, both, draw(t, p, o, a, b))
}

// Only what GLIGEN adds moves, and the first loss is the base model's.
func TestOnlyNewLayersTrain(t *testing.T) {
	p := pipeline(t, nil)
	for name, x := range nn.Params(p.UNet) {
		if strings.Contains(name, ".alpha_") {
			x.Fill(0)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	rs := []gligen.Request{{Prompt: "a cat", Objects: []gligen.Object{cat}}, {Prompt: "a mat"}}
	b := p.Batch(random, tensor.Randn(random, 1, 2, 4, 8, 8), rs, true, gligen.Drop{})
	without := b
	without.Grounded = false
	want := p.Loss(without).Item()
	before := map[string]string{}
	for name, x := range nn.Params(p) {
		before[name] = string(x.Bytes())
	}
	stage := train.Stage[gligen.Batch]{Name: "gated", Steps: 3,
		Batches: func(context.Context, int) (gligen.Batch, error) { return b, nil }}
	for _, pattern := range gligen.NewLayers() {
		stage.Groups = append(stage.Groups, train.Group{Params: pattern, LR: 1e-3})
	}
	report, err := train.Run(ctx, p, train.Options{}, stage)
	require.NoError(t, err)
	require.Equal(t, want, float32(report.Stages[0].Loss[0]))
	for name, x := range nn.Params(p) {
		isNew := strings.Contains(name, ".fuser.") || strings.Contains(name, "position_net")
		require.Equal(t, isNew, before[name] != string(x.Bytes()), name)
	}
}

// A loss is the mean over images, each times its weight.
func TestWeights(t *testing.T) {
	p := pipeline(t, nil)
	random := rand.New(rand.NewPCG(1, 1))
	b := p.Batch(random, tensor.Randn(random, 1, 2, 4, 8, 8), []gligen.Request{{Prompt: "a cat"}, {Prompt: "a mat"}},
		false, gligen.Drop{})
	loss := func(w ...float32) float32 { b.Weights = w; return p.Loss(b).Item() }
	require.InEpsilon(t, loss(), loss(1, 1), 1e-5)
	require.InEpsilon(t, 3*loss(1, 0)+0.5*loss(0, 1), loss(3, 0.5), 1e-5)
	require.Panics(t, func() { loss(1) })
}

func TestDrop(t *testing.T) {
	p := pipeline(t, nil)
	rs := make([]gligen.Request, 50)
	for i := range rs {
		rs[i] = gligen.Request{Prompt: "a cat", Objects: []gligen.Object{cat}}
	}
	empty, bare := 0, 0
	for seed := range 20 {
		b := p.Batch(rand.New(rand.NewPCG(1, uint64(seed))), tensor.New(50, 4, 2, 2), rs, true,
			gligen.Drop{Prompt: 0.5, Boxes: 0.1})
		for _, r := range b.Requests {
			if r.Prompt == "" {
				empty++
			}
		}
		if b.Requests[0].Objects == nil {
			bare++
			require.Nil(t, b.Requests[49].Objects, "boxes are left out of a whole batch")
		}
	}
	require.InDelta(t, 500, empty, 70)
	require.True(t, bare >= 1 && bare <= 5, bare)
	require.Equal(t, "a cat", rs[0].Prompt, "the caller's requests stay")
}

// Inpainting keeps what is outside the boxes, in a base model and in one with the channels for it.
func TestInpaint(t *testing.T) {
	for _, channels := range []int{4, 9} {
		p := pipeline(t, func(c *unet.Config) { c.InChannels = channels })
		image := tensor.Uniform(rand.New(rand.NewPCG(1, 2)), 0, 1, 3, 16, 24)
		left := gligen.Object{Phrase: "a cat", Box: [4]float64{0, 0, 0.5, 1}}
		var kept, free []float32
		o := gligen.Options{Steps: 5, Guidance: 2, Tau: 1, Inpaint: image}
		o.Each = func(call, calls int, x *tensor.Tensor) {
			if call == calls-1 { // [1, 4, 8, 12], after the last step almost without noise
				kept, free = x.Slice(3, 6, 12).Data(), x.Slice(3, 0, 6).Data()
			}
		}
		draw(t, p, o, gligen.Request{Prompt: "a cat", Objects: []gligen.Object{left}})
		require.NotEmpty(t, kept)
		first, firstFree := kept, free
		o.Seed = 0
		draw(t, p, o, gligen.Request{Prompt: "a mat", Objects: []gligen.Object{left}})
		require.NotEqual(t, firstFree, free)
		difference := func(a, b []float32) (d float64) {
			for i := range a {
				d += math.Abs(float64(a[i] - b[i]))
			}
			return d / float64(len(a))
		}
		require.Less(t, difference(first, kept), difference(firstFree, free))
		if channels == 9 {
			draw(t, p, gligen.Options{Steps: 2, Guidance: 2}, gligen.Request{Prompt: "a cat"})
		}
	}
}

// Images in boxes go with the attention that was made for them.
func TestFeatures(t *testing.T) {
	p := pipeline(t, func(c *unet.Config) { c.AttentionType = unet.GatedTextImage })
	o := gligen.Options{Steps: 2, Guidance: 2, Tau: 1}
	dog := gligen.Object{Box: cat.Box, Feature: tensor.Full(0.3, 8)}
	a := draw(t, p, o, gligen.Request{Prompt: "a mat", Objects: []gligen.Object{cat}})
	b := draw(t, p, o, gligen.Request{Prompt: "a mat", Objects: []gligen.Object{dog}})
	require.NotEqual(t, a, b)
	dog.Feature = tensor.New(7)
	_, err := p.Draw(ctx, []gligen.Request{{Objects: []gligen.Object{dog}}}, o)
	require.ErrorContains(t, err, "[7] of the image: [8] is needed")

	c := vit.CLIPConfig{ModelType: "clip", ProjectionDim: 5, Text: p.Text.Config(),
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 4,
			IntermediateSize: 8, NumHiddenLayers: 1, NumAttentionHeads: 1, NumChannels: 3, ImageSize: 4, PatchSize: 2,
			HiddenAct: "gelu", LayerNormEps: 1e-5}}
	m, err := vit.NewCLIP(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	f := gligen.ImageFeature(m, tensor.Full(0.5, 1, 3, 4, 4))
	require.Equal(t, []int{8}, f.Shape())
	require.InDelta(t, 28.7*28.7, f.Mul(f).Sum().Item(), 0.01)
}

func TestBadRequests(t *testing.T) {
	type (
		options = gligen.Options
		request = gligen.Request
	)
	p := pipeline(t, nil)
	good := gligen.Options{Steps: 2, Guidance: 2, Tau: 0.5}
	for want, change := range map[string]func(o *options, r *request){
		`object 0 ("a cat"): box [-0.1 0.2 0.6 0.7]: every coordinate must be within [0, 1]`: func(
			_ *options, r *request) {
			r.Objects[0].Box[0] = -0.1
		},
		"box [0.1 0.2 0.6 1.7]":             func(_ *options, r *request) { r.Objects[0].Box[3] = 1.7 },
		"box [0.1 NaN 0.6 0.7]":             func(_ *options, r *request) { r.Objects[0].Box[1] = math.NaN() },
		"box [0.1 0.2 0.1 0.7] has no area": func(_ *options, r *request) { r.Objects[0].Box[2] = 0.1 },
		"box [0.1 0.8 0.6 0.7] has no area": func(_ *options, r *request) { r.Objects[0].Box[1] = 0.8 },
		"neither a phrase nor an image":     func(_ *options, r *request) { r.Objects[0].Phrase = "" },
		"31 objects: the model has slots for 30": func(_ *options, r *request) {
			for len(r.Objects) < 31 {
				r.Objects = append(r.Objects, cat)
			}
		},
		`an image needs attention_type "gated-text-image", not "gated"`: func(_ *options, r *request) {
			r.Objects[0].Feature = tensor.New(8)
		},
		"0 steps: DDIMScheduler, a rule of order 1": func(o *options, _ *request) { o.Steps = 0 },
		"2 steps: PNDMScheduler, a rule of order 4, needs 4 to 1000": func(o *options, _ *request) {
			o.Scheduler = diffusion.PNDM
		},
		`scheduler: _class_name "Euler"`: func(o *options, _ *request) {
			o.Scheduler = "Euler"
		},
		"tau and decay: gates on for 1.5": func(o *options, _ *request) { o.Tau = 1.5 },
		"guidance NaN": func(o *options, _ *request) {
			o.Guidance = math.NaN()
		},
		"an image of 15×16 pixels: both sides must be multiples of 2": func(o *options, _ *request) { o.Height = 15 },
		"latents [2 4 8 9]: [1 4 8 9] are needed": func(o *options, _ *request) {
			o.Latents = tensor.New(2, 4, 8, 9)
		},
		"the image to inpaint is [1 16 16]: [3, ": func(o *options, _ *request) {
			o.Inpaint = tensor.New(1, 16, 16)
		},
	} {
		o, r := good, gligen.Request{Prompt: "a mat", Objects: []gligen.Object{cat}}
		change(&o, &r)
		_, err := p.Draw(ctx, []gligen.Request{r}, o)
		require.ErrorContains(t, err, want)
	}
	_, err := p.Draw(ctx, nil, good)
	require.ErrorContains(t, err, "there is no request")
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	_, err = p.Draw(stopped, []gligen.Request{{}}, good)
	require.ErrorIs(t, err, context.Canceled)
	plain := pipeline(t, func(c *unet.Config) { c.AttentionType = unet.Plain })
	draw(t, plain, good, gligen.Request{Prompt: "a mat"})
	_, err = plain.Draw(ctx, []gligen.Request{{Objects: []gligen.Object{cat}}}, good)
	require.ErrorContains(t, err, `attention_type "default" of the model has no gated layers`)
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := gligen.Open(dir, nn.LoadOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, gligen.Save(dir, pipeline(t, nil), nn.SaveOptions{}))
	index := filepath.Join(dir, "model_index.json")
	raw, err := os.ReadFile(index)
	require.NoError(t, err)
	other := strings.Replace(string(raw), "StableDiffusionGLIGENPipeline", "FluxPipeline", 1)
	require.NoError(t, os.WriteFile(index, []byte(other), 0o600))
	_, err = gligen.Open(dir, nn.LoadOptions{})
	require.ErrorContains(t, err, `_class_name "FluxPipeline" is not supported`)
	require.NoError(t, os.WriteFile(index, raw, 0o600))
	require.NoError(t, os.Remove(filepath.Join(dir, "scheduler", "scheduler_config.json")))
	_, err = gligen.Open(dir, nn.LoadOptions{})
	require.ErrorContains(t, err, "scheduler_config.json")

	p := pipeline(t, nil)
	c := p.UNet.Config()
	c.CrossAttentionDim = 6
	p.UNet, err = unet.New(nil, c)
	require.NoError(t, err)
	require.ErrorContains(t, p.Validate(), "cross_attention_dim 6, but the text encoder's hidden_size is 8")
}

// Texts that are too long are cut, and end in the end of text all the same.
func TestIDs(t *testing.T) {
	p := pipeline(t, nil)
	ids := p.IDs([]string{strings.Repeat("cat ", 40), ""}, true)
	require.Equal(t, []int{2, 12}, ids.Shape())
	row := ids.IntData()
	require.Equal(t, p.Tokenizer.BOS(), row[0])
	require.Equal(t, p.Tokenizer.EOS(), row[11])
	require.NotEqual(t, p.Tokenizer.EOS(), row[10])
	require.Equal(t, p.Tokenizer.EOS(), row[13])
	require.Equal(t, []int{1, 2}, p.IDs([]string{""}, false).Shape())
}
