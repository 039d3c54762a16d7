package drawcase

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	var facts unetFacts
	return run(dir, &facts, func(f *folder) error {
		if len(facts.Checkpoints) == 0 {
			return fmt.Errorf("checkpoints: none are listed")
		}
		for _, sub := range facts.Checkpoints {
			prefix := ""
			if sub != facts.Checkpoints[0] {
				prefix = sub + ": "
			}
			load := func() (*unet.UNet, error) { return f.loadUNet(facts.Checkpoints[0], sub) }
			if err := f.unet(prefix, load); err != nil {
				return fmt.Errorf("%s: %w", sub, err)
			}
			if prefix != "" {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(facts.Runs)) {
				if err := f.followUNet(facts, name, load); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// loadUNet reads a checkpoint, which without a config.json of its own has that of the first.
func (f *folder) loadUNet(first, sub string) (*unet.UNet, error) {
	dir, err := verify.Inside(f.dir, sub)
	if err != nil {
		return nil, err
	}
	described := dir
	if _, err := os.Stat(filepath.Join(dir, "config.json")); errors.Is(err, fs.ErrNotExist) {
		if described, err = verify.Inside(f.dir, first); err != nil {
			return nil, err
		}
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

func (f *folder) unetBatch(in, x string) (unetBatch, error) {
	b := unetBatch{x: f.e.Tensor(in + x), noise: f.e.Tensor(in + "noise"), text: f.e.Tensor(in + "encoder_hidden_states"),
		timesteps: f.e.Ints(in + "timesteps"), boxes: f.e.Tensor(in + "boxes"), masks: f.e.Tensor(in + "masks"),
		phrases: f.e.Tensor(in + "positive_embeddings")}
	if f.e.Has(in + "image_embeddings") {
		b.images, b.imageMask, b.phraseMask = f.e.Tensor(in+"image_embeddings"), f.e.Tensor(in+"image_masks"), f.e.Tensor(in+"phrases_masks")
	}
	return b, f.e.Err
}

func (f *folder) unet(prefix string, load func() (*unet.UNet, error)) error {
	u, err := load()
	if err != nil {
		return err
	}
	b, err := f.unetBatch("in.", "sample")
	if err != nil {
		return err
	}
	if f.e.Has("out.fourier") {
		f.output(prefix, "fourier", unet.Fourier(b.boxes))
	}
	tokens := b.tokens(u)
	f.output(prefix, "objs", tokens)
	eps := u.Forward(b.x, b.timesteps, b.text, &unet.Grounding{Tokens: tokens, Gate: 1})
	f.output(prefix, "eps", eps)
	if f.e.Has("out.loss") {
		loss := meanSquare(eps, b.noise)
		f.add(verify.Absolute(prefix+"loss", []float64{float64(loss.Item())}, f.e.Numbers("out.loss"), f.tol.Loss))
		loss.Backward()
		f.gradients(prefix, u)
	}
	forward := func(b unetBatch) *tensor.Tensor {
		return u.Forward(b.x.NoGrad(), b.timesteps, b.text, &unet.Grounding{Tokens: b.tokens(u).Detach(), Gate: 1})
	}
	if f.e.Has("out.eps_null") {
		f.output(prefix, "eps_null", forward(b.null()))
	}
	base := u.Forward(b.x.NoGrad(), b.timesteps, b.text, nil)
	f.output(prefix, "eps_base", base)
	closeGates(u)
	f.add(verify.Absolute(prefix+"closed gates", verify.Widen(forward(b).Data()), verify.Widen(base.Data()), 0))
	return nil
}

// gradients compares all that are recorded.
func (f *folder) gradients(prefix string, m any) {
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	for _, r := range f.e.Gradients(f.tol, func(name string) *tensor.Tensor { return grads[name] }) {
		r.What = prefix + r.What
		f.add(r)
	}
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
func (f *folder) followUNet(facts unetFacts, name string, load func() (*unet.UNet, error)) error {
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
	for i := 0; f.e.Has(fmt.Sprintf("in.batch.%d.x0", i)); i++ {
		b, err := f.unetBatch(fmt.Sprintf("in.batch.%d.", i), "x0")
		if err != nil {
			return err
		}
		batches = append(batches, b)
	}
	if len(batches) == 0 {
		return fmt.Errorf("%s: there are runs, but no batches", f.e.Path())
	}
	if f.e.Has("out.base_loss") {
		b := batches[0]
		out := u.Forward(s.AddNoise(b.x, b.noise, b.timesteps).NoGrad(), b.timesteps, b.text, nil)
		f.add(verify.Absolute("base_loss", []float64{float64(meanSquare(out, b.noise).Item())}, f.e.Numbers("out.base_loss"), f.tol.Loss))
	}
	rows, err := traincase.Follow(f.e, name, r, grounded{u, s}, batches, func(n string) string { return n }, f.tol)
	f.rows = append(f.rows, rows...)
	return err
}
