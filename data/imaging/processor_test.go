package imaging_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// folder writes files (name, content, …) into a new folder.
func folder(t *testing.T, files ...string) string {
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(files[i+1]), 0o644))
	}
	return dir
}

const (
	clipOld = `{"crop_size": 336, "do_center_crop": true, "do_normalize": true, "do_resize": true, "feature_extractor_type": "CLIPFeatureExtractor",
		"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 336}`
	clipNew = `{"_valid_processor_keys": ["images"], "crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true,
		"do_rescale": true, "do_resize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
		"image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336}}`
	siglip = `{"do_convert_rgb": true, "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_processor_type":
		"SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"height": 384, "width": 384}}`
	next = `{"aspect_ratio_setting": "anyres", "crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true,
		"do_pad": true, "do_rescale": true, "do_resize": true, "image_grid_pinpoints": [[672, 336], [336, 672], [672, 672], [336, 1008], [1008, 336]],
		"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "LlavaNextImageProcessor", "image_std": [0.26862954, 0.26130258, 0.27577711],
		"processor_class": "LlavaNextProcessor", "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336}}`
)

func TestReadProcessor(t *testing.T) {
	with := func(p *imaging.Processor, aspect string, canvases ...imaging.Size) *imaging.Processor {
		p.Aspect, p.Canvases = aspect, canvases
		return p
	}
	const pre, conf = "preprocessor_config.json", "config.json"
	hubCanvases := imaging.Canvases16()
	require.Equal(t, imaging.Size{W: 336, H: 672}, hubCanvases[0])
	for name, c := range map[string]struct {
		files []string
		want  *imaging.Processor
	}{
		"CLIP, old":       {[]string{pre, clipOld}, imaging.CLIP(336)},
		"CLIP":            {[]string{pre, clipNew}, imaging.CLIP(336)},
		"CLIP, defaults":  {[]string{pre, `{"image_processor_type": "CLIPImageProcessorFast", "size": null}`}, imaging.CLIP(224)},
		"by its user":     {[]string{pre, `{"processor_class": "LlavaProcessor", "size": {"shortest_edge": 336}, "crop_size": 336}`}, imaging.CLIP(336)},
		"SigLIP":          {[]string{pre, siglip}, imaging.SigLIP(384)},
		"SigLIP, number":  {[]string{pre, `{"image_processor_type": "SiglipImageProcessor", "size": 384}`}, imaging.SigLIP(384)},
		"LLaVA-NeXT":      {[]string{pre, next}, with(imaging.CLIP(336), "anyres", hubCanvases...)},
		"padding":         {[]string{pre, `{"image_processor_type": "LlavaImageProcessor", "do_pad": true}`}, with(imaging.CLIP(224), "pad")},
		"processor":       {[]string{"processor_config.json", `{"image_processor": ` + clipNew + `, "patch_size": 14}`}, imaging.CLIP(336)},
		"original":        {[]string{pre, clipOld, conf, `{"image_aspect_ratio": "pad"}`}, with(imaging.CLIP(336), "pad")},
		"hub":             {[]string{pre, clipOld, conf, `{"model_type": "llava"}`}, imaging.CLIP(336)},
		"in tower":        {[]string{"tower/" + pre, siglip, conf, `{"image_aspect_ratio": "square", "mm_vision_tower": "tower"}`}, with(imaging.SigLIP(384), "square")},
		"original anyres": {[]string{pre, clipNew, conf, `{"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[336, 672], [672, 336]]}`}, with(imaging.CLIP(336), "anyres", imaging.Size{W: 336, H: 672}, imaging.Size{W: 672, H: 336})},
		"anyres, string":  {[]string{pre, clipNew, conf, `{"image_aspect_ratio": "anyres", "image_grid_pinpoints": "[(336, 672)]"}`}, nil},
		"anyres_max": {[]string{pre, siglip, conf, `{"image_aspect_ratio": "anyres_max_9", "image_grid_pinpoints": "(1x1),...,(1x2)"}`},
			with(imaging.SigLIP(384), "anyres_max_9", imaging.Size{W: 384, H: 384}, imaging.Size{W: 384, H: 768})},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := imaging.ReadProcessor(folder(t, c.files...))
			if c.want == nil {
				require.ErrorContains(t, err, "image_grid_pinpoints")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			_, err = got.Process(imaging.New(5, 7))
			require.NoError(t, err)
		})
	}
}

