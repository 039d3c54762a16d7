package main

import (
	"context"
	"image"
	"os"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/train/study"
)

// write writes the lessons to a folder, each as LLaVA's json with images. Some samples are a text without an image:
// what the language model itself answers to a plain request before it is trained, so that it keeps answering that way.
// Data that an earlier call wrote in full is kept.
func write(ctx context.Context, dir string, lessons []lesson, w *shapes.World, before *connector.Assistant,
	replayed int) error {
	if _, err := os.Stat(lessons[len(lessons)-1].file(dir)); err == nil {
		return nil
	}
	texts, err := study.Replay(ctx, before, replayed)
	if err != nil {
		return err
	}
	for _, l := range lessons {
		if err := study.WriteSamples(dir, l.Name, l.Steps*l.Batch, l.Replay, texts, func(i int) (image.Image, []chat.Turn) {
			r := w.Rand("pretrained/"+l.Name, i)
			s := w.Scene(shapes.Train, r.IntN(1<<40), l.options(w))
			var said []chat.Turn
			for _, q := range l.about(r, s) {
				said = append(said, chat.Turn{From: chat.Human, Value: q.Text}, chat.Turn{From: chat.GPT, Value: q.Answer})
			}
			return s.Image(), said
		}); err != nil {
			return err
		}
	}
	return nil
}

// options are the lesson's images in a world, which may be too small for so many objects.
func (l lesson) options(w *shapes.World) shapes.Options {
	o := shapes.Options{MinObjects: l.Objects[0], MaxObjects: min(l.Objects[1], w.MaxObjects)}
	if !l.Signs {
		o.Sign = shapes.NoSign
	}
	return o
}
