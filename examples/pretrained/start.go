package main

import (
	"image"
	"path/filepath"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// tower is the folder of the tower with centred features.
func (o options) tower() string { return filepath.Join(o.out, "tower") }

// centre saves the tower with features whose mean over images of the world is zero.
func (o options) centre(tower vit.Tower, w *shapes.World) error {
	p, err := imaging.ReadProcessor(o.clip)
	if err != nil {
		return err
	}
	return study.Centre(o.tower(), tower, p, o.images, func(i int) image.Image {
		return w.Scene(shapes.Train, i, shapes.Options{}).Image()
	})
}
