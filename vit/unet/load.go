package unet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
)

// weightsFile is diffusers' name for the weights of a model in its folder.
const weightsFile = "diffusion_pytorch_model.safetensors"

// Load reads the UNet in dir as diffusers writes it, weights of any floating-point type. Of o, DType, Alias and Device
// count. Its errors name the file, and list all tensors that are missing, unexpected or misshapen.
func Load(dir string, o nn.LoadOptions) (*UNet, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	return LoadAs(dir, c, o)
}

// LoadAs is Load of a UNet that c describes, which dir need not: its weights may also be in model.safetensors or be the
// file at dir itself, and have the names of Stable Diffusion's or the GLIGEN authors' checkpoints.
func LoadAs(dir string, c Config, o nn.LoadOptions) (*UNet, error) {
	u, err := New(nil, c)
	if err != nil {
		return nil, err
	}
	return u, fill(dir, u, o, func(w *nn.Weights) error {
		if !w.Has("input_blocks.0.0.weight") {
			return nil
		}
		return w.Rename(c.fromOriginal())
	})
}

// LoadVAE reads the autoencoder in dir as diffusers writes it, with the names of its attention before version 0.18 too;
// see [Load].
func LoadVAE(dir string, o nn.LoadOptions) (*VAE, error) {
	c, err := ReadVAEConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := NewVAE(nil, c)
	if err != nil {
		return nil, err
	}
	old := strings.NewReplacer(".query.", ".to_q.", ".key.", ".to_k.", ".value.", ".to_v.", ".proj_attn.", ".to_out.0.")
	return m, fill(dir, m, o, func(w *nn.Weights) error {
		return w.Rename(func(name string) string {
			if strings.Contains(name, ".mid_block.attentions.") {
				return old.Replace(name)
			}
			return name
		})
	})
}

// fill reads the weights in dir, under the first of diffusers' names for them that there is.
func fill(dir string, m any, o nn.LoadOptions, rename func(*nn.Weights) error) error {
	path := dir
	for _, name := range []string{weightsFile, weightsFile + ".index.json", "diffusion_pytorch_model.bin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			path = p
			break
		}
	}
	return nn.WithWeights(path, o.Alias, func(w *nn.Weights) error {
		if err := rename(w); err != nil {
			return err
		}
		return nn.Load(m, w, nn.LoadOptions{DType: o.DType, Alias: o.Alias, Device: o.Device})
	})
}

// Save writes the UNet to dir as diffusers loads it: config.json and diffusion_pytorch_model.safetensors. Of o, DType
// and Metadata are used.
func Save(dir string, u *UNet, o nn.SaveOptions) error {
	type plain Config
	return save(dir, u, o, struct {
		Class string `json:"_class_name"`
		plain
	}{"UNet2DConditionModel", plain(u.config)})
}

// SaveVAE writes the autoencoder to dir as diffusers loads it; see [Save].
func SaveVAE(dir string, m *VAE, o nn.SaveOptions) error {
	type plain VAEConfig
	return save(dir, m, o, struct {
		Class string `json:"_class_name"`
		plain
	}{"AutoencoderKL", plain(m.config)})
}

func save(dir string, m any, o nn.SaveOptions, config any) error {
	o.Rename, o.MaxShard = nil, 0
	if err := nn.Save(m, filepath.Join(dir, weightsFile), o); err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), config)
}

// originalResnet are the names of a resnet's parts in Stable Diffusion's checkpoints.
var originalResnet = strings.NewReplacer("in_layers.0.", "norm1.", "in_layers.2.", "conv1.",
	"emb_layers.1.", "time_emb_proj.", "out_layers.0.", "norm2.", "out_layers.3.", "conv2.",
	"skip_connection.", "conv_shortcut.")

// fromOriginal translates the names of Stable Diffusion 1's UNet, which the GLIGEN authors' has too, into diffusers'.
// Others it leaves alone.
func (c Config) fromOriginal() func(string) string {
	parts := map[string]string{"input_blocks.0.0": "conv_in", "time_embed.0": "time_embedding.linear_1",
		"time_embed.2": "time_embedding.linear_2", "out.0": "conv_norm_out", "out.2": "conv_out",
		"middle_block.0": "mid_block.resnets.0", "middle_block.1": "mid_block.attentions.0",
		"middle_block.2": "mid_block.resnets.1"}
	last := len(c.BlockOutChannels) - 1
	at := 1
	for i := range c.BlockOutChannels {
		for j := range c.LayersPerBlock.At(i) {
			parts[fmt.Sprintf("input_blocks.%d.0", at)] = fmt.Sprintf("down_blocks.%d.resnets.%d", i, j)
			parts[fmt.Sprintf("input_blocks.%d.1", at)] = fmt.Sprintf("down_blocks.%d.attentions.%d", i, j)
			at++
		}
		if i < last {
			parts[fmt.Sprintf("input_blocks.%d.0.op", at)] = fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", i)
			at++
		}
	}
	at = 0
	for i := range c.BlockOutChannels {
		n := c.LayersPerBlock.At(last - i)
		for j := range n + 1 {
			parts[fmt.Sprintf("output_blocks.%d.0", at)] = fmt.Sprintf("up_blocks.%d.resnets.%d", i, j)
			after := 1
			if c.UpBlockTypes[i] == CrossUp {
				parts[fmt.Sprintf("output_blocks.%d.1", at)], after = fmt.Sprintf("up_blocks.%d.attentions.%d", i, j), 2
			}
			if j == n && i < last {
				up := fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", i)
				parts[fmt.Sprintf("output_blocks.%d.%d.conv", at, after)] = up
			}
			at++
		}
	}
	return func(name string) string {
		for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
			part, ok := parts[name[:end]]
			if !ok {
				continue
			}
			tail := name[end:]
			if strings.Contains(part, ".resnets.") {
				tail = "." + originalResnet.Replace(tail[1:])
			}
			return part + tail
		}
		return name
	}
}
