package drawcase

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// unetFacts is case.json of a UNet.
type unetFacts struct {
	Checkpoints []string
	Runs        map[string]traincase.Recorded
	Noise       struct {
		Schedule string  `json:"beta_schedule"`
		Start    float64 `json:"beta_start"`
		End      float64 `json:"beta_end"`
		Steps    int
	} `json:"noise_schedule"`
}

// UNet checks a UNet with gated layers: what it predicts with boxes, without and with its gates closed, gradients, and
// the training of the new layers: the task gligen_unet.
func UNet(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(f *verify.Report, facts unetFacts) error {
		first := ""
		return f.Checkpoints(facts.Checkpoints, func(dir string) error {
			if first == "" {
				first = dir
			}
			load := func() (*unet.UNet, error) { return loadUNet(first, dir) }
			if err := checkUNet(f, load); err != nil || dir != first {
				return err
			}
			for _, name := range verify.Sorted(facts.Runs) {
				if err := followUNet(f, facts, name, load); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// loadUNet reads a checkpoint, which without a config.json of its own has that of the first.
func loadUNet(first, dir string) (*unet.UNet, error) {
	described := dir
	if _, err := os.Stat(filepath.Join(dir, "config.json")); errors.Is(err, fs.ErrNotExist) {
		described = first
	}
	c, err := unet.ReadConfig(described)
	if err != nil {
		return nil, err
	}
	return unet.LoadAs(dir, c, nn.LoadOptions{DType: nn.As(tensor.Float32)})
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

func readUNetBatch(f *verify.Report, in, x string) (unetBatch, error) {
	b := unetBatch{x: f.Tensor(in + x), noise: f.Tensor(in + "noise"), text: f.Tensor(in + "encoder_hidden_states"),
		timesteps: f.Ints(in + "timesteps"), boxes: f.Tensor(in + "boxes"), masks: f.Tensor(in + "masks"),
		phrases: f.Tensor(in + "positive_embeddings")}
	if f.Has(in + "image_embeddings") {
		b.images, b.imageMask, b.phraseMask = f.Tensor(in+"image_embeddings"), f.Tensor(in+"image_masks"),
			f.Tensor(in+"phrases_masks")
	}
	return b, f.Err
}

func checkUNet(f *verify.Report, load func() (*unet.UNet, error)) error {
	u, err := load()
	if err != nil {
		return err
	}
	b, err := readUNetBatch(f, "in.", "sample")
	if err != nil {
		return err
	}
	if f.Has("out.fourier") {
		f.Output("fourier", unet.Fourier(b.boxes))
	}
	tokens := b.tokens(u)
	f.Output("objs", tokens)
	eps := u.Forward(b.x, b.timesteps, b.text, &unet.Grounding{Tokens: tokens, Gate: 1})
	f.Output("eps", eps)
	if f.Has("out.loss") {
		loss := meanSquare(eps, b.noise)
		f.Loss("loss", loss)
		loss.Backward()
		f.Gradients(u, nil)
	}
	forward := func(b unetBatch) *tensor.Tensor {
		return u.Forward(b.x.NoGrad(), b.timesteps, b.text, &unet.Grounding{Tokens: b.tokens(u).Detach(), Gate: 1})
	}
	if f.Has("out.eps_null") {
		f.Output("eps_null", forward(b.null()))
	}
	base := u.Forward(b.x.NoGrad(), b.timesteps, b.text, nil)
	f.Output("eps_base", base)
	closeGates(u)
	f.Add(verify.Absolute("closed gates", verify.Widen(forward(b).Data()), verify.Widen(base.Data()), 0))
	return nil
}

func meanSquare(x, y *tensor.Tensor) *tensor.Tensor {
	d := x.Sub(y)
	return d.Mul(d).Mean()
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

// followUNet trains the new layers from closed gates as a recorded run did. Before its first step the loss is that of
// the model without them.
func followUNet(f *verify.Report, facts unetFacts, name string, load func() (*unet.UNet, error)) error {
	c := diffusion.StableDiffusion()
	if n := facts.Noise; n.Steps > 0 {
		c.BetaSchedule, c.BetaStart, c.BetaEnd, c.NumTrainTimesteps = n.Schedule, n.Start, n.End, n.Steps
	}
	s, err := diffusion.New(c)
	if err != nil {
		return err
	}
	u, err := load()
	if err != nil {
		return err
	}
	r := facts.Runs[name]
	if !strings.HasSuffix(r.StartsFrom, "set to 0") {
		return fmt.Errorf("run %s: starts_from %q is not known: it must end in %q", name, r.StartsFrom, "set to 0")
	}
	closeGates(u)
	var batches []unetBatch
	for i := 0; f.Has(fmt.Sprintf("in.batch.%d.x0", i)); i++ {
		b, err := readUNetBatch(f, fmt.Sprintf("in.batch.%d.", i), "x0")
		if err != nil {
			return err
		}
		batches = append(batches, b)
	}
	if len(batches) > 0 && f.Has("out.base_loss") {
		b := batches[0]
		out := u.Forward(s.AddNoise(b.x, b.noise, b.timesteps).NoGrad(), b.timesteps, b.text, nil)
		f.Loss("base_loss", meanSquare(out, b.noise))
	}
	return traincase.Follow(f, name, r, grounded{u, s}, batches, nil)
}
