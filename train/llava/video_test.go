package llava_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	layout "github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/vit"
)

// colours are what the videos of these tests are made of.
var colours = map[string]color.Color{"red": color.RGBA{230, 20, 20, 255}, "green": color.RGBA{20, 200, 40, 255},
	"blue": color.RGBA{30, 40, 220, 255}, "black": color.Gray{10}, "white": color.Gray{250}}

// filled is a picture of one colour.
func filled(name string) *image.Paletted {
	return image.NewPaletted(image.Rect(0, 0, 24, 20), color.Palette{colours[name]})
}

// film writes an animated GIF with a frame of each colour; into a folder, it writes a picture of each.
func film(t *testing.T, path string, frames ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	var b bytes.Buffer
	if filepath.Ext(path) == ".gif" {
		g := &gif.GIF{}
		for _, name := range frames {
			g.Image, g.Delay = append(g.Image, filled(name)), append(g.Delay, 4)
		}
		require.NoError(t, gif.EncodeAll(&b, g))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o666))
		return
	}
	require.NoError(t, os.MkdirAll(path, 0o777))
	for i, name := range frames {
		b.Reset()
		require.NoError(t, png.Encode(&b, filled(name)))
		require.NoError(t, os.WriteFile(filepath.Join(path, fmt.Sprintf("%02d.png", i)), b.Bytes(), 0o666))
	}
}

// asked is a question about a video, or about a picture or nothing, with its answer.
type asked struct{ Video, Image, Question, Answer string }

// films writes videos whose answers need the order of their frames, or the last one alone, and among them pictures and
// text: files under toy/films and toy/films.json.
func films(t *testing.T) (list []asked) {
	t.Helper()
	for _, order := range [][3]string{{"red", "green", "blue"}, {"red", "blue", "green"}, {"green", "red", "blue"},
		{"green", "blue", "red"}, {"blue", "red", "green"}, {"blue", "green", "red"}} {
		name := order[0] + "-" + order[1] + ".gif"
		film(t, filepath.Join("toy/films", name), order[:]...)
		list = append(list, asked{name, "", "what comes first?", order[0]}, asked{name, "", "what comes last?", order[2]})
	}
	for _, last := range []string{"white", "black"} { // a folder of frames, of which the seventh is the last that is shown
		film(t, filepath.Join("toy/films", last), "red", "red", "red", "red", "red", "red", last, "green")
		list = append(list, asked{last, "", "what comes last?", last})
	}
	for _, name := range []string{"red", "white"} {
		film(t, filepath.Join("toy/films", "still", name), name)
		list = append(list, asked{"", "still/" + name + "/00.png", "what colour is it?", name})
	}
	list = append(list, asked{"", "", "who are you?", "a model"})
	write(t, list)
	return list
}

// write writes the records of a list.
func write(t *testing.T, list []asked) {
	t.Helper()
	var records []map[string]any
	for i, a := range list {
		r := map[string]any{"id": fmt.Sprint(i)}
		mark := ""
		if a.Video != "" {
			r["video"], mark = a.Video, []string{"<image>\n", "<video>\n"}[i%2]
		} else if a.Image != "" {
			r["image"], mark = a.Image, "<image>\n"
		}
		r["conversations"] = []map[string]string{{"from": "human", "value": mark + a.Question},
			{"from": "gpt", "value": a.Answer}}
		records = append(records, r)
	}
	b, err := json.Marshal(records)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("toy/films.json", b, 0o666))
}

// filming is a run over [films].
func filming(stage, out string) llava.Config {
	none := 0.0
	return llava.Config{Stage: stage, Vision: "toy/vision", LLM: "toy/llm", Data: "toy/films.json",
		Images: "toy/films", Frames: 4, VideoPool: "average", Layout: "original", Out: out, Template: "v1", Batch: 17, Micro: 17, Steps: 2,
		Schedule: "constant", Warmup: &none, LR: 4e-3, GroupByLength: new(bool)}
}

