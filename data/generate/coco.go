package generate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// Set is the pictures of a source, in its order.
type Set struct {
	Scenes     []*Scene
	Categories []string // names of objects that the source knows, sorted
	Faults     SourceFaults
}

// cocoImage is a picture of COCO's files.
type cocoImage struct {
	ID     int64   `json:"id"`
	File   string  `json:"file_name"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// cocoAnnotation is an annotation of either file. Segmentations are passed over.
type cocoAnnotation struct {
	ID       int64           `json:"id"`
	Image    int64           `json:"image_id"`
	Category int64           `json:"category_id"`
	BBox     json.RawMessage `json:"bbox"`
	Crowd    int             `json:"iscrowd"`
	Caption  *string         `json:"caption"`
}

// OpenCOCO reads COCO's captions_*.json and instances_*.json; pictures are in the order of the captions file. images
// is the folder of the pictures; empty: nobody looks whether they are there. instances may be empty: then only
// conversations can be written. What is wrong with annotations is counted in the set's faults; files that are not
// COCO's are an error.
func OpenCOCO(captions, instances, images string) (*Set, error) {
	set := &Set{}
	byID := map[int64]*Scene{}
	err := jsonrecord.Each(captions, "images", func(r jsonrecord.Record) error {
		m, err := jsonrecord.Decode[cocoImage](r)
		if err != nil {
			return err
		}
		if m.File == "" || !filepath.IsLocal(m.File) {
			return fmt.Errorf(
				"%s: picture %d: file_name %q names no file in a folder of pictures",
				r.At(),
				m.ID,
				m.File,
			)
		}
		if byID[m.ID] != nil {
			set.Faults.add(ImageTwice, r.At(), m.ID, m.File)
			return nil
		}
		s := &Scene{ID: m.ID, Image: m.File, Width: m.Width, Height: m.Height, At: r.At()}
		if !(m.Width > 0 && m.Height > 0) {
			set.Faults.add(SizeBroken, r.At(), m.ID, fmt.Sprintf("%v × %v", m.Width, m.Height))
		}
		byID[m.ID], set.Scenes = s, append(set.Scenes, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	type caption struct {
		id, image int64
		text      string
	}
	var texts []caption
	seen := map[int64]bool{}
	err = jsonrecord.Each(captions, "annotations", func(r jsonrecord.Record) error {
		a, err := jsonrecord.Decode[cocoAnnotation](r)
		switch {
		case err != nil:
			return err
		case a.Caption == nil:
			return fmt.Errorf("%s: annotation %d has no caption: is this a file of captions?", r.At(), a.ID)
		case seen[a.ID]:
			set.Faults.add(AnnotationTwice, r.At(), a.Image, fmt.Sprint("annotation ", a.ID))
		case byID[a.Image] == nil:
			set.Faults.add(ImageUnknown, r.At(), a.Image, fmt.Sprint("annotation ", a.ID))
		default:
			texts = append(texts, caption{a.ID, a.Image, *a.Caption})
		}
		seen[a.ID] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(texts, func(a, b caption) int { return cmp.Compare(a.id, b.id) })
	for _, t := range texts {
		s := byID[t.image]
		s.Captions = append(s.Captions, t.text)
	}
	if instances != "" {
		if err := set.boxes(instances, byID); err != nil {
			return nil, err
		}
	}
	set.look(images)
	return set, nil
}

// boxes reads COCO's instances.
func (set *Set) boxes(path string, byID map[int64]*Scene) error {
	names := map[int64]string{}
	err := jsonrecord.Each(path, "categories", func(r jsonrecord.Record) error {
		c, err := jsonrecord.Decode[struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		}](r)
		names[c.ID] = c.Name
		set.Categories = append(set.Categories, c.Name)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(set.Categories)
	type box struct {
		id, image int64
		Box
	}
	var all []box
	seen := map[int64]bool{}
	err = jsonrecord.Each(path, "annotations", func(r jsonrecord.Record) error {
		a, err := jsonrecord.Decode[cocoAnnotation](r)
		if err != nil {
			return err
		}
		if a.BBox == nil {
			return fmt.Errorf("%s: annotation %d has no bbox: is this a file of instances?", r.At(), a.ID)
		}
		note := fmt.Sprint("annotation ", a.ID)
		s, name := byID[a.Image], names[a.Category]
		var b []float64
		switch broken := json.Unmarshal(a.BBox, &b) != nil || len(b) != 4; {
		case seen[a.ID]:
			set.Faults.add(AnnotationTwice, r.At(), a.Image, note)
		case s == nil:
			set.Faults.add(ImageUnknown, r.At(), a.Image, note)
		case name == "":
			set.Faults.add(CategoryUnknown, r.At(), a.Image, fmt.Sprintf("%s, category %d", note, a.Category))
		case a.Crowd != 0:
			set.Faults.add(CrowdRegion, r.At(), a.Image, note)
		case broken:
			set.Faults.add(BoxBroken, r.At(), a.Image, fmt.Sprintf("%s: %.60s", note, a.BBox))
		default:
			all = append(all, box{a.ID, a.Image, Box{name, [4]float64(b)}})
			set.check(s, all[len(all)-1].Box, r.At(), note)
		}
		seen[a.ID] = true
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b box) int { return cmp.Compare(a.id, b.id) })
	for _, b := range all {
		byID[b.image].Boxes = append(byID[b.image].Boxes, b.Box)
	}
	return nil
}

// check notes a box that is cut, or dropped when the context is written.
func (set *Set) check(s *Scene, b Box, at, note string) {
	if _, ok := s.Inside(b); !ok {
		set.Faults.add(BoxOutside, at, s.ID, fmt.Sprintf("%s: %v in %v × %v", note, b.BBox, s.Width, s.Height))
	} else if b.BBox[0] < 0 || b.BBox[1] < 0 || b.BBox[0]+b.BBox[2] > s.Width || b.BBox[1]+b.BBox[3] > s.Height {
		set.Faults.add(BoxCut, at, s.ID, fmt.Sprintf("%s: %v in %v × %v", note, b.BBox, s.Width, s.Height))
	}
}

// look checks what each picture can be asked about.
func (set *Set) look(images string) {
	for _, s := range set.Scenes {
		lines := s.Lines()
		blank := 0
		for _, c := range s.Captions {
			if len(trim(c)) == 0 {
				blank++
				set.Faults.add(CaptionBlank, s.At, s.ID, "")
			}
		}
		for range len(s.Captions) - blank - len(lines) {
			set.Faults.add(CaptionTwice, s.At, s.ID, "")
		}
		if len(lines) == 0 {
			set.Faults.add(NoCaptions, s.At, s.ID, s.Image)
		} else if len(s.BoxLines()) == 0 {
			set.Faults.add(NoBoxes, s.At, s.ID, s.Image)
		}
		if images == "" {
			continue
		}
		if info, err := os.Stat(filepath.Join(images, filepath.FromSlash(s.Image))); err != nil || info.IsDir() {
			s.Missing = true
			set.Faults.add(FileMissing, s.At, s.ID, filepath.Join(images, s.Image))
		}
	}
}

// sceneRecord is a line of a file of scenes.
type sceneRecord struct {
	ID       *int64        `json:"id"`
	Image    string        `json:"image"`
	Width    float64       `json:"width"`
	Height   float64       `json:"height"`
	Captions []string      `json:"captions"`
	Boxes    []sceneRegion `json:"boxes"`
}

// sceneRegion is a box of such a line: in pixels as COCO has it, or as left, top, right, bottom in shares of width
// and height.
type sceneRegion struct {
	Name string      `json:"name"`
	BBox *[4]float64 `json:"bbox"`
	Box  *[4]float64 `json:"box"`
}

// OpenRecords reads a file of records {"image", "captions", "boxes"}, one a line or in an array: boxes are {"name",
// "bbox"} in pixels, with the picture's "width" and "height"; or {"name", "box"} with [left, top, right, bottom] in
// shares of them. "id" is the number of the record unless it is given.
func OpenRecords(path, images string) (*Set, error) {
	set := &Set{}
	byID := map[int64]bool{}
	names := map[string]bool{}
	n := int64(0)
	err := jsonrecord.EachRow(path, func(r jsonrecord.Record) error {
		v, err := jsonrecord.Decode[sceneRecord](r)
		if err != nil {
			return err
		}
		if v.Image == "" || !filepath.IsLocal(v.Image) {
			return fmt.Errorf("%s: image %q names no file in a folder of pictures", r.At(), v.Image)
		}
		s := &Scene{ID: n, Image: v.Image, Width: v.Width, Height: v.Height, Captions: v.Captions, At: r.At()}
		if n++; v.ID != nil {
			s.ID = *v.ID
		}
		if byID[s.ID] {
			set.Faults.add(ImageTwice, r.At(), s.ID, s.Image)
			return nil
		}
		byID[s.ID] = true
		if s.Width == 0 && s.Height == 0 {
			s.Width, s.Height = 1, 1
		}
		for i, b := range v.Boxes {
			note := fmt.Sprint("box ", i)
			box := Box{Name: b.Name}
			switch {
			case b.Name == "":
				set.Faults.add(CategoryUnknown, r.At(), s.ID, note)
				continue
			case b.BBox != nil:
				box.BBox = *b.BBox
			case b.Box != nil:
				x := *b.Box
				box.BBox = [4]float64{
					x[0] * s.Width,
					x[1] * s.Height,
					(x[2] - x[0]) * s.Width,
					(x[3] - x[1]) * s.Height,
				}
			default:
				set.Faults.add(BoxBroken, r.At(), s.ID, note)
				continue
			}
			if slices.ContainsFunc(box.BBox[:], math.IsNaN) {
				set.Faults.add(BoxBroken, r.At(), s.ID, note)
				continue
			}
			names[b.Name] = true
			s.Boxes = append(s.Boxes, box)
			set.check(s, box, r.At(), note)
		}
		set.Scenes = append(set.Scenes, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(set.Scenes) == 0 {
		return nil, fmt.Errorf("%s holds no records", path)
	}
	for name := range names {
		set.Categories = append(set.Categories, name)
	}
	slices.Sort(set.Categories)
	set.look(images)
	return set, nil
}
