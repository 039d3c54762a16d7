package connector_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// films is a source in memory: "7.gif" is a GIF of seven frames, each of another grey, "cut.gif" a part of one, and any
// other name is of [squares].
type films struct{ squares }

func (f films) Load(name string) ([]byte, error) {
	if name == "cut.gif" {
		b, err := f.Load("3.gif")
		return b[:len(b)/2], err
	}
	n := 0
	if _, err := fmt.Sscanf(name, "%d.gif", &n); err != nil {
		return f.squares.Load(name)
	}
	g := &gif.GIF{}
	for i := range n {
		g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, 5, 3), color.Palette{color.Gray{uint8(30 * i)}}))
		g.Delay = append(g.Delay, 1)
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, g)
	return b.Bytes(), err
}

// watcher is an assistant that takes videos, pooled in a way.
func watcher(t *testing.T, v llava.Video) *connector.Assistant {
	return assistant(t, func(c *llava.Config, _ *imaging.Processor) { c.Video = &v })
}

func film(id, question, answer string, videos, images []string) data.Sample {
	return data.Sample{ID: id, Videos: videos, Images: images,
		Turns: []chat.Turn{{From: chat.Human, Value: question}, {From: chat.GPT, Value: answer}}}
}

// Samples with text, images and videos share a batch, whatever the pooling; each sees the frames that a question about
// the same video shows, in the same places.
func TestBatchesOfVideos(t *testing.T) {
	set := data.Memory{film("a", "<video>\nWhat moves?", "A cat.", []string{"7.gif"}, nil),
		about("b", "30x20", "What?", "A dog."), about("c", "", "Who?", "Me."), film("d", "<image>\nAnd now?", "Nothing.", []string{"2.gif"}, nil)}
	for _, v := range []llava.Video{{Pool: "average", Stride: 2, Newline: "no_token"}, {Newline: "no_token"},
		{Pool: "max", Stride: 2, Early: true, Newline: "no_token"}, {Pool: "bilinear", Stride: 3, Newline: "no_token"},
		{Pool: "conv", Stride: 2, Early: true, Newline: "no_token"}} {
		a := watcher(t, v)
		for frames, want := range map[int][2]int{1: {1, 1}, 3: {3, 2}, 0: {7, 2}} {
			b, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 4, Frames: frames})
			require.NoError(t, err)
			x, err := b.Batch(t.Context(), 0)
			require.NoError(t, err)
			require.NoError(t, a.Model.Check(x))
			require.Equal(t, []int{1, 1, 0, 1}, x.Pictures)
			require.Equal(t, []int{want[0], 0, want[1]}, []int{x.Media[0].Frames, x.Media[1].Frames, x.Media[2].Frames})
			require.Equal(t, want[0]+1+want[1], x.Pixels.Dim(0))
			_, T := x.IDs.Dims2()
			for row, n := range []int{v.Tokens(want[0], 16), 16, 0, v.Tokens(want[1], 16)} {
				require.Equal(t, n, count(x.IDs.IntData()[row*T:(row+1)*T], chat.ImageIndex), "%+v row %d", v, row)
			}
			require.NotZero(t, a.Model.Loss(x).Item())
			require.True(t, x.Reaches("vision_resampler.pool.weight"))

			frames, err := data.LoadVideo(t.Context(), films{}, "7.gif", max(want[0], 1), imaging.Options{})
			require.NoError(t, err)
			shown, err := a.Video(frames)
			require.NoError(t, err)
			require.Equal(t, shown.Pixels.Data, x.Pixels.Data()[:len(shown.Pixels.Data)])
			asked, err := a.PromptIDs([]chat.Turn{{From: chat.Human, Value: "<image>\nWhat moves?"}}, true)
			require.NoError(t, err)
			p, err := a.Model.Splice([]connector.Sample{{IDs: asked, Images: []connector.Image{shown}}}, false)
			require.NoError(t, err)
			n := p.IDs.Dim(1)
			require.Equal(t, p.IDs.IntData(), x.IDs.IntData()[:n], "what was trained is what is asked")
			require.Equal(t, int32(tensor.IgnoreIndex), x.Labels.IntData()[n-1])
		}
	}
	a := watcher(t, llava.Video{Pool: "conv", Stride: 2, Early: true, Newline: "no_token"})
	b, err := a.Batches(set[1:3], films{}, connector.BatchOptions{Batch: 2})
	require.NoError(t, err)
	x, err := b.Batch(t.Context(), 0)
	require.NoError(t, err)
	require.False(t, x.Reaches("vision_resampler.pool.weight"))
	require.True(t, x.Reaches("multi_modal_projector.linear_1.weight"))
}