// TestLearnsVideos: answers that need the order of frames, or one late frame, are learnt beside pictures and text, and
// given again when the trained folder is asked as chat asks.
func TestLearnsVideos(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	list := films(t)
	c := filming("tune", "toy/out")
	c.Steps, c.Features = 180, "toy/features"
	report, err := llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	loss := report.Stages[0].Loss
	require.Less(t, loss[len(loss)-1], 0.05)
	a, err := layout.Open("toy/out", layout.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, layout.Video{Pool: "average", Stride: 2, Newline: "no_token", Token: -200},
		*layout.ConfigOf(a.Model).Video)
	a.Options.MaxNewTokens = 12
	for _, x := range list {
		var got string
		switch {
		case x.Video != "":
			got, err = a.AskVideo(t.Context(), x.Question, filepath.Join("toy/films", x.Video), c.Frames)
		case x.Image != "":
			got, err = a.Ask(t.Context(), x.Question, filepath.Join("toy/films", x.Image))
		default:
			got, err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: x.Question}}, nil, nil)
		}
		require.NoError(t, err)
		require.Equal(t, x.Answer, got, "%+v", x)
	}
}

// TestVideoRuns: a run over videos is the same with any number of workers and after a pause, and with features from a
// cache as from one made anew; it ends where a frame has changed.
func TestVideoRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	films(t)
	projector := func(out string) []byte {
		b, err := os.ReadFile(filepath.Join(out, "mm_projector.safetensors"))
		require.NoError(t, err)
		return b
	}
	run := func(out string, edit func(*llava.Config), o train.Options) error {
		c := filming("align", out)
		c.Batch, c.Steps, c.Micro = 6, 4, 3
		if edit != nil {
			edit(&c)
		}
		_, err := llava.Train(t.Context(), c, o)
		return err
	}
	require.NoError(t, run("toy/a", nil, train.Options{}))
	for _, workers := range []int{1, 3, 7} {
		procs := runtime.GOMAXPROCS(1 + workers%2)
		out := fmt.Sprint("toy/b", workers)
		err := run(out, func(c *llava.Config) { c.Workers = workers }, train.Options{})
		runtime.GOMAXPROCS(procs)
		require.NoError(t, err)
		require.Equal(t, projector("toy/a"), projector(out))
	}
	grouped := func(c *llava.Config) { *c.GroupByLength = true }
	require.NoError(t, run("toy/grouped", grouped, train.Options{}))
	require.NotEqual(t, projector("toy/a"), projector("toy/grouped"))

	stop := train.Options{Control: &train.Control{}}
	stop.Control.Stop()
	c := filming("align", "toy/paused")
	c.Batch, c.Steps, c.Micro = 6, 4, 3
	_, err := llava.Train(t.Context(), c, stop)
	var stopped *train.Stopped
	require.ErrorAs(t, err, &stopped)
	film(t, "toy/films/red-green.gif", "blue", "green", "blue")
	_, err = llava.Train(t.Context(), c, train.Options{Resume: true})
	require.ErrorContains(t, err, "contents of images")
	film(t, "toy/films/red-green.gif", "red", "green", "blue")
	other := c
	other.Frames = 3
	_, err = llava.Train(t.Context(), other, train.Options{Resume: true})
	require.ErrorContains(t, err, "as videos are seen was")
	other = c
	other.VideoPool = "max"
	_, err = llava.Train(t.Context(), other, train.Options{Resume: true})
	require.ErrorContains(t, err, "as videos are seen was")
	_, err = llava.Train(t.Context(), c, train.Options{Resume: true})
	require.NoError(t, err)
	require.Equal(t, projector("toy/a"), projector("toy/paused"))

	// with a cache; what pools comes behind it, and other frames are kept beside those
	cached := func(c *llava.Config) { c.Features = "toy/features" }
	said := func(out string, edit func(*llava.Config)) (string, error) {
		var b bytes.Buffer
		err := run(out, func(c *llava.Config) { cached(c); edit(c) }, train.Options{Progress: &b})
		return b.String(), err
	}
	all := "computing the features of 10 pictures"
	text, err := said("toy/c", func(*llava.Config) {})
	require.NoError(t, err)
	require.Contains(t, text, all)
	text, err = said("toy/d", func(*llava.Config) {})
	require.NoError(t, err)
	require.NotContains(t, text, "computing the features")
	require.Equal(t, projector("toy/c"), projector("toy/d"))
	text, err = said("toy/e", func(c *llava.Config) { c.VideoPool = "max" })
	require.NoError(t, err)
	require.NotContains(t, text, "computing the features")
	require.NotEqual(t, projector("toy/c"), projector("toy/e"))
	text, err = said("toy/f", func(c *llava.Config) { c.Frames = 2 })
	require.NoError(t, err)
	require.Contains(t, text, "computing the features of 8 pictures")
	film(t, "toy/films/white", "red", "blue", "red", "red", "red", "red", "white", "green") // 1 is not shown
	_, err = said("toy/g", func(*llava.Config) {})
	require.NoError(t, err)
	film(t, "toy/films/white", "red", "blue", "red", "red", "red", "red", "black", "green")
	_, err = said("toy/h", func(*llava.Config) {})
	require.ErrorContains(t, err, "toy/features keeps the features of another video called white: it has changed")
	text, err = said("toy/i", func(c *llava.Config) { c.Features = "toy/other" })
	require.NoError(t, err)
	require.Contains(t, text, all)

	// the adapter's folder says how videos are seen
	require.NoError(t, run("toy/lora", func(c *llava.Config) {
		c.Stage, c.Projector, c.Template = "lora", "toy/a", ""
	}, train.Options{}))
	a, err := layout.Open("toy/lora", layout.LoadOptions{Base: "toy/llm"})
	require.NoError(t, err)
	_, err = lora.Load(a.Model, "toy/lora", layout.Namings(a.Model)...)
	require.NoError(t, err)
	a.Options.MaxNewTokens = 4
	_, err = a.AskVideo(t.Context(), "what comes first?", "toy/films/blue-red.gif", 4)
	require.NoError(t, err)
}

