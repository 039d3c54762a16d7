package llava

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/train"
)

// video is how a model that is joined from its parts takes videos; nil: it takes none.
func (c *Config) video() *llava.Video {
	if c.VideoPool == "" {
		return nil
	}
	return &llava.Video{Pool: c.VideoPool, Stride: c.VideoStride, Newline: "no_token", Token: int(chat.ImageIndex)}
}

// lengths are those of a set's samples for the sampler that groups them: words, as LLaVA counts, and for each video the
// positions that its frames may take, which are many more than an image's.
func (r *Run) lengths(ctx context.Context, set data.Set) ([]int, error) {
	if llava.ConfigOf(r.assistant.Model).Video == nil {
		return data.Lengths(ctx, set)
	}
	l, err := r.assistant.Model.Layout(connector.Media{Size: imaging.Size{W: 1, H: 1}, Frames: r.config.Frames})
	if err != nil {
		return nil, err
	}
	return data.Measure(ctx, set, func(s *data.Sample) int {
		if n := len(s.Videos); n > 0 {
			return s.Words() + n*l.Tokens
		}
		return s.ModalityLength()
	})
}

// groups are the config's, and where the model has them what pools frames, beside the projector, and the end of a row
// of tiles, which LLaVA-NeXT's mm_tunable_parts count to the language model when all of that trains.
func (r *Run) groups() []train.Group {
	groups := r.config.groups()
	x := r.assistant.Model.Connector.(*llava.Connector)
	if r.config.ProjectorLR > 0 && x.Resampler != nil {
		pool := groups[0]
		pool.Params = resampler
		groups = append(groups, pool)
	}
	if last := groups[len(groups)-1]; last.Params == languageModel && x.Newline != nil {
		last.Params = "image_newline"
		groups = append(groups, last)
	}
	return groups
}

// resampler is the convolution of a model that pools frames with one.
const resampler = "vision_resampler.**"

// look reads an image or a video as the encoder gets it.
func (r *Run) look(ctx context.Context, v data.Visual) (connector.Image, error) {
	shown, err := r.decode(ctx, v)
	if err != nil {
		return connector.Image{}, err
	}
	if v.Video {
		return r.assistant.Video(shown.Video)
	}
	p, err := r.assistant.Processor.Process(shown.Image)
	return connector.Image{Pixels: p}, err
}

// decode decodes an image, or the frames of a video that the model sees.
func (r *Run) decode(ctx context.Context, v data.Visual) (shown connector.Visual, err error) {
	if v.Video {
		shown.Video, err = data.LoadVideo(ctx, r.images, v.Name, r.config.Frames, imaging.Options{})
	} else {
		shown.Image, err = data.LoadImage(r.images, v.Name, imaging.Options{})
	}
	return shown, err
}

// strip is the frames of a video side by side.
func strip(frames []*imaging.RGB) *imaging.RGB {
	w, h := 0, 0
	for _, m := range frames {
		w, h = w+m.W, max(h, m.H)
	}
	all := imaging.New(w, h)
	at := 0
	for _, m := range frames {
		all.Paste(m, at, 0)
		at += m.W
	}
	return all
}

// asks is the option of chat that shows as many frames as training did, where that is not what chat shows by itself.
func (r *Run) asks() string {
	if llava.ConfigOf(r.assistant.Model).Video == nil || r.config.Frames == 8 {
		return ""
	}
	return fmt.Sprintf(" --frames %d", r.config.Frames)
}
