package data

import (
	"crypto/sha256"
	"fmt"

	"github.com/gollava/gollava/data/imaging"
)

// LoadImage decodes an image of a source. Zero limits are [DefaultLimits]. Its error is a *Fault that names the image;
// a nil source has none.
func LoadImage(s Source, name string, o imaging.Options) (*imaging.RGB, error) {
	b, f := load(s, name)
	if f != nil {
		return nil, f
	}
	m, err := imaging.Decode(b, limited(o))
	if err != nil {
		return nil, imageFault(err, name)
	}
	return m, nil
}

// ImageSize is the size of what [LoadImage] returns, from the image's header alone.
func ImageSize(s Source, name string, o imaging.Options) (imaging.Size, error) {
	b, f := load(s, name)
	if f != nil {
		return imaging.Size{}, f
	}
	return sizeOf(b, name, o)
}

func sizeOf(b []byte, name string, o imaging.Options) (imaging.Size, error) {
	h, err := imaging.Header(b, limited(o).Limits)
	if err != nil {
		return imaging.Size{}, imageFault(err, name)
	}
	if o.Orient && h.Orientation > 4 {
		return imaging.Size{W: h.H, H: h.W}, nil
	}
	return imaging.Size{W: h.W, H: h.H}, nil
}

// ImageKey identifies an image by its name and its content, name@digest: the name under which [Features] keep what an
// encoder made of it. It is another once a byte of the file changes. It also returns [ImageSize].
func ImageKey(s Source, name string, o imaging.Options) (key string, size imaging.Size, err error) {
	b, f := load(s, name)
	if f != nil {
		return "", imaging.Size{}, f
	}
	size, err = sizeOf(b, name, o)
	return fmt.Sprintf("%s@%.16x", name, sha256.Sum256(b)), size, err
}

func load(s Source, name string) ([]byte, *Fault) {
	if s == nil {
		return nil, imageFault(NewFault(FileMissing, "no folder, zip or tar of images is given (images)"), name)
	}
	b, err := s.Load(name)
	if err != nil {
		return nil, imageFault(err, name)
	}
	return b, nil
}

func limited(o imaging.Options) imaging.Options {
	if o.Limits == (imaging.Limits{}) {
		o.Limits = DefaultLimits()
	}
	return o
}

func imageFault(err error, name string) *Fault {
	f := AsFault(err, FileUnreadable)
	f.File, f.Image = "", name
	return f
}
