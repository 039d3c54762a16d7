package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
)

// BatchOptions say how a data set becomes batches.
type BatchOptions struct {
	Batch     int        // samples in a batch; the last of an epoch may have fewer
	Order     data.Order // of the samples in each epoch; nil: that of the set
	MaxLength int        // positions that are kept of a sample, its images' included; 0: the model's limit
	Frames    int        // of a video that the model sees, as [Assistant.AskVideo] samples them; 0: 8
	// the frozen encoder's output for every image and video, by its data.ImageKey or data.VideoKey; nil: they are
	// decoded and encoded in each step
	Features *data.Features
	Orient   bool // turn images by their EXIF orientation, which LLaVA does not
	Skip     bool // leave faulty samples out and count them; else the first one is an error
}

// mostFrames is what imaging samples of a video at most.
const mostFrames = 1 << 12

// Batches makes training batches of a data set. It is safe for concurrent use.
type Batches struct {
	assistant *Assistant
	images    data.Source
	options   BatchOptions
	loader    *data.Loader[row]
}

// Batches makes training batches of a set whose images and videos are in a source (nil: it has none). Tokenizer,
// template, marks, image processor, the layout of images and of frames and padding are the assistant's, so that the
// model is trained on what [Assistant.Reply] and [Assistant.AskVideo] will show it. A sample with a video is a fault
// where the model takes none. It returns an error if the processor's images do not fit the model.
//
//	b, err := a.Batches(set, images, connector.BatchOptions{Batch: 16, Order: data.Shuffled(set.Len(), seed)})
//	stage := train.Stage[connector.Batch]{Batches: train.Prefetch(b.Batch, 4), Length: b.Len(), …}
func (a *Assistant) Batches(set data.Set, images data.Source, o BatchOptions) (*Batches, error) {
	if o.MaxLength == 0 {
		o.MaxLength = a.Model.config.MaxLength
	}
	if o.MaxLength < 0 {
		return nil, fmt.Errorf("batches: MaxLength is %d", o.MaxLength)
	}
	if o.Frames = cmp.Or(o.Frames, 8); o.Frames < 1 || o.Frames > mostFrames {
		return nil, fmt.Errorf("batches: Frames is %d: 1 to %d are possible", o.Frames, mostFrames)
	}
	if images != nil && o.Features == nil {
		x, err := a.image(imaging.New(48, 32))
		if err == nil {
			_, err = a.Model.layout(x)
		}
		if err != nil {
			return nil, fmt.Errorf("batches: the image processor does not fit the model: %w", err)
		}
	}
	if a.Leading {
		return nil, errLeading
	}
	b := &Batches{assistant: a, images: images, options: o}
	var err error
	b.loader, err = data.NewLoader(set, data.LoaderConfig[row]{Batch: o.Batch, Order: o.Order, Skip: o.Skip,
		Prepare: b.prepare})
	return b, err
}

// Len is the number of batches in an epoch.
func (b *Batches) Len() int { return b.loader.Len() }

// Report counts the samples so far, and those that were left out.
func (b *Batches) Report() data.Report { return b.loader.Report() }

// Batch makes batch n, counted from 0 through all epochs; it depends on n alone. An error of a sample is a
// *[data.Fault]. With Skip, a batch whose samples are all faulty is an error.
func (b *Batches) Batch(ctx context.Context, n int) (Batch, error) {
	rows, err := b.loader.Batch(ctx, n)
	if err != nil {
		return Batch{}, err
	}
	if len(rows) == 0 {
		return Batch{}, fmt.Errorf("every sample of batch %d is faulty: `gollava data check` lists why", n)
	}
	return b.assistant.Model.join(rows, false)
}

// prepare tokenizes a sample, with its labels, and reads its images and videos.
func (b *Batches) prepare(ctx context.Context, s data.Sample) (row, error) {
	a := b.assistant
	shown := s.Visuals()
	x, err := a.learnt(s.ID, s.Places(), len(shown) > 0)
	if err != nil {
		return row{}, err
	}
	for _, v := range shown {
		var m Image
		if v.Video {
			m, err = b.video(ctx, v.Name)
		} else {
			m, err = b.image(v.Name)
		}
		if err != nil {
			f := data.AsFault(err, data.FileUnreadable)
			f.Image = v.Name
			return row{}, f
		}
		x.Images = append(x.Images, m)
	}
	r, err := a.Model.row(x, b.options.MaxLength)
	if f := (*data.Fault)(nil); errors.As(err, &f) && f.Kind == data.ImageCutOff && len(s.Videos) > 0 {
		f.Note += fmt.Sprintf("; show fewer than %d frames of a video", b.options.Frames)
	}
	if err == nil && r.supervised == 0 {
		err = data.NewFault(data.NothingToLearn, "no label among %d positions (MaxLength %d)", len(r.ids),
			b.options.MaxLength)
	}
	return r, err
}

// video reads the frames of a video, or their features from the cache.
func (b *Batches) video(ctx context.Context, name string) (Image, error) {
	a, o := b.assistant, imaging.Options{Orient: b.options.Orient}
	if _, err := a.Model.Layout(Media{Size: imaging.Size{W: 1, H: 1}, Frames: 1}); err != nil {
		return Image{}, data.NewFault(data.VideoUnsupported, "%v", err)
	}
	if b.options.Features == nil {
		frames, err := data.LoadVideo(ctx, b.images, name, b.options.Frames, o)
		if err != nil {
			return Image{}, err
		}
		return a.Video(frames)
	}
	key, err := data.VideoKey(ctx, b.images, name, b.options.Frames)
	if err != nil {
		return Image{}, err
	}
	x, err := b.options.Features.Load(key)
	switch {
	case err != nil:
		return Image{}, err
	case x.Rank() != 3:
		return Image{}, fmt.Errorf("features %v in the cache; [frames, patches, width] are needed", x.Shape())
	}
	return Image{Features: x, Frames: x.Dim(0)}, nil // how many tokens they are does not depend on their size
}

// image reads an image, or its features from the cache.
func (b *Batches) image(name string) (Image, error) {
	if b.assistant.Model.Vision == nil {
		return Image{}, errTextOnly
	}
	o := imaging.Options{Orient: b.options.Orient}
	if b.options.Features == nil {
		m, err := data.LoadImage(b.images, name, o)
		if err != nil {
			return Image{}, err
		}
		return b.assistant.image(m)
	}
	key, size, err := data.ImageKey(b.images, name, o)
	if err != nil {
		return Image{}, err
	}
	x, err := b.options.Features.Load(key)
	return Image{Size: size, Features: x}, err
}

// image prepares an image for the encoder.
func (a *Assistant) image(m *imaging.RGB) (Image, error) {
	if a.Processor == nil {
		return Image{}, errTextOnly
	}
	p, err := a.Processor.Process(m)
	return Image{Size: imaging.Size{W: m.W, H: m.H}, Pixels: p}, err
}
