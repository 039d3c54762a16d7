package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"

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
	requests, answers, err := study.Replay(ctx, before, replayed)
	if err != nil {
		return err
	}
	for _, l := range lessons {
		if err := os.MkdirAll(filepath.Join(dir, l.Name), 0o755); err != nil {
			return err
		}
		var samples []map[string]any
		for i := range l.Steps * l.Batch {
			var said []chat.Turn
			sample := map[string]any{"id": fmt.Sprintf("%s-%05d", l.Name, i)}
			if l.Replay > 0 && i%l.Replay == l.Replay-1 {
				k := i / l.Replay % replayed
				said = []chat.Turn{{From: chat.Human, Value: requests[k]}, {From: chat.GPT, Value: answers[k]}}
			} else {
				r := w.Rand("pretrained/"+l.Name, i)
				s := w.Scene(shapes.Train, r.IntN(1<<40), l.options(w))
				for _, q := range l.about(r, s) {
					said = append(said, chat.Turn{From: chat.Human, Value: q.Text}, chat.Turn{From: chat.GPT, Value: q.Answer})
				}
				said[0].Value = chat.ImageToken + "\n" + said[0].Value
				image := fmt.Sprintf("%s/%05d.png", l.Name, i)
				if err := draw(filepath.Join(dir, image), s); err != nil {
					return err
				}
				sample["image"] = image
			}
			sample["conversations"] = said
			samples = append(samples, sample)
		}
		b, err := json.Marshal(samples)
		if err != nil {
			return err
		}
		if err := os.WriteFile(l.file(dir), b, 0o644); err != nil {
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

// draw writes a scene's image.
func draw(path string, s shapes.Scene) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, s.Image()); err != nil {
		return err
	}
	return f.Close()
}