// TestVideoFaults: what cannot be shown or trained says so, with record and file, or is left out and counted.
func TestVideoFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	list := films(t)
	c := filming("align", "toy/out")
	require.NoError(t, os.WriteFile("toy/films/cut.gif", []byte("GIF89a\x05\x00"), 0o666))
	for _, x := range []struct{ video, cache, want string }{
		{"none.gif", "", `toy/films.json: record 17 (17): "none.gif": file_missing: video: there is no such file`},
		{"cut.gif", "", `"cut.gif": image_truncated: video: `},
		{"none.gif", "toy/f", `"none.gif": file_missing: video: `},
		{"cut.gif", "toy/f", `"cut.gif": image_truncated: video: `},
	} {
		write(t, append(list, asked{x.video, "", "what?", "red"}))
		c.Features, c.Skip, c.Out = x.cache, false, "toy/out"+x.video+filepath.Base(x.cache)
		c.Batch, c.Micro, c.Steps = 18, 18, 1
		_, err := llava.Train(t.Context(), c, train.Options{})
		require.ErrorContains(t, err, x.want)
		c.Skip, c.Out = true, c.Out+"-skip"
		var b bytes.Buffer
		_, err = llava.Train(t.Context(), c, train.Options{Progress: &b})
		require.NoError(t, err)
		require.Contains(t, b.String(), "1 skipped: 1 ")
	}
	write(t, list)
	c = filming("align", "toy/plain")
	c.VideoPool = ""
	_, err := llava.Train(t.Context(), c, train.Options{})
	require.ErrorContains(t, err, "video_unsupported: a video: a model of type llava takes images")
	for _, x := range []struct {
		edit func(*llava.Config)
		want string
	}{
		{func(c *llava.Config) { c.Frames = -1 }, "frames -1 is not between 1 and 4096"},
		{func(c *llava.Config) { c.VideoPool = "conv" }, `video_pool "conv" is not supported: average, max and bilinear`},
		{func(c *llava.Config) { c.VideoStride = 5 }, "spatial_pool_stride 5 leaves nothing of 4×4 patches"},
		{func(c *llava.Config) { c.Stage, c.Layout = "tune", "hub" }, "knows no videos: save in the original layout"},
		{func(c *llava.Config) { write(t, list[:2]); c.MaxLength, c.Batch, c.Micro = 32, 2, 2 },
			"cuts a video off; show fewer than 4 frames of a video"},
	} {
		c := filming("align", "toy/other")
		x.edit(&c)
		_, err := llava.Train(t.Context(), c, train.Options{})
		require.ErrorContains(t, err, x.want)
	}
}

