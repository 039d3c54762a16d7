package gligen

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// classes of diffusers' pipelines that [Open] reads.
const (
	plainClass     = "StableDiffusionPipeline"
	gatedClass     = "StableDiffusionGLIGENPipeline"
	textImageClass = "StableDiffusionGLIGENTextImagePipeline"
)

// Open reads a pipeline from a folder as diffusers writes it: model_index.json and the folders unet, vae, text_encoder,
// tokenizer and scheduler. A safety checker and an image encoder in it are left alone. Of o, DType and Alias are used.
// Its errors name the file, and list all tensors that are missing, unexpected or misshapen.
func Open(dir string, o nn.LoadOptions) (*Pipeline, error) {
	var index struct {
		Class string `json:"_class_name"`
	}
	path := filepath.Join(dir, "model_index.json")
	if err := jsonfile.Read(path, &index); err != nil {
		return nil, err
	}
	if known := []string{plainClass, gatedClass, textImageClass}; !slices.Contains(known, index.Class) {
		return nil, fmt.Errorf("%s: _class_name %q is not supported: %q are", path, index.Class, known)
	}
	p := &Pipeline{Slots: Slots}
	var err error
	if p.UNet, err = unet.Load(filepath.Join(dir, "unet"), o); err != nil {
		return nil, err
	}
	vae, err := unet.LoadVAE(filepath.Join(dir, "vae"), o)
	if err != nil {
		return nil, err
	}
	p.VAE = vae
	if p.Text, err = vit.LoadCLIPText(filepath.Join(dir, "text_encoder"), o); err != nil {
		return nil, err
	}
	if p.Tokenizer, err = tokenizer.Load(filepath.Join(dir, "tokenizer")); err != nil {
		return nil, err
	}
	c, err := diffusion.ReadConfig(filepath.Join(dir, "scheduler"))
	if err != nil {
		return nil, err
	}
	if p.Schedule, err = diffusion.New(c); err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return p, nil
}

// Validate returns an error if the parts do not fit together.
func (p *Pipeline) Validate() error {
	u, t := p.UNet.Config(), p.Text.Config()
	Z := p.VAE.Channels()
	switch {
	case u.CrossAttentionDim != t.HiddenSize:
		return fmt.Errorf("unet: cross_attention_dim %d, but the text encoder's hidden_size is %d", u.CrossAttentionDim,
			t.HiddenSize)
	case u.OutChannels != Z:
		return fmt.Errorf("unet: out_channels %d, but the autoencoder has %d channels of latents", u.OutChannels, Z)
	case u.InChannels != Z && u.InChannels != 2*Z+1:
		return fmt.Errorf("unet: in_channels %d: %d, or %d for inpainting, fit the autoencoder", u.InChannels, Z, 2*Z+1)
	case u.SampleSize < 1:
		return fmt.Errorf("unet: sample_size %d: the side of the latents is needed", u.SampleSize)
	case p.Slots < 1:
		return fmt.Errorf("%d slots: at least 1 is needed", p.Slots)
	}
	return p.Tokenizer.Rows(t.VocabSize)
}

// Save writes a pipeline to dir as diffusers loads it. Its autoencoder must be a [unet.VAE]. Of o, DType and Metadata
// are used.
func Save(dir string, p *Pipeline, o nn.SaveOptions) error {
	vae, ok := p.VAE.(*unet.VAE)
	if !ok {
		return fmt.Errorf("save %s: an autoencoder of type %T cannot be written: a unet.VAE can", dir, p.VAE)
	}
	class := map[string]string{unet.Plain: plainClass, unet.Gated: gatedClass, unet.GatedTextImage: textImageClass}
	scheduler := p.Schedule.Config()
	for _, write := range []func() error{
		func() error { return unet.Save(filepath.Join(dir, "unet"), p.UNet, o) },
		func() error { return unet.SaveVAE(filepath.Join(dir, "vae"), vae, o) },
		func() error { return vit.SaveCLIPText(filepath.Join(dir, "text_encoder"), p.Text, o) },
		func() error { return p.Tokenizer.Save(filepath.Join(dir, "tokenizer")) },
		func() error {
			raw, err := json.Marshal(scheduler)
			if err != nil {
				return err
			}
			return atomicfile.WriteJSON(filepath.Join(dir, "scheduler", "scheduler_config.json"), json.RawMessage(raw))
		},
		func() error {
			none := []any{nil, nil}
			return atomicfile.WriteJSON(filepath.Join(dir, "model_index.json"), map[string]any{
				"_class_name": class[p.UNet.Config().AttentionType], "requires_safety_checker": false,
				"feature_extractor": none, "safety_checker": none,
				"scheduler":    []string{"diffusers", scheduler.ClassName},
				"unet":         []string{"diffusers", "UNet2DConditionModel"},
				"vae":          []string{"diffusers", "AutoencoderKL"},
				"text_encoder": []string{"transformers", "CLIPTextModel"},
				"tokenizer":    []string{"transformers", "CLIPTokenizer"}})
		},
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
