package verify

import (
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

// autoencoder checks an autoencoder of images: latents, reconstruction, loss and gradients.
func autoencoder(r *Report, m *unet.VAE) {
	pixels, noise := r.tensor("in.pixel_values"), r.tensor("in.noise")
	mean, logVar := m.Encode(pixels)
	r.output("mean", mean)
	r.output("logvar", logVar)
	latents := m.Latents(mean, logVar, noise)
	r.output("latents", latents)
	image := m.Decode(latents)
	r.output("image", image)
	kl := unet.KL(mean, logVar)
	r.add(relative("kl", widen(kl.Data()), r.numbers("out.kl"), r.share(1e-4))) // a sum, of any size
	loss := meanSquare(image, pixels).Add(kl.Mean().Scale(0.01))
	r.loss("loss", loss)
	r.backward(loss, m, nil)
}

func meanSquare(x, y *tensor.Tensor) *tensor.Tensor {
	d := x.Sub(y)
	return d.Mul(d).Mean()
}