// Images and videos of one sample stand where its marks do.
func TestBatchesInOrder(t *testing.T) {
	a := watcher(t, llava.Video{Pool: "average", Stride: 2, Newline: "no_token"})
	a.Template.Several = true
	set := data.Memory{film("a", "First <image>, then <video>, then <image>: what?", "A cat.", []string{"3.gif"},
		[]string{"30x20", "9x17"})}
	b, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 1})
	require.NoError(t, err)
	x, err := b.Batch(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []connector.Media{{Size: imaging.Size{W: 30, H: 20}, Several: true},
		{Size: imaging.Size{W: 5, H: 3}, Frames: 3}, {Size: imaging.Size{W: 9, H: 17}, Several: true}}, x.Media)
	require.NotZero(t, a.Model.Loss(x).Item())
}

// The cache gives the numbers that the encoder gives, for as many frames as it was made of.
func TestBatchesOfCachedVideos(t *testing.T) {
	a := watcher(t, llava.Video{Pool: "average", Stride: 2, Newline: "no_token"})
	set := data.Memory{film("a", "<video>\nWhat moves?", "A cat.", []string{"7.gif"}, nil),
		about("b", "30x20", "What?", "A dog.")}
	cache, err := data.OpenFeatures(filepath.Join(t.TempDir(), "f"), data.FeatureKey{Encoder: "e", Preprocessing: "p"})
	require.NoError(t, err)
	defer cache.Close()
	plain, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 2, Frames: 3})
	require.NoError(t, err)
	x, err := plain.Batch(t.Context(), 0)
	require.NoError(t, err)
	all := a.Model.Features(x.Pixels, x.Media)
	w := cache.Shard(0)
	key, err := data.VideoKey(t.Context(), films{}, "7.gif", 3)
	require.NoError(t, err)
	require.NoError(t, w.Add(key, all.Slice(0, 0, 3)))
	key, _, err = data.ImageKey(films{}, "30x20", imaging.Options{})
	require.NoError(t, err)
	require.NoError(t, w.Add(key, all.Slice(0, 3, 4)))
	require.NoError(t, w.Commit())
	cached, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 2, Frames: 3, Features: cache})
	require.NoError(t, err)
	y, err := cached.Batch(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, x.IDs.IntData(), y.IDs.IntData())
	require.InDelta(t, a.Model.Loss(x).Item(), a.Model.Loss(y).Item(), 1e-2)
	other, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 2, Frames: 4, Features: cache})
	require.NoError(t, err)
	_, err = other.Batch(t.Context(), 0)
	require.ErrorContains(t, err, "not in the feature cache")
}

// A video that cannot be shown is the fault of its record.
func TestVideoFaults(t *testing.T) {
	a := watcher(t, llava.Video{Newline: "no_token"})
	for _, c := range []struct{ file, question, want string }{
		{"none.gif", "<video>", `record 1 (x): "none.gif": file_missing: video: no such square`},
		{"cut.gif", "<video>", `"cut.gif": image_truncated: video: frame `},
		{"8.gif", "<video>", "MaxLength 240 cuts a video off; show fewer than 8 frames of a video"},
		{"8.gif", "What?", "record 1 (x): image_token_missing: the video has no <video> and no <image>"},
	} {
		s := film("x", c.question, "A.", []string{c.file}, nil)
		set := data.Memory{about("c", "", "Who?", "Me."), s}
		b, err := a.Batches(set, films{}, connector.BatchOptions{Batch: 2, MaxLength: 240})
		require.NoError(t, err)
		_, err = b.Batch(t.Context(), 0)
		require.ErrorContains(t, err, c.want)
		b, err = a.Batches(set, films{}, connector.BatchOptions{Batch: 2, MaxLength: 240, Skip: true})
		require.NoError(t, err)
		x, err := b.Batch(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []string{"c"}, x.Names)
		require.Equal(t, 1, b.Report().Skipped)
	}
	for _, frames := range []int{-1, 4097} {
		_, err := a.Batches(data.Memory{}, films{}, connector.BatchOptions{Batch: 1, Frames: frames})
		require.ErrorContains(t, err, fmt.Sprintf("Frames is %d: 1 to 4096", frames))
	}
}