// TestVideoModels: a LLaVA-NeXT-Video is trained on in every stage as its config pools; a convolution trains with the
// projector, and is kept where it goes.
func TestVideoModels(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	list := films(t)
	tok, err := tokenizer.Load("toy/llm")
	require.NoError(t, err)
	tower, err := vit.Load("toy/vision", nn.LoadOptions{})
	require.NoError(t, err)
	language, err := llm.Load("toy/llm", nn.LoadOptions{})
	require.NoError(t, err)
	for _, pool := range []string{"max", "conv"} {
		m, err := layout.Join(rand.New(rand.NewPCG(3, 3)), tower, language, layout.Config{Kind: layout.NextVideo,
			Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200, Aspect: "anyres",
			Canvases: []imaging.Size{{W: 32, H: 64}, {W: 64, H: 32}},
			Video:    &layout.Video{Pool: pool, Stride: 2, Early: true, Newline: "no_token", Token: -200}})
		require.NoError(t, err)
		model := "toy/model-" + pool
		require.NoError(t, layout.Save(model, m, layout.SaveOptions{Tokenizer: tok}))
		before, err := layout.Load(model, layout.LoadOptions{})
		require.NoError(t, err)
		for _, stage := range []string{"align", "tune", "lora", "task", "task_lora"} {
			out := "toy/" + pool + "-" + stage
			c := filming(stage, out)
			c.Vision, c.LLM, c.VideoPool, c.Model, c.Frames, c.Layout = "", "", "", model, 3, ""
			var said bytes.Buffer
			_, err := llava.Train(t.Context(), c, train.Options{Progress: &said})
			require.NoError(t, err, stage)
			if stage != "align" {
				require.Contains(t, said.String(), " --frames 3")
			}
			dir, adapted := out, strings.HasSuffix(stage, "lora")
			if stage == "align" || adapted {
				dir = model
			}
			a, err := layout.Open(dir, layout.LoadOptions{})
			require.NoError(t, err, stage)
			if stage == "align" {
				require.NoError(t, layout.LoadProjector(a.Model, out, layout.LoadOptions{}))
			} else if adapted {
				_, err = lora.Load(a.Model, out, layout.Namings(a.Model)...)
				require.NoError(t, err)
			}
			require.Equal(t, pool, layout.ConfigOf(a.Model).Video.Pool)
			a.Options.MaxNewTokens = 4
			_, err = a.AskVideo(t.Context(), list[0].Question, filepath.Join("toy/films", list[0].Video), 3)
			require.NoError(t, err)
			was, is := before.Connector.(*layout.Connector).Resampler, a.Model.Connector.(*layout.Connector).Resampler
			if pool == "conv" {
				require.NotEqual(t, was.Pool.Weight.Data(), is.Pool.Weight.Data(), stage)
			} else {
				require.Nil(t, is)
			}
		}
	}
}

// TestVideoLLaVA: a model that looks at videos with a tower of their own is trained on both, from a cache too, which is
// another once that tower is another.
func TestVideoLLaVA(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	films(t)
	tok, err := tokenizer.Load("toy/llm")
	require.NoError(t, err)
	tower, err := vit.Load("toy/vision", nn.LoadOptions{})
	require.NoError(t, err)
	language, err := llm.Load("toy/llm", nn.LoadOptions{})
	require.NoError(t, err)
	for seed := range uint64(2) { // of the videos' tower
		m, err := layout.Join(rand.New(rand.NewPCG(seed, 3)), tower, language, layout.Config{Kind: layout.VideoLLaVA,
			Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200,
			Video: &layout.Video{Newline: "no_token", Token: -200}})
		require.NoError(t, err)
		model := fmt.Sprint("toy/model", seed)
		require.NoError(t, layout.Save(model, m, layout.SaveOptions{Tokenizer: tok}))
		var loss []float64
		for _, features := range []string{"", "toy/features"} {
			c := filming("task", model+"-run"+filepath.Base(features))
			c.Vision, c.LLM, c.VideoPool, c.Model, c.Layout, c.Features = "", "", "", model, "", features
			report, err := llava.Train(t.Context(), c, train.Options{})
			require.NoError(t, err)
			loss = append(loss, report.Stages[0].Loss[0])
		}
		require.InDelta(t, loss[0], loss[1], 1e-2, "bfloat16 in the cache")
		caches, err := os.ReadDir("toy/features")
		require.NoError(t, err)
		require.Len(t, caches, int(seed)+1)
	}
}
