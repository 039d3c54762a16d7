package main

import (
	"context"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit/unet"
)

// newVAE is an autoencoder that has learnt nothing, to 4 channels at a quarter of the side.
func newVAE(random *rand.Rand, side int) (*unet.VAE, error) {
	c := unet.StableDiffusionVAE()
	c.SampleSize, c.BlockOutChannels, c.LayersPerBlock, c.NormNumGroups = side, []int{16, 32, 64}, 1, 8
	c.DownBlockTypes, c.UpBlockTypes = c.DownBlockTypes[:3], c.UpBlockTypes[:3]
	c.ScalingFactor = 1 // the divergence from N(0, 1) keeps the variance near 1
	return unet.NewVAE(random, c)
}

// autoencoder is the VAE as it trains.
type autoencoder struct {
	VAE *unet.VAE `param:"vae"`
}

// views are images to encode, with the noise of their latents.
type views struct {
	images *tensor.Tensor // [B, 3, S, S]
	noise  *tensor.Tensor // [B, Z, S/f, S/f]
}

// In is b in scope s.
func (b views) In(s *tensor.Arena) views {
	b.images, b.noise = b.images.In(s), b.noise.In(s)
	return b
}

// The standard deviation of the world's pixels, which lie in −1…1, and the weight of the divergence beside an error
// of variance 1.
const spread, divergence = 0.42, 0.01

// Loss is the mean square error of the pixels, at variance 1, and a little of the divergence from N(0, 1).
func (m *autoencoder) Loss(b views) *tensor.Tensor {
	_, C, H, W := b.images.Dims4()
	mean, logVar := m.VAE.Encode(b.images)
	d := m.VAE.Decode(m.VAE.Latents(mean, logVar, b.noise)).Sub(b.images)
	return d.Mul(d).Mean().Scale(1 / (spread * spread)).Add(unet.KL(mean, logVar).Mean().Scale(
		divergence / float32(C*H*W)))
}

// viewBatches draws images.
func viewBatches(p *gligen.Pipeline, w *shapes.World, r recipe) train.Batches[views] {
	return func(_ context.Context, n int) (views, error) {
		random := rand.New(rand.NewPCG(r.seed+3<<32, uint64(n)))
		var scenes []shapes.Scene
		for range r.batch {
			scenes = append(scenes, w.Scene(shapes.Train, random.IntN(1<<30), shapes.Options{}))
		}
		side := w.Side() / p.VAE.Factor()
		return views{pixels(scenes), tensor.Randn(random, 1, r.batch, p.VAE.Channels(), side, side)}, nil
	}
}

// latents are scenes as the UNet sees them, [B, Z, S/f, S/f]: drawn from random, or the most likely ones if that is
// nil.
func latents(random *rand.Rand, p *gligen.Pipeline, scenes []shapes.Scene) (z *tensor.Tensor) {
	tensor.Scope(func(s *tensor.Arena) {
		mean, logVar := p.VAE.Encode(pixels(scenes).In(s))
		var noise *tensor.Tensor
		if random != nil {
			noise = tensor.Randn(random, 1, mean.Shape()...).In(s)
		}
		z = p.VAE.Latents(mean, logVar, noise).Clone()
	})
	return z
}
