package imaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// ParseProcessor reads the contents of a preprocessor_config.json of a CLIPImageProcessor (or CLIPFeatureExtractor, or
// DINOv2's BitImageProcessor), SiglipImageProcessor, LlavaImageProcessor, LlavaNextImageProcessor,
// LlavaOnevisionImageProcessor (whose anyres_max_N is the model's) or VideoLlavaImageProcessor, with the defaults of
// its class where a field is missing. A field that it does not know is an error, because it may change the pixels,
// unless it is null or false; errors begin with the field's name. The "Fast" classes are taken as their originals; they
// resize with torchvision, whose pixels differ from Pillow's in the last bit.
func ParseProcessor(data []byte) (*Processor, error) {
	var fields map[string]json.RawMessage
	if err := jsonfile.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	c := config{Processor: CLIP(224)}
	name, err := className(fields)
	if err != nil {
		return nil, err
	}
	switch name {
	case "CLIPImageProcessor", "CLIPFeatureExtractor", "VideoLlavaImageProcessor", "BitImageProcessor":
	case "LlavaImageProcessor":
		c.padsSquare = true
	case "LlavaNextImageProcessor":
		c.Aspect = "anyres"
		c.Canvases = []Size{{672, 336}, {336, 672}, {672, 672}, {336, 1008}, {1008, 336}}
	case "LlavaOnevisionImageProcessor":
		mean, std := c.Mean, c.Std // CLIP's
		c.Processor, c.exact = SigLIP(384), true
		c.Aspect, c.Mean, c.Std = "anyres", mean, std
		for i := range 36 {
			c.Canvases = append(c.Canvases, Size{W: 384 * (i%6 + 1), H: 384 * (i/6 + 1)})
		}
	case "SiglipImageProcessor":
		c.Processor, c.exact = SigLIP(224), true
	default:
		return nil, fmt.Errorf("image_processor_type: %q is not known: CLIP, Bit, Siglip, Llava, LlavaNext, "+
			"LlavaOnevision and VideoLlava image processors are", name)
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if err := c.set(key, fields[key]); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.Processor, nil
}

// className finds the image processor's class, if need be by the class of the whole processor.
func className(fields map[string]json.RawMessage) (string, error) {
	for _, key := range []string{"image_processor_type", "feature_extractor_type", "processor_class"} {
		var name string
		if value, ok := fields[key]; !ok {
			continue
		} else if err := jsonfile.Explain(value, json.Unmarshal(value, &name)); err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		name = strings.TrimSuffix(name, "Fast")
		if key != "processor_class" {
			return name, nil
		}
		switch name {
		case "CLIPProcessor", "LlavaProcessor":
			return "CLIPImageProcessor", nil
		case "SiglipProcessor":
			return "SiglipImageProcessor", nil
		case "LlavaNextProcessor":
			return "LlavaNextImageProcessor", nil
		case "LlavaOnevisionProcessor":
			return "LlavaOnevisionImageProcessor", nil
		case "VideoLlavaProcessor":
			return "VideoLlavaImageProcessor", nil
		}
	}
	return "", errors.New("image_processor_type: missing, so that the defaults of the other fields are not known")
}

// config is a processor while its fields are read.
type config struct {
	*Processor
	exact      bool // a bare number as size means a square, not the shorter side
	padsSquare bool // do_pad means padding to a square
}

func (c *config) set(key string, value json.RawMessage) error {
	if string(value) == "null" {
		return nil
	}
	read := func(v any) error { return jsonfile.Unmarshal(value, v) }
	switch key {
	case "image_processor_type", "feature_extractor_type", "processor_class", "_valid_processor_keys", "do_convert_rgb",
		"default_to_square",
		"data_format", "input_data_format", "return_tensors", "disable_grouping", "device", "auto_map",
		"image_seq_length", "image_token",
		"num_additional_image_tokens", "patch_size", "vision_feature_select_strategy", "processor_type",
		"tokenizer_class", "transformers_version",
		"name_or_path", "crop_pct", "_processor_class", "chat_template":
		return nil // no influence on the numbers
	case "do_resize":
		return read(&c.Resize)
	case "do_center_crop":
		return read(&c.CenterCrop)
	case "do_rescale":
		return read(&c.Rescale)
	case "do_normalize":
		return read(&c.Normalize)
	case "rescale_factor":
		return read(&c.Factor)
	case "resample":
		return read(&c.Filter)
	case "image_mean":
		return three(value, &c.Mean)
	case "image_std":
		return three(value, &c.Std)
	case "size":
		return c.size(value)
	case "crop_size":
		var n int
		if read(&n) == nil {
			c.Crop = Size{n, n}
			return nil
		}
		_, exact, err := sizeOf(value)
		if err == nil && exact == (Size{}) {
			err = errors.New("height and width are missing")
		}
		c.Crop = exact
		return err
	case "do_pad":
		var pad bool
		if err := read(&pad); err != nil {
			return err
		}
		if pad && c.padsSquare {
			c.Aspect = "pad"
		} else if pad && c.Aspect != "anyres" {
			return errors.New("not known for this class")
		}
		return nil
	case "aspect_ratio_setting":
		var s string
		if err := read(&s); err != nil || s != "anyres" || c.Aspect != "anyres" {
			return fmt.Errorf("%s: only anyres of LlavaNextImageProcessor is known", value)
		}
		return nil
	case "image_grid_pinpoints":
		var pairs [][2]int // heights and widths
		if err := read(&pairs); err != nil {
			return err
		}
		c.Canvases = nil
		for _, p := range pairs {
			c.Canvases = append(c.Canvases, Size{W: p[1], H: p[0]})
		}
		return nil
	}
	if string(value) == "false" || strings.HasPrefix(key, "_") {
		return nil
	}
	return fmt.Errorf("unknown field with the value %s, which may change the pixels", bytes.TrimSpace(value))
}

// size reads "size", a number or an object.
func (c *config) size(value json.RawMessage) error {
	var n int
	if jsonfile.Unmarshal(value, &n) == nil {
		c.Edge, c.Size = n, Size{}
		if c.exact {
			c.Edge, c.Size = 0, Size{n, n}
		}
		return nil
	}
	edge, exact, err := sizeOf(value)
	c.Edge, c.Size = edge, exact
	return err
}

// sizeOf reads {"shortest_edge": n} or {"height": h, "width": w}.
func sizeOf(value json.RawMessage) (edge int, exact Size, err error) {
	var m map[string]*int
	if err := jsonfile.Unmarshal(value, &m); err != nil {
		return 0, Size{}, err
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		n := m[key]
		switch {
		case n == nil:
		case key == "shortest_edge":
			edge = *n
		case key == "height":
			exact.H = *n
		case key == "width":
			exact.W = *n
		default:
			return 0, Size{}, fmt.Errorf("%q is not known: shortest_edge, or height and width are", key)
		}
	}
	if (edge == 0) == (exact == Size{}) || edge == 0 && (exact.W == 0 || exact.H == 0) {
		return 0, Size{}, fmt.Errorf("%s: shortest_edge, or height and width, must be there", value)
	}
	return edge, exact, nil
}

// three reads a list of three numbers.
func three(value json.RawMessage, into *[3]float64) error {
	var v []float64
	if err := jsonfile.Unmarshal(value, &v); err != nil {
		return err
	}
	if len(v) != 3 {
		return fmt.Errorf("%d numbers, not one for each of red, green and blue", len(v))
	}
	*into = [3]float64(v)
	return nil
}
