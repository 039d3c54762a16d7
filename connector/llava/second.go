package llava

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Two towers in one model: both are shown the same views, each normalised as it was trained, and the features of a
// patch are concatenated, the first tower's channels before the second's. Source: Karamcheti et al. 2024, "Prismatic
// VLMs", and its backbones dinoclip and dinosiglip, in which DINOv2 is the first.

// secondTower is the folder of the second tower in a model that [Save] writes, and how its parameters' names begin.
const secondTower = "second_vision_tower"

// lead is the tower whose size the views have: the first, but for a DINOv2 beside a tower that takes one size alone.
func (c Config) lead() vit.VisionConfig {
	if c.Second != nil && anySize(c.Vision) && !anySize(*c.Second) {
		return *c.Second
	}
	return c.Vision
}

// anySize reports whether a tower takes images of any size.
func anySize(v vit.VisionConfig) bool { return strings.HasPrefix(v.ModelType, "dinov2") }

// validateSecond holds the second tower against the first and the other fields.
func (c Config) validateSecond() error {
	v := c.Second
	if v == nil {
		return nil
	}
	if err := v.Validate(); err != nil {
		return fmt.Errorf("second tower: %w", err)
	}
	if _, err := c.Select.Indices(v.NumHiddenLayers); err != nil {
		return fmt.Errorf("second tower: %w", err)
	}
	lead := c.lead()
	for _, x := range []vit.VisionConfig{c.Vision, *v} {
		S := lead.ImageSize
		switch {
		case x.ModelType != "clip_vision_model" && x.ModelType != "siglip_vision_model" && !anySize(x):
			return fmt.Errorf("a tower of model_type %s beside another is not supported (clip_vision_model, "+
				"siglip_vision_model, dinov2 and dinov2_with_registers are)", x.ModelType)
		case x.NumChannels != 3:
			return fmt.Errorf("num_channels %d of two towers: 3 each are supported", x.NumChannels)
		case x.ImageSize != S && !anySize(x):
			return fmt.Errorf("two towers of image_size %d and %d: they look at the same views, of one size", S,
				x.ImageSize)
		case S/x.PatchSize != c.grid():
			return fmt.Errorf("two towers: patch_size %d makes %d×%d patches of views of %d pixels, and %d makes "+
				"%d×%d: the features of each patch are concatenated, so the grids must agree", lead.PatchSize, c.grid(),
				c.grid(), S, x.PatchSize, S/x.PatchSize, S/x.PatchSize)
		}
	}
	if c.Next() || c.Scales != nil || c.Video != nil || c.Kind != "" && c.Kind != LLaVA || c.Select.Class != "patch" {
		return fmt.Errorf("two towers are for images of one view, of which they see the patches: tiles, s2_scales, " +
			"videos and class tokens (cls_patch) are not supported with them")
	}
	return nil
}

// beside are the features of both towers, of pixels [V, 6, S, S]: [V, P, D₁+D₂].
func (x *Connector) beside(first vit.Tower, pixels *tensor.Tensor, s vit.Select) *tensor.Tensor {
	a := vit.Features(first, pixels.Slice(1, 0, 3), s)         // [V, P, D₁]
	b := vit.Features(x.SecondTower, pixels.Slice(1, 3, 6), s) // [V, P, D₂]
	return tensor.Concat(2, a, b)
}

// SetRecompute says whether training keeps only the inputs of each block of the towers that are the connector's.
func (x *Connector) SetRecompute(on bool) {
	for _, t := range []vit.Tower{x.VideoTower, x.SecondTower} {
		if t != nil {
			t.SetRecompute(on)
		}
	}
}

// readSecond describes the second tower of a checkpoint in dir, or the one in the folder at, if that is given.
func (c *Config) readSecond(dir, at string) (err error) {
	switch {
	case c.SecondTower == "" && at != "":
		return fmt.Errorf("second tower %s: the model has one tower (no mm_vision_tower_aux_list)", at)
	case c.SecondTower == "":
		return nil
	case at != "":
		if c.SecondTower, err = filepath.Abs(at); err != nil {
			return err
		}
		c.nearby = ""
	}
	for _, at := range []string{filepath.Join(dir, c.nearby), within(dir, c.SecondTower)} { // as the first's
		if _, err := os.Stat(filepath.Join(at, "config.json")); err == nil && at != filepath.Clean(dir) {
			if c.SecondTower, err = filepath.Abs(at); err != nil {
				return err
			}
			break
		}
	}
	v, err := vit.ReadVisionConfig(within(dir, c.SecondTower))
	if known, ok := knownTower(c.SecondTower); errors.Is(err, fs.ErrNotExist) && ok {
		v, err = known, nil
	}
	if err != nil {
		return fmt.Errorf("mm_vision_tower_aux_list: %q: %w", c.SecondTower, err)
	}
	c.Second = &v
	return nil
}

// second reads the weights of the second tower of a checkpoint in dir, which are in a folder of their own.
func (o LoadOptions) second(m *connector.VLM, dir string) error {
	c := ConfigOf(m)
	if c.Second == nil {
		return nil
	}
	t, err := vit.LoadAs(*c.Second, within(dir, c.SecondTower),
		nn.LoadOptions{DType: o.DType, Alias: o.Alias, Rounding: o.Rounding})
	if err != nil {
		return fmt.Errorf("mm_vision_tower_aux_list: %q: %w", c.SecondTower, err)
	}
	m.Connector.(*Connector).SecondTower = t
	return nil
}

// saveSecond writes the second tower of m, and how it wants images, to a folder within dir.
func saveSecond(dir string, m *connector.VLM, p *imaging.Processor, o nn.SaveOptions) error {
	return errors.Join(vit.Save(dir, m.Connector.(*Connector).SecondTower, o), saveProcessor(dir, p))
}

// Pair makes p, the first tower's processor, show images to the second tower too, which second is the processor of. Of
// a DINOv2 beside a tower of one size, it crops and scales as the other. It returns an error if the two can't be shown
// the same views.
func (c Config) Pair(p, second *imaging.Processor) error {
	if p.Rescale != second.Rescale || p.Factor != second.Factor || !p.Normalize || !second.Normalize {
		return fmt.Errorf("image processors of two towers: both rescale by one rescale_factor (%v and %v) and normalise",
			p.Factor, second.Factor)
	}
	if c.lead().ModelType != c.Vision.ModelType {
		q := *second
		q.Aspect, q.Canvases, q.Mean, q.Std = p.Aspect, p.Canvases, p.Mean, p.Std
		*p = q
	}
	p.Second = imaging.Normalization{Mean: second.Mean, Std: second.Std}
	return nil
}

// pair is [Config.Pair] with the second tower's processor, of its folder or of its family.
func (c Config) pair(dir string, p *imaging.Processor) error {
	if c.Second == nil {
		return nil
	}
	second, err := imaging.ReadProcessor(within(dir, c.SecondTower))
	if errors.Is(err, fs.ErrNotExist) {
		second, err = TowerProcessor(*c.Second), nil
	}
	if err != nil {
		return err
	}
	return c.Pair(p, second)
}
