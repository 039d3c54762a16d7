package drawcase

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

// VAE checks an autoencoder of pictures: latents, reconstruction, loss and gradients: the task ldm_vae.
func VAE(dir string) ([]verify.Row, error) {
	var facts struct{ Checkpoints []string }
	return run(dir, &facts, func(f *folder) error {
		if len(facts.Checkpoints) == 0 {
			return fmt.Errorf("checkpoints: none are listed")
		}
		for _, sub := range facts.Checkpoints {
			prefix := ""
			if sub != facts.Checkpoints[0] {
				prefix = sub + ": "
			}
			if err := f.vae(prefix, sub); err != nil {
				return fmt.Errorf("%s: %w", sub, err)
			}
		}
		return nil
	})
}

func (f *folder) vae(prefix, sub string) error {
	dir, err := verify.Inside(f.dir, sub)
	if err != nil {
		return err
	}
	m, err := unet.LoadVAE(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	pixels, noise := f.e.Tensor("in.pixel_values"), f.e.Tensor("in.noise")
	if f.e.Err != nil {
		return f.e.Err
	}
	mean, logVar := m.Encode(pixels)
	f.output(prefix, "mean", mean)
	f.output(prefix, "logvar", logVar)
	latents := m.Latents(mean, logVar, noise)
	f.output(prefix, "latents", latents)
	image := m.Decode(latents)
	f.output(prefix, "image", image)
	kl := unet.KL(mean, logVar)
	f.add(verify.Relative(prefix+"kl", verify.Widen(kl.Data()), f.e.Numbers("out.kl"), 1e-4)) // a sum, of any size
	loss := meanSquare(image, pixels).Add(kl.Mean().Scale(0.01))
	f.add(verify.Absolute(prefix+"loss", []float64{float64(loss.Item())}, f.e.Numbers("out.loss"), f.tol.Loss))
	loss.Backward()
	f.gradients(prefix, m)
	return nil
}