// What is not understood is refused with the names of the file and the field.
func TestReadProcessorRefuses(t *testing.T) {
	const pre = "preprocessor_config.json"
	one := func(field string) []string {
		return []string{pre, `{"image_processor_type": "CLIPImageProcessor", ` + field + `}`}
	}
	for want, files := range map[string][]string{
		"image_processor_type":               {pre, `{"size": 224}`},
		"ViTImageProcessor":                  {pre, `{"image_processor_type": "ViTImageProcessor"}`},
		"is not allowed here in JSON":        {pre, `{"size"; 1}`},
		"the JSON ends too early":            {pre, `{"size":`},
		"is a list, where an object belongs": {pre, `[]`},
		"size: ":                             one(`"size": {"longest_edge": 4}`),
		`"depth" is not known`:               one(`"size": {"height": 4, "width": 4, "depth": 4}`),
		"must be there":                      one(`"size": {"height": 4}`),
		"size: is text":                      one(`"size": "big"`),
		"size: shortest_edge -4":             one(`"size": -4`),
		"size: shortest_edge 40":             one(`"size": 40000`),
		"crop_size: ":                        one(`"crop_size": {"shortest_edge": 4}`),
		"crop_size: {":                       one(`"crop_size": 0`),
		"resample: 0":                        one(`"resample": 0`),
		"resample: is text":                  one(`"resample": "bicubic"`),
		"image_mean: 1 numbers":              one(`"image_mean": [0.5]`),
		"image_std: [1 0 1]":                 one(`"image_std": [1, 0, 1]`),
		"rescale_factor: ":                   one(`"rescale_factor": 0`),
		"do_resize: ":                        one(`"do_resize": 1`),
		"do_pad: ":                           one(`"do_pad": true`),
		"do_sharpen: unknown":                one(`"do_sharpen": true`),
		"aspect_ratio_setting":               one(`"aspect_ratio_setting": "anyres"`),
		"image_aspect_ratio: ":               {pre, clipNew, "config.json", `{"image_aspect_ratio": "highres"}`},
		"image_grid_pinpoints: ":             {pre, clipNew, "config.json", `{"image_aspect_ratio": "anyres"}`},
		"300×336":                            {pre, clipNew, "config.json", `{"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[300, 336]]}`},
		"no pair":                            {pre, clipNew, "config.json", `{"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[336]]}`},
		"config.json: line 1, column 2":      {pre, clipNew, "config.json", `{,}`},
		"copy it from":                       {"processor_config.json", `{"patch_size": 14}`},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := imaging.ReadProcessor(folder(t, files...))
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "config.json")
			require.Regexp(t, `^imaging: .*$`, err.Error())
			require.NotContains(t, err.Error()[9:], "imaging: ")
		})
	}
}

// FuzzParseProcessor reads processor configs and prepares an image as those say that are small enough.
func FuzzParseProcessor(f *testing.F) {
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		p, err := imaging.ParseProcessor(raw)
		if err != nil {
			return err
		}
		require.NoError(t, p.Validate())
		if s := p.Crop; p.CenterCrop && s.W*s.H > 1<<16 || p.Edge > 256 || p.Size.W*p.Size.H > 1<<16 || p.Aspect != "" {
			return nil
		}
		out, err := p.Process(imaging.New(3, 2))
		if err == nil {
			require.Len(t, out.Data, 3*out.W*out.H)
		}
		return err
	}, []byte(clipOld), []byte(clipNew), []byte(siglip), []byte(next))
}

// Rescaling and normalising is done in float32, as numpy does it; do_rescale and do_normalize can be off.
func TestFloats(t *testing.T) {
	m := &imaging.RGB{W: 1, H: 1, Pix: []byte{0, 128, 255}}
	p := imaging.SigLIP(1)
	require.Equal(t, []float32{-1, float32(float32(128./255)-0.5) / 0.5, 1}, p.Floats(nil, m))
	p.Normalize = false
	require.Equal(t, []float32{0, float32(128. / 255), 1}, p.Floats(nil, m))
	p.Rescale = false
	require.Equal(t, []float32{0, 128, 255}, p.Floats(nil, m))
	for _, v := range imaging.CLIP(1).Floats(nil, m) {
		require.False(t, math.IsNaN(float64(v)))
	}
}
