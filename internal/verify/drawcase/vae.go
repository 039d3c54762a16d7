package drawcase

import (
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

// VAE checks an autoencoder of images: latents, reconstruction, loss and gradients: the task ldm_vae.
func VAE(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c struct{ Checkpoints []string }) error {
		return r.Checkpoints(c.Checkpoints, func(dir string) error { return vae(r, dir) })
	})
}

func vae(f *verify.Report, dir string) error {
	m, err := unet.LoadVAE(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	pixels, noise := f.Tensor("in.pixel_values"), f.Tensor("in.noise")
	if f.Err != nil {
		return f.Err
	}
	mean, logVar := m.Encode(pixels)
	f.Output("mean", mean)
	f.Output("logvar", logVar)
	latents := m.Latents(mean, logVar, noise)
	f.Output("latents", latents)
	image := m.Decode(latents)
	f.Output("image", image)
	kl := unet.KL(mean, logVar)
	f.Add(verify.Relative("kl", verify.Widen(kl.Data()), f.Numbers("out.kl"), 1e-4)) // a sum, of any size
	loss := meanSquare(image, pixels).Add(kl.Mean().Scale(0.01))
	f.Loss("loss", loss)
	loss.Backward()
	f.Gradients(m, nil)
	return nil
}
