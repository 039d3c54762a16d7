package shapes

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/atomicfile"
)

// cocoFile is a file of annotations in COCO's form.
type cocoFile struct {
	Info        map[string]string `json:"info"`
	Images      []cocoImage       `json:"images"`
	Annotations []any             `json:"annotations"`
	Categories  []cocoCategory    `json:"categories,omitempty"`
}

type cocoImage struct {
	ID     int    `json:"id"`
	File   string `json:"file_name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

type cocoCategory struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

type cocoCaption struct {
	ID      int    `json:"id"`
	Image   int    `json:"image_id"`
	Caption string `json:"caption"`
}

type cocoBox struct {
	ID       int    `json:"id"`
	Image    int    `json:"image_id"`
	Category int    `json:"category_id"`
	BBox     [4]int `json:"bbox"` // x, y, width, height in pixels
	Area     int    `json:"area"`
	Crowd    int    `json:"iscrowd"`
}

// WriteCOCO writes n training scenes, from the first on, as COCO has pictures: images/*.png, and what
// [World.WriteAnnotations] writes of them.
func (w *World) WriteCOCO(ctx context.Context, dir string, first, n int) error {
	scenes := make([]Scene, n)
	err := w.each(ctx, filepath.Join(dir, "images"), n, func(i int) (string, Scene) {
		scenes[i] = w.Scene(Train, first+i, Options{MinObjects: min(max(2, w.MinObjects), w.MaxObjects)})
		return id(first + i), scenes[i]
	})
	if err != nil {
		return err
	}
	return w.WriteAnnotations(dir, scenes)
}

// ImageName is what the image of a training scene is called in files.
func (s Scene) ImageName() string { return id(s.Index) + ".png" }

// WriteAnnotations writes what COCO's files say of scenes of this world, whose images are called [Scene.ImageName]:
// captions.json with five captions each, and instances.json with the box of each thing. It is what a teacher is told
// of the world, and all that it is told.
func (w *World) WriteAnnotations(dir string, scenes []Scene) error {
	captions, instances := cocoFile{Info: map[string]string{}}, cocoFile{Info: map[string]string{}}
	category := map[string]int{}
	names := []string{"sign"}
	for _, p := range AllPairs() {
		names = append(names, p.String())
	}
	for i, name := range names {
		category[name] = i + 1
		instances.Categories = append(instances.Categories, cocoCategory{i + 1, name})
	}
	side := w.Side()
	for _, s := range scenes {
		m := cocoImage{s.Index, s.ImageName(), side, side}
		captions.Images, instances.Images = append(captions.Images, m), append(instances.Images, m)
		for _, text := range s.captions() {
			captions.Annotations = append(captions.Annotations, cocoCaption{len(captions.Annotations) + 1, m.ID, text})
		}
		put := func(name string, b [4]int) {
			box := [4]int{b[0], b[1], b[2] - b[0], b[3] - b[1]}
			instances.Annotations = append(
				instances.Annotations,
				cocoBox{len(instances.Annotations) + 1, m.ID, category[name], box, box[2] * box[3], 0},
			)
		}
		for _, o := range s.Objects {
			put(o.Pair().String(), s.Box(o))
		}
		if s.Sign != nil {
			top := s.Sign.Row * w.Cell
			put("sign", [4]int{1, top, side - 1, top + w.Cell})
		}
	}
	for name, f := range map[string]cocoFile{"captions.json": captions, "instances.json": instances} {
		if err := atomicfile.WriteJSON(filepath.Join(dir, name), f); err != nil {
			return fmt.Errorf("shapes: %w", err)
		}
	}
	return nil
}
