package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// loadUNet reads a checkpoint, which without a config.json of its own has that of the first.
func loadUNet(r *Report) *unet.UNet {
	described := r.Checkpoint
	if _, err := os.Stat(filepath.Join(described, "config.json")); errors.Is(err, fs.ErrNotExist) {
		described = inside(r.Dir, r.Checkpoints[0].Model)
	}
	c := must(unet.ReadConfig(described))
	return must(unet.LoadAs(r.Checkpoint, c, nn.LoadOptions{DType: nn.As(tensor.Float32)}))
}

// unetBatch is what a UNet sees, and what it should say.
type unetBatch struct {
	x, noise, text        *tensor.Tensor
	timesteps             []int32
	boxes, masks, phrases *tensor.Tensor

	phraseMask, images, imageMask *tensor.Tensor // with attention_type "gated-text-image", else nil
}

// tokens are those of the boxes.
func (b unetBatch) tokens(u *unet.UNet) *tensor.Tensor {
	if b.images != nil {
		return u.Position.ForwardTextImage(b.boxes, b.masks, b.phrases, b.phraseMask, b.images, b.imageMask)
	}
	return u.Position.Forward(b.boxes, b.masks, b.phrases)
}

// null is b with nothing in any box.
func (b unetBatch) null() unetBatch {
	for _, t := range []**tensor.Tensor{&b.boxes, &b.masks, &b.phrases, &b.phraseMask, &b.images, &b.imageMask} {
		if *t != nil {
			*t = tensor.New((*t).Shape()...)
		}
	}
	return b
}

func readUNetBatch(r *Report, in, x string) unetBatch {
	b := unetBatch{x: r.tensor(in + x), noise: r.tensor(in + "noise"), text: r.tensor(in + "encoder_hidden_states"),
		timesteps: r.ints(in + "timesteps"), boxes: r.tensor(in + "boxes"), masks: r.tensor(in + "masks"),
		phrases: r.tensor(in + "positive_embeddings")}
	if b.images = r.maybe(in + "image_embeddings"); b.images != nil {
		b.imageMask, b.phraseMask = r.tensor(in+"image_masks"), r.tensor(in+"phrases_masks")
	}
	return b
}

// gatedUNet checks a UNet with gated layers: what it predicts with boxes, without and with its gates closed, gradients,
// and, for the first checkpoint, the training of the new layers.
func gatedUNet(r *Report, u *unet.UNet) {
	b := readUNetBatch(r, "in.", "sample")
	if r.has("out.fourier") {
		r.output("fourier", unet.Fourier(b.boxes))
	}
	tokens := b.tokens(u)
	r.output("objs", tokens)
	eps := u.Forward(b.x, b.timesteps, b.text, &unet.Grounding{Tokens: tokens, Gate: 1})
	r.output("eps", eps)
	if r.has("out.loss") {
		loss := meanSquare(eps, b.noise)
		r.loss("loss", loss)
		r.backward(loss, u, nil)
	}
	forward := func(b unetBatch) *tensor.Tensor {
		return u.Forward(b.x.NoGrad(), b.timesteps, b.text, &unet.Grounding{Tokens: b.tokens(u).Detach(), Gate: 1})
	}
	if r.has("out.eps_null") {
		r.output("eps_null", forward(b.null()))
	}
	base := u.Forward(b.x.NoGrad(), b.timesteps, b.text, nil)
	r.output("eps_base", base)
	closeGates(u)
	r.add(absolute("closed gates", widen(forward(b).Data()), widen(base.Data()), 0))
	if r.Checkpoint == inside(r.Dir, r.Checkpoints[0].Model) {
		followUNet(r)
	}
}

func closeGates(u *unet.UNet) {
	for name, p := range nn.Params(u) {
		if strings.Contains(name, ".alpha_") {
			p.Fill(0)
		}
	}
}

// grounded trains a UNet to say what noise was added.
type grounded struct {
	UNet *unet.UNet `param:",inline"`

	schedule *diffusion.Schedule
}

func (m grounded) Loss(b unetBatch) *tensor.Tensor {
	g := &unet.Grounding{Tokens: b.tokens(m.UNet), Gate: 1}
	x := m.schedule.AddNoise(b.x, b.noise, b.timesteps)
	return meanSquare(m.UNet.Forward(x, b.timesteps, b.text, g), b.noise)
}

// followUNet trains the new layers from closed gates as the recorded runs did. Before its first step the loss is that
// of the model without them.
func followUNet(r *Report) {
	c := diffusion.StableDiffusion()
	if n := r.Noise; n.Steps > 0 {
		c.BetaSchedule, c.BetaStart, c.BetaEnd, c.NumTrainTimesteps = n.Schedule, n.Start, n.End, n.Steps
	}
	s := must(diffusion.New(c))
	var batches []unetBatch
	for i := 0; r.has(fmt.Sprintf("in.batch.%d.x0", i)); i++ {
		batches = append(batches, readUNetBatch(r, fmt.Sprintf("in.batch.%d.", i), "x0"))
	}
	follow(r, func(name string, run training) train.Model[unetBatch] {
		u := loadUNet(r)
		if !strings.HasSuffix(run.StartsFrom, "set to 0") {
			failf("run %s: starts_from %q is not known: it must end in %q", name, run.StartsFrom, "set to 0")
		}
		closeGates(u)
		if len(batches) > 0 && r.has("out.base_loss") {
			b := batches[0]
			out := u.Forward(s.AddNoise(b.x, b.noise, b.timesteps).NoGrad(), b.timesteps, b.text, nil)
			r.loss("base_loss", meanSquare(out, b.noise))
		}
		return grounded{u, s}
	}, batches, nil)
}
