package visioncase

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Media checks the tasks llava_next_video, llava_onevision, vipllava and video_llava: models that take videos, or
// several images a sample.
func Media(dir string) ([]verify.Row, error) { return each(dir, media) }

func media(k *check) error {
	m, err := k.load()
	if err != nil {
		return err
	}
	if _, ok := m.Connector.(connector.MediaConnector); !ok {
		return fmt.Errorf("%s: the model takes no videos or several images", k.dir)
	}
	in, err := k.batchOf(m, "in.")
	if err != nil {
		return err
	}
	if err := m.Check(in); err != nil {
		return err
	}
	tokens := m.Tokens(in)
	var rows [2][]*tensor.Tensor // of images, of videos
	at := 0
	for _, x := range in.Media {
		l, err := m.Connector.(connector.MediaConnector).MediaLayout(x)
		if err != nil {
			return err
		}
		rows[min(x.Frames, 1)] = append(rows[min(x.Frames, 1)], tokens.Slice(0, at, at+l.Tokens))
		at += l.Tokens
	}
	for i, name := range []string{"image_features", "video_features"} {
		if len(rows[i]) > 0 {
			k.Output(name, tensor.Concat(0, rows[i]...))
		}
	}
	k.Masked("logits", llm.Logits(m.Language, m.Hidden(in)), in.Mask)
	loss := m.Loss(in)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, canonical)
	for _, name := range verify.Sorted(k.Generation) {
		b, err := k.batchOf(m, "in.gen.")
		if err != nil {
			return err
		}
		if err := k.continued(m, name, b); err != nil {
			return err
		}
	}
	return nil
}

// batchOf reads a batch in which every token of an image or a video has its place, and its media, which are those of
// the main batch, in the order of their places.
func (k *check) batchOf(m *connector.VLM, prefix string) (b connector.Batch, err error) {
	var images pictures
	var several []bool // of each image
	if k.Has("in.pixel_values") {
		for _, hw := range k.sizes("in.") {
			if len(k.Views) < k.Tensor("in.pixel_values").Dim(0) {
				l, err := m.Connector.(connector.MediaConnector).MediaLayout(connector.Media{Size: hw})
				if err != nil {
					return b, err
				}
				k.Views = append(k.Views, l.Views)
			}
		}
		if images, err = k.pictures("in."); err != nil {
			return b, err
		}
	}
	if k.Has("in.batch_num_images") {
		for _, n := range k.Ints("in.batch_num_images") {
			several = append(several, slices.Repeat([]bool{n > 1}, int(n))...)
		}
		for i, s := range several { // pixel_values brings tiles that are not shown
			if s && i < len(images.views) {
				images.pixels, images.views[i] = withoutTiles(images.pixels, images.views, i), 1
			}
		}
	}
	if b, err = k.batch(prefix, images); err != nil {
		return b, err
	}
	b.Pixels, b.Sizes, b.Pictures = nil, nil, nil
	var videos *tensor.Tensor // [videos, frames, 3, S, S]
	if k.Has("in.pixel_values_videos") {
		if videos = k.Tensor("in.pixel_values_videos"); k.Err != nil || videos.Rank() != 5 {
			return b, fmt.Errorf("pixel_values_videos is not [videos, frames, 3, S, S]: %w", k.Err)
		}
	}
	_, T := b.IDs.Dims2()
	S := m.Vision.Config().ImageSize
	image, view, video := 0, 0, 0
	var views []*tensor.Tensor
	for i, ids := 0, b.IDs.IntData(); i < len(ids); {
		if i%T == 0 {
			b.Pictures = append(b.Pictures, 0)
		}
		var x connector.Media
		switch id := ids[i]; {
		case b.Mask[i] == 0:
			i++
			continue
		case k.Video != nil && id == *k.Video:
			if videos == nil || video == videos.Dim(0) {
				return b, fmt.Errorf("%sinput_ids: more places than videos", prefix)
			}
			v := videos.Slice(0, video, video+1)
			x = connector.Media{Size: imaging.Size{W: S, H: S}, Frames: v.Dim(1)}
			views = append(views, v.Reshape(v.Shape()[1:]...))
			video++
		case id == chat.ImageIndex:
			if image == len(images.views) {
				return b, fmt.Errorf("%sinput_ids: more places than images", prefix)
			}
			x = connector.Media{Size: imaging.Size{W: S, H: S}, Several: image < len(several) && several[image]}
			if images.sizes != nil {
				x.Size = images.sizes[image]
			}
			views = append(views, images.pixels.Slice(0, view, view+images.views[image]))
			view, image = view+images.views[image], image+1
		default:
			i++
			continue
		}
		l, err := m.Connector.(connector.MediaConnector).MediaLayout(x)
		if err != nil {
			return b, err
		}
		if i/T != (i+l.Tokens-1)/T {
			return b, fmt.Errorf("%sinput_ids: row %d has no room for media of %d tokens", prefix, i/T, l.Tokens)
		}
		for j := range l.Tokens {
			ids[i+j] = chat.ImageIndex
		}
		b.Media = append(b.Media, x)
		b.Pictures[i/T]++
		i += l.Tokens
	}
	if len(views) > 0 {
		b.Pixels = tensor.Concat(0, views...)
	}
	return b, nil
}

// withoutTiles leaves out the views of image i but the first.
func withoutTiles(pixels *tensor.Tensor, views []int, i int) *tensor.Tensor {
	at := 0
	for _, n := range views[:i] {
		at += n
	}
	return tensor.Concat(0, pixels.Slice(0, 0, at+1), pixels.Slice(0, at+views[i], pixels.Dim(0)))
}

// pooling is a case of task video_pooling.
type pooling struct {
	Side, Stride, Frames int
	Tokens               map[string]int
}

// VideoPooling checks the task video_pooling: how frames become fewer tokens, and where newlines go.
func VideoPooling(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		for i, p := range c.Pooling {
			x, newline := r.Tensor(fmt.Sprintf("in.%d.features", i)), r.Tensor(fmt.Sprintf("in.%d.image_newline", i))
			if r.Err != nil {
				return r.Err
			}
			count := func(name string, got *tensor.Tensor, want int) {
				row := verify.Row{What: fmt.Sprintf("%d.%s: tokens", i, name), Pass: got.Dim(-2) == want,
					Detail: fmt.Sprintf("%d tokens", got.Dim(-2))}
				if !row.Pass {
					row.MaxAbs, row.Detail = 1, fmt.Sprintf("%d tokens instead of %d", got.Dim(-2), want)
				}
				r.Add(row)
			}
			for _, mode := range []string{"average", "max", "bilinear"} {
				v := llava.Video{Pool: mode, Stride: p.Stride, Newline: "no_token"}
				y := v.Pooled(x)
				r.Output(fmt.Sprintf("%d.%s", i, mode), y)
				count(mode, y, p.Tokens[mode])
			}
			for _, at := range []string{"grid", "frame", "one_token", "no_token"} {
				v := llava.Video{Pool: "bilinear", Stride: p.Stride, Newline: at}
				y := v.Lines(v.Pooled(x), newline)
				r.Output(fmt.Sprintf("%d.newline.%s", i, at), y)
				count(at, y, p.Tokens[at])
				count(at+", computed", tensor.Meta(tensor.Float32, v.Tokens(p.Frames, p.Side*p.Side), 1), p.Tokens[at])
			}
		}
		return nil
	})
}
