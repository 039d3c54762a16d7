package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"math"

	"github.com/gollava/gollava/data/audio"
	"github.com/gollava/gollava/data/imaging"
)

// Input is something to embed, or to go on from: a text, its token ids, an image, or a sound.
type Input struct {
	Text  string
	IDs   []int32 // instead of Text
	Image *imaging.RGB
	Sound *audio.Wave
}

// inputs is the field "prompt" or "input": a text, its token ids, or a list of such, in which objects are parts as
// those of chat messages, or {"text": …}, {"image": …} or {"audio": …}.
type inputs []given

type given struct {
	Input
	image string // its URL; "": none
	sound string // its URL, or base64; "": none
}

func (in *inputs) UnmarshalJSON(b []byte) error {
	one, list, err := readGiven(b)
	switch {
	case err != nil:
		return err
	case list == nil:
		*in = inputs{one}
		return nil
	}
	*in = inputs{}
	for _, raw := range list {
		x, inner, err := readGiven(raw)
		if err == nil && inner != nil {
			err = invalid("input or prompt", "a list in a list holds token ids only")
		}
		if err != nil {
			return err
		}
		*in = append(*in, x)
	}
	return nil
}

// readGiven reads one input, or the elements of a list of them.
func readGiven(b []byte) (one given, list []json.RawMessage, err error) {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '"':
		return one, nil, json.Unmarshal(b, &one.Text)
	case len(b) > 0 && b[0] == '{':
		one, err = readPart(b)
		return one, nil, err
	case len(b) > 0 && b[0] == '[':
		if err := json.Unmarshal(b, &list); err != nil {
			return one, nil, err
		}
		if len(list) == 0 || !isNumber(list[0]) {
			return one, list, nil
		}
		var ids []float64
		if json.Unmarshal(b, &ids) != nil {
			break
		}
		for _, id := range ids {
			if id != math.Trunc(id) || id < 0 || id > math.MaxInt32 {
				return one, nil, invalid("input or prompt", "%v is not a token id", id)
			}
			one.IDs = append(one.IDs, int32(id))
		}
		return one, nil, nil
	}
	return one, nil, invalid("input or prompt", "must be a string, a list of token ids, or a list of those")
}

func isNumber(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9')
}

// readPart reads an input that is an object.
func readPart(b []byte) (one given, err error) {
	var p struct {
		part
		Image *string `json:"image"`
		Audio *string `json:"audio"`
		Input *struct {
			Data   string `json:"data"`
			Format string `json:"format"`
		} `json:"input_audio"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return one, err
	}
	forms := 0
	for _, there := range []bool{p.Text != nil, p.Image != nil, p.ImageURL != nil, p.Audio != nil, p.Input != nil} {
		if there {
			forms++
		}
	}
	if p.Text != nil {
		one.Text = *p.Text
	}
	switch {
	case p.Image != nil:
		one.image = *p.Image
	case p.ImageURL != nil:
		one.image = p.ImageURL.URL
	case p.Audio != nil:
		one.sound = *p.Audio
	case p.Input != nil && p.Input.Format != "wav":
		return one, invalid("input or prompt", "audio of format %.20q is not supported: wav is", p.Input.Format)
	case p.Input != nil:
		one.sound = p.Input.Data
	}
	if forms != 1 || p.Text == nil && one.image == "" && one.sound == "" {
		return one, invalid("input or prompt", `an object must be {"text": …}, {"image": …}, {"audio": …}, `+
			`{"type": "image_url", "image_url": {"url": …}} or {"type": "input_audio", "input_audio": {"data": …}}`)
	}
	return one, nil
}

// inputs checks the inputs of a field and decodes their images.
func (s *Server) inputs(ctx context.Context, field string, in inputs) ([]Input, *problem) {
	images := s.images(s.config.Limits.Inputs)
	list := make([]Input, len(in))
	for i, x := range in {
		name := field
		if len(in) > 1 {
			name = at(field, i)
		}
		list[i] = x.Input
		if x.image != "" {
			var p *problem
			if list[i].Image, p = images.open(ctx, name, x.image); p != nil {
				return nil, p
			}
		} else if x.sound != "" {
			var p *problem
			if list[i].Sound, p = images.hear(ctx, name, x.sound); p != nil {
				return nil, p
			}
		} else if x.Text == "" && len(x.IDs) == 0 {
			return nil, invalid(name, "is empty")
		}
	}
	return list, nil
}
