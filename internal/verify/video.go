package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// media checks models that take videos, or several images a sample.
func media(r *Report, m *connector.VLM) {
	c, ok := m.Connector.(connector.MediaConnector)
	if !ok {
		failf("%s: the model takes no videos or several images", r.Checkpoint)
	}
	in := mediaBatch(r, m, c, "in.")
	check(m.Check(in))
	tokens := m.Tokens(in)
	var rows [2][]*tensor.Tensor // of images, of videos
	at := 0
	for _, x := range in.Media {
		n := must(c.MediaLayout(x)).Tokens
		rows[min(x.Frames, 1)] = append(rows[min(x.Frames, 1)], tokens.Slice(0, at, at+n))
		at += n
	}
	for i, name := range []string{"image_features", "video_features"} {
		if len(rows[i]) > 0 {
			r.output(name, tensor.Concat(0, rows[i]...))
		}
	}
	r.masked("logits", llm.Logits(m.Language, m.Hidden(in)), in.Mask)
	loss := m.Loss(in)
	r.loss("loss", loss)
	r.backward(loss, m, canonical)
	r.generations(false, func(o llm.Options) (llm.Generated, error) {
		return m.Generate(context.Background(), mediaBatch(r, m, c, "in.gen."), o)
	})
}

// mediaBatch reads a batch in which every token of an image or a video has its place, and its media, which are those of
// the main batch, in the order of their places.
func mediaBatch(r *Report, m *connector.VLM, c connector.MediaConnector, prefix string) connector.Batch {
	var images pictures
	var several []bool // of each image
	if r.has("in.pixel_values") {
		for _, hw := range sizes(r, "in.") {
			if len(r.Views) < r.tensor("in.pixel_values").Dim(0) {
				r.Views = append(r.Views, must(c.MediaLayout(connector.Media{Size: hw})).Views)
			}
		}
		images = readPictures(r, "in.")
	}
	if r.has("in.batch_num_images") {
		images.views = slices.Clone(images.views)
		for _, n := range r.ints("in.batch_num_images") {
			several = append(several, slices.Repeat([]bool{n > 1}, int(max(n, 0)))...)
		}
		for i, s := range several { // pixel_values brings tiles that are not shown
			if s && i < len(images.views) {
				images.pixels, images.views[i] = withoutTiles(images.pixels, images.views, i), 1
			}
		}
	}
	b := llavaBatch(r, prefix, images)
	b.Pixels, b.Sizes, b.Pictures = nil, nil, nil
	videos := r.maybe("in.pixel_values_videos") // [videos, frames, 3, S, S]
	if videos != nil && videos.Rank() != 5 {
		failf("pixel_values_videos is not [videos, frames, 3, S, S]")
	}
	T := b.IDs.Dim(1)
	square := imaging.Size{W: m.Vision.Config().ImageSize, H: m.Vision.Config().ImageSize}
	image, view, video := 0, 0, 0
	var views []*tensor.Tensor
	for i, ids := 0, b.IDs.IntData(); i < len(ids); {
		if i%T == 0 {
			b.Pictures = append(b.Pictures, 0)
		}
		x := connector.Media{Size: square}
		switch id := ids[i]; {
		case b.Mask[i] == 0:
			i++
			continue
		case r.Video != nil && id == *r.Video:
			if videos == nil || video == videos.Dim(0) {
				failf("%sinput_ids: more places than videos", prefix)
			}
			v := videos.Slice(0, video, video+1)
			x.Frames = v.Dim(1)
			views = append(views, v.Reshape(v.Shape()[1:]...))
			video++
		case id == chat.ImageIndex:
			if image == len(images.views) {
				failf("%sinput_ids: more places than images", prefix)
			}
			x.Several = image < len(several) && several[image]
			if images.sizes != nil {
				x.Size = images.sizes[image]
			}
			views = append(views, images.pixels.Slice(0, view, view+images.views[image]))
			view, image = view+images.views[image], image+1
		default:
			i++
			continue
		}
		n := must(c.MediaLayout(x)).Tokens
		if i/T != (i+n-1)/T {
			failf("%sinput_ids: row %d has no room for media of %d tokens", prefix, i/T, n)
		}
		for j := range n {
			ids[i+j] = chat.ImageIndex
		}
		b.Media = append(b.Media, x)
		b.Pictures[i/T]++
		i += n
	}
	if len(views) > 0 {
		b.Pixels = tensor.Concat(0, views...)
	}
	return b
}

// withoutTiles leaves out the views of image i but the first.
func withoutTiles(pixels *tensor.Tensor, views []int, i int) *tensor.Tensor {
	at := 0
	for _, n := range views[:i] {
		at += n
	}
	return tensor.Concat(0, pixels.Slice(0, 0, at+1), pixels.Slice(0, at+views[i], pixels.Dim(0)))
}

// videoPooling checks how frames become fewer tokens, and where newlines go.
func videoPooling(r *Report, c struct {
	Pooling []struct {
		Side, Stride, Frames int
		Tokens               map[string]int
	}
}) {
	for i, p := range c.Pooling {
		x, newline := r.tensor(fmt.Sprintf("in.%d.features", i)), r.tensor(fmt.Sprintf("in.%d.image_newline", i))
		tokens := func(name string, got, want int) {
			r.add(count(fmt.Sprintf("%d.%s: tokens", i, name), got, want))
		}
		for _, mode := range []string{"average", "max", "bilinear"} {
			v := llava.Video{Pool: mode, Stride: p.Stride, Newline: "no_token"}
			y := v.Pooled(x)
			r.output(fmt.Sprintf("%d.%s", i, mode), y)
			tokens(mode, y.Dim(-2), p.Tokens[mode])
		}
		for _, at := range []string{"grid", "frame", "one_token", "no_token"} {
			v := llava.Video{Pool: "bilinear", Stride: p.Stride, Newline: at}
			y := v.Lines(v.Pooled(x), newline)
			r.output(fmt.Sprintf("%d.newline.%s", i, at), y)
			tokens(at, y.Dim(-2), p.Tokens[at])
			tokens(at+", computed", v.Tokens(p.Frames, p.Side*p.Side), p.Tokens[at])
		}
	}
}
