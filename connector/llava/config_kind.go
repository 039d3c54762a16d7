package llava

import (
	"cmp"
	"fmt"

	"github.com/gollava/gollava/data/imaging"
)

// kindDefaults are the values that transformers' config class of f's kind gives to absent fields, where they differ
// from LLaVA's.
func (c *Config) kindDefaults(f *hubFile) {
	switch f.ModelType {
	case OneVision:
		c.Image = 151646
		c.Select.Layers = []int{-1}
		f.Strategy = cmp.Or(f.Strategy, new("full"))
	case NextVideo:
		c.Image = 32001
	case ViPLLaVA:
		c.Select.Layers = []int{-2, -5, -8, -11, 6}
	}
}

// readKind reads what only some kinds of f have: tiles, videos, and a norm before the projector.
func (c *Config) readKind(f *hubFile) error {
	video := Video{Newline: "no_token", Token: 32001}
	switch f.ModelType {
	case LLaVA:
		return nil
	case LLaVANext, NextVideo:
		c.Aspect = "anyres"
		if f.Pinpoints == nil {
			f.Pinpoints = [][2]int{{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}}
		}
	case OneVision:
		c.Aspect = cmp.Or(f.AspectRatio, "anyres_max_9")
		m := anyresMax.FindStringSubmatch(c.Aspect)
		if m == nil || m[1] == "" {
			return fmt.Errorf("vision_aspect_ratio %q is not supported (anyres_max_N is)", c.Aspect)
		}
		fmt.Sscan(m[1], &c.MaxTiles)
		if f.Pinpoints == nil {
			for i := range 36 {
				f.Pinpoints = append(f.Pinpoints, [2]int{384 * (i/6 + 1), 384 * (i%6 + 1)})
			}
		}
	case ViPLLaVA:
		c.Kind, c.NormEps = ViPLLaVA, 1e-5
		if f.NormEps != nil {
			c.NormEps = *f.NormEps
		}
		if c.NormEps == 0 {
			return fmt.Errorf("projector_layernorm_eps 0 is not supported")
		}
		return nil
	}
	for _, p := range f.Pinpoints {
		c.Canvases = append(c.Canvases, imaging.Size{W: p[1], H: p[0]})
	}
	if f.ModelType == LLaVANext {
		return nil
	}
	c.Kind = f.ModelType
	switch c.Kind {
	case NextVideo:
		video.Pool, video.Stride, video.Early, video.Token = cmp.Or(f.PoolMode, "average"), 2, true, 32000
		if f.PoolStride != nil {
			video.Stride = *f.PoolStride
		}
		if n := f.PoolOut; n != nil && *n != c.Vision.HiddenSize {
			return fmt.Errorf("spatial_pool_out_channels %d is not supported: the projector, which reads images too, "+
				"takes %d", *n, c.Vision.HiddenSize)
		}
	case OneVision:
		video.Pool, video.Stride, video.Newline, video.Token = "bilinear", 2, "one_token", 151647
	}
	if f.VideoToken != nil {
		video.Token = *f.VideoToken
	} else if f.VideoTokenID != nil {
		video.Token = *f.VideoTokenID
	}
	c.Video = &video
	return nil
}

// architectures are the classes of transformers.
var architectures = map[string]string{LLaVA: "LlavaForConditionalGeneration",
	LLaVANext: "LlavaNextForConditionalGeneration",
	NextVideo: "LlavaNextVideoForConditionalGeneration", OneVision: "LlavaOnevisionForConditionalGeneration",
	ViPLLaVA: "VipLlavaForConditionalGeneration", VideoLLaVA: "VideoLlavaForConditionalGeneration"}

// putKind adds to the Hub's config.json what only some kinds have.
func (c *Config) putKind(f map[string]any) error {
	kind := c.kind()
	f["model_type"], f["architectures"] = kind, []string{architectures[kind]}
	if c.Next() {
		pairs := [][2]int{}
		for _, s := range c.Canvases {
			pairs = append(pairs, [2]int{s.H, s.W})
		}
		f["image_grid_pinpoints"] = pairs
	}
	v := c.Video
	switch kind {
	case ViPLLaVA:
		f["projector_layernorm_eps"] = c.NormEps
		f["vision_feature_layers"] = c.Select.Layers // transformers 4's name
		delete(f, "vision_feature_select_strategy")
		return nil
	case OneVision:
		f["vision_aspect_ratio"] = fmt.Sprintf("anyres_max_%d", c.MaxTiles)
		if v == nil || v.Pool != "bilinear" || v.Stride != 2 || v.Early || v.Newline != "one_token" {
			return fmt.Errorf("config: the Hub's layout of %s has no name for how this model reads videos: %+v; save "+
				"in the original layout", kind, v)
		}
	case NextVideo:
		f["spatial_pool_mode"], f["spatial_pool_stride"] = v.Pool, v.Stride
		f["video_seq_length"] = v.Tokens(1, c.patches())
	case VideoLLaVA:
		f["video_seq_length"] = c.patches() + 1
	default:
		if v != nil {
			return fmt.Errorf("config: the Hub's layout of %s knows no videos: save in the original layout", kind)
		}
		if c.MaxTiles > 0 {
			return fmt.Errorf("config: the Hub's layout does not know anyres_max_%d: save in the original layout",
				c.MaxTiles)
		}
		return nil
	}
	f["video_token_index"] = v.Token
	return nil
}
