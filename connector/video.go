package connector

import (
	"context"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// Visual is what a prompt shows in one place: an image, or a video.
type Visual struct {
	Image *imaging.RGB
	Video []*imaging.RGB // frames, instead of Image
}

// Visuals are images, each in its place.
func Visuals(images []*imaging.RGB) []Visual {
	list := make([]Visual, len(images))
	for i, m := range images {
		list[i].Image = m
	}
	return list
}

// Media is what the connector hears of v. A video has the size of its first frame.
func (v Visual) Media() Media {
	switch {
	case len(v.Video) > 0:
		return Media{Size: imaging.Size{W: v.Video[0].W, H: v.Video[0].H}, Frames: len(v.Video)}
	case v.Image != nil:
		return Media{Size: imaging.Size{W: v.Image.W, H: v.Image.H}}
	}
	return Media{}
}

// visual prepares v for the encoder.
func (a *Assistant) visual(v Visual) (Image, error) {
	switch {
	case v.Video != nil:
		return a.Video(v.Video)
	case v.Image == nil:
		return Image{}, fmt.Errorf("it is missing")
	}
	return a.image(v.Image)
}

// AskVideo answers a question about the video in file, a folder of frames included, of which the model sees up to the
// given number of frames: see [imaging.OpenVideo]. Where the question has no <image> or <video> of its own, it goes
// before it. A model that takes no videos is an error, which says so.
func (a *Assistant) AskVideo(ctx context.Context, question, file string, frames int) (string, error) {
	list, err := imaging.OpenVideo(ctx, file, frames, imaging.Options{Limits: data.DefaultLimits()})
	if err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	question = strings.ReplaceAll(question, chat.VideoToken, chat.ImageToken)
	if !strings.Contains(question, chat.ImageToken) {
		question = chat.ImageToken + "\n" + question
	}
	answer, err := a.reply(ctx, []chat.Turn{{From: chat.Human, Value: question}}, []Visual{{Video: list}}, nil)
	if err != nil {
		return answer, fmt.Errorf("ask: %s: %w", file, err)
	}
	return answer, nil
}

// Video prepares the frames of a video for the encoder: each is one view, whatever the processor does with images.
func (a *Assistant) Video(frames []*imaging.RGB) (Image, error) {
	if len(frames) == 0 {
		return Image{}, fmt.Errorf("a video without frames")
	}
	if a.Processor == nil {
		return Image{}, errTextOnly
	}
	plain := *a.Processor
	plain.Aspect, plain.Canvases = "", nil
	x := Image{Frames: len(frames), Size: imaging.Size{W: frames[0].W, H: frames[0].H}}
	for i, m := range frames {
		p, err := plain.Process(m)
		if err != nil {
			return x, fmt.Errorf("frame %d: %w", i, err)
		}
		x.Pixels.N, x.Pixels.W, x.Pixels.H = i+1, p.W, p.H
		x.Pixels.Data = append(x.Pixels.Data, p.Data...)
	}
	return x, nil
}
