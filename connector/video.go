package connector

import (
	"context"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// videoToken stands for a video in a text of transformers' processors.
const videoToken = "<video>"

// AskVideo answers a question about the video in file, a folder of frames included, of which the model sees up to the
// given number of frames: see [imaging.OpenVideo]. Where the question has no <image> or <video> of its own, it goes
// before it. A model that takes no videos is an error, which says so.
func (a *Assistant) AskVideo(ctx context.Context, question, file string, frames int) (string, error) {
	list, err := imaging.OpenVideo(ctx, file, frames, imaging.Options{Limits: data.DefaultLimits()})
	if err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	question = strings.ReplaceAll(question, videoToken, chat.ImageToken)
	if !strings.Contains(question, chat.ImageToken) {
		question = chat.ImageToken + "\n" + question
	}
	x, err := a.Video(list)
	if err != nil {
		return "", fmt.Errorf("ask: %s: %w", file, err)
	}
	ids, err := a.PromptIDs([]chat.Turn{{From: chat.Human, Value: question}}, true)
	if err != nil {
		return "", err
	}
	return a.complete(ctx, Sample{Name: file, IDs: ids, Images: []Image{x}}, nil)
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
