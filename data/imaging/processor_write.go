package imaging

import (
	"encoding/json"
	"fmt"
)

// MarshalJSON writes preprocessor_config.json as transformers reads it, and [ParseProcessor] too. The class is
// CLIPImageProcessor, SiglipImageProcessor where pictures are scaled without regard to their aspect,
// LlavaImageProcessor for "pad", LlavaNextImageProcessor for "anyres" and LlavaOnevisionImageProcessor for
// "anyres_max_N" of such pictures, whose N is in the model's config.json.
func (p *Processor) MarshalJSON() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if _, two := p.ForSecond(); two {
		return nil, fmt.Errorf("imaging: transformers has no processor for two encoders: write one for each")
	}
	type sides struct {
		Height int `json:"height"`
		Width  int `json:"width"`
	}
	f := map[string]any{"do_convert_rgb": true, "do_resize": p.Resize, "resample": int(p.Filter),
		"do_center_crop": p.CenterCrop,
		"do_rescale":     p.Rescale, "rescale_factor": p.Factor, "do_normalize": p.Normalize, "image_mean": p.Mean,
		"image_std":            p.Std,
		"image_processor_type": "CLIPImageProcessor"}
	if p.Edge > 0 {
		f["size"] = map[string]int{"shortest_edge": p.Edge}
	} else if p.Size != (Size{}) {
		f["size"] = sides{p.Size.H, p.Size.W}
	}
	if p.Crop != (Size{}) {
		f["crop_size"] = sides{p.Crop.H, p.Crop.W}
	}
	n, tiles := maxTiles(p.Aspect)
	switch {
	case n > 0 && (p.Edge > 0 || p.CenterCrop):
		return nil, fmt.Errorf("imaging: image_aspect_ratio: transformers has no processor for %q", p.Aspect)
	case tiles:
		pairs := [][2]int{}
		for _, c := range p.Canvases {
			pairs = append(pairs, [2]int{c.H, c.W})
		}
		f["image_processor_type"], f["image_grid_pinpoints"], f["do_pad"] = "LlavaNextImageProcessor", pairs, true
		if n > 0 {
			f["image_processor_type"] = "LlavaOnevisionImageProcessor"
			delete(f, "do_center_crop")
		}
	case p.Aspect == "pad":
		f["image_processor_type"], f["do_pad"] = "LlavaImageProcessor", true
	case p.Edge == 0 && !p.CenterCrop:
		f["image_processor_type"] = "SiglipImageProcessor"
		delete(f, "do_center_crop")
	}
	return json.MarshalIndent(f, "", "  ")
}
