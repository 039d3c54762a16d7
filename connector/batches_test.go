package connector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// squares is a source in memory: image "30x20" has that size.
type squares struct{}

func (squares) Close() error { return nil }
func (squares) Load(name string) ([]byte, error) {
	var w, h int
	if _, err := fmt.Sscanf(name, "%dx%d", &w, &h); err != nil {
		return nil, data.NewFault(data.FileMissing, "no such square")
	}
	var b bytes.Buffer
	err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)))
	return b.Bytes(), err
}

// about is a sample about an image ("": none).
func about(id, image, question, answer string) data.Sample {
	s := data.Sample{ID: id, Turns: []chat.Turn{{From: chat.Human, Value: question}, {From: chat.GPT, Value: answer}}}
	if image != "" {
		s.Images, s.Turns[0].Value = []string{image}, "<image>\n"+question
	}
	return s
}

// build makes a small model whose tokenizer knows bytes and the marks.
func build(edit func(*llava.Config, *imaging.Processor)) (*connector.Assistant, error) {
	tok, err := tokenizer.Train(slices.Values([]string{"What is this? "}), tokenizer.TrainConfig{Size: 300,
		Specials: []string{"<s>", "</s>", chat.ImageStart, chat.ImageEnd}, BOS: "<s>"})
	if err != nil {
		return nil, err
	}
	c, p := small(), imaging.CLIP(16)
	c.Text.VocabSize, c.Text.MaxPositionEmbeddings, c.Image = tok.Size(), 2048, -200
	edit(&c, p)
	m, err := llava.New(rand.New(rand.NewPCG(7, 8)), c)
	return &connector.Assistant{Model: m, Tokenizer: tok, Processor: p, Template: chat.VicunaV1(), Marks: c.Marks,
		Options: llm.Options{PAD: -1, MaxNewTokens: 1}}, err
}

func assistant(t *testing.T, edit func(*llava.Config, *imaging.Processor)) *connector.Assistant {
	t.Helper()
	a, err := build(edit)
	require.NoError(t, err)
	return a
}

func plain(*llava.Config, *imaging.Processor) {}

func TestBatches(t *testing.T) {
	a := assistant(t, plain)
	set := data.Memory{about("a", "30x20", "What is this?", "A cat."), about("b", "", "Who?", "Me."),
		about("c", "9x17", "Why?", "So.")}
	for _, o := range []connector.BatchOptions{{Batch: 2}, {Batch: 2, Order: data.Shuffled(3, 1)}} {
		b, err := a.Batches(set, squares{}, o)
		require.NoError(t, err)
		require.Equal(t, 2, b.Len())
		x, err := b.Batch(context.Background(), 0)
		require.NoError(t, err)
		y, err := b.Batch(context.Background(), 1)
		require.NoError(t, err)
		require.Len(t, append(x.Names, y.Names...), 3)
		require.NoError(t, a.Model.Check(x))
		require.NotZero(t, a.Model.Loss(x).Item())
	}
	b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 2})
	require.NoError(t, err)
	x, err := b.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, x.Samples())
	require.Equal(t, []int{1, 0}, x.Pictures)
	require.Equal(t, []imaging.Size{{W: 30, H: 20}}, x.Sizes)
	_, T := x.IDs.Dims2()
	row := x.IDs.IntData()[:T]
	require.Equal(t, 16, count(row, chat.ImageIndex))
	answers := 0
	for i, want := range []string{"A cat.", "Me."} {
		var learnt []int32
		for _, l := range x.Labels.IntData()[i*T : (i+1)*T] {
			if l != tensor.IgnoreIndex {
				learnt = append(learnt, l)
			}
		}
		require.Equal(t, want, strings.TrimSpace(a.Tokenizer.Decode(learnt)))
		answers += len(learnt)
	}
	require.Equal(t, answers, x.Supervised())
	require.Equal(t, answers, connector.Batch{Labels: x.Labels}.Supervised(), "counted anew")
}

// What is fine-tuned on is what is asked afterwards: the same ids up to the answer, with marks and without.
func TestBatchesAreReplies(t *testing.T) {
	for around, marks := range map[int32]bool{-1: true, 0: false, 7: false} {
		a := assistant(t, func(c *llava.Config, _ *imaging.Processor) { c.Marks = marks })
		a.Around = max(around, 0)
		set := data.Memory{about("a", "30x20", "What is this?", "A cat.")}
		b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 1})
		require.NoError(t, err)
		x, err := b.Batch(context.Background(), 0)
		require.NoError(t, err)
		first := slices.IndexFunc(x.Labels.IntData(), func(l int32) bool { return l != tensor.IgnoreIndex })
		asked := &recorder{Model: a.Model.Language}
		a.Model.Language = asked
		turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
		_, err = a.Reply(context.Background(), turns, []*imaging.RGB{imaging.New(30, 20)}, nil)
		require.NoError(t, err)
		want := slices.Clone(x.IDs.IntData()[:first])
		for i, id := range want {
			want[i] = max(id, 0) // as text is looked up
		}
		require.Equal(t, want, asked.ids, "marks %v, around %d", marks, around)
		start, _ := a.Tokenizer.ID(chat.ImageStart)
		end, _ := a.Tokenizer.ID(chat.ImageEnd)
		require.Equal(t, marks, slices.Contains(want, int32(start)) && slices.Contains(want, int32(end)))
	}
}

// recorder keeps the first ids that a language model looks up.
type recorder struct {
	llm.Model
	ids []int32
}

func (r *recorder) Embed(ids *tensor.Tensor) *tensor.Tensor {
	if r.ids == nil {
		r.ids = slices.Clone(ids.IntData())
	}
	return r.Model.Embed(ids)
}

// Tiles are laid out as the model needs them, where anyres_max shrinks them too.
func TestBatchesOfTiles(t *testing.T) {
	for _, most := range []int{0, 2} {
		a := assistant(t, func(c *llava.Config, p *imaging.Processor) {
			c.Vision.ImageSize, c.Vision.PatchSize, c.MaxTiles = 8, 4, most
			c.Canvases = []imaging.Size{{W: 8, H: 16}, {W: 16, H: 8}, {W: 24, H: 24}}
			*p = *imaging.CLIP(8)
			p.Aspect, p.Canvases = "anyres", c.Canvases
		})
		set := data.Memory{about("a", "100x100", "What?", "So."), about("b", "40x20", "What?", "So.")}
		b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 2})
		require.NoError(t, err)
		x, err := b.Batch(context.Background(), 0)
		require.NoError(t, err)
		_, T := x.IDs.Dims2()
		shrunk := a.Model.Connector.Layout(imaging.Size{W: 100, H: 100})
		require.Equal(t, map[int]int{0: 4 + 6*7, 2: 4 + 2*3}[most], shrunk.Tokens)
		require.Equal(t, shrunk.Tokens, count(x.IDs.IntData()[:T], chat.ImageIndex))
		require.NoError(t, a.Model.Check(x))
		require.NotZero(t, a.Model.Loss(x).Item())
	}
}

func TestBatchesOfFeatures(t *testing.T) {
	a := assistant(t, plain)
	set := data.Memory{about("a", "30x20", "What is this?", "A cat."), about("b", "", "Who?", "Me."),
		about("c", "9x17", "Why?", "So.")}
	cache, err := data.OpenFeatures(t.TempDir(), data.FeatureKey{Encoder: "small"})
	require.NoError(t, err)
	defer cache.Close()
	var keys []string
	for _, name := range []string{"30x20", "9x17"} {
		key, _, err := data.ImageKey(squares{}, name, imaging.Options{})
		require.NoError(t, err)
		keys = append(keys, key)
	}
	shard := cache.Shard(0)
	for i, name := range keys {
		require.NoError(t, shard.Add(name, tensor.Full(float32(i+1), 1, 16, 12)))
	}
	require.NoError(t, shard.Commit())
	b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 3, Features: cache})
	require.NoError(t, err)
	x, err := b.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.Nil(t, x.Pixels)
	require.Equal(t, []int{2, 16, 12}, x.Features.Shape())
	require.Equal(t, []float32{1, 2}, []float32{x.Features.Data()[0], x.Features.Data()[16*12]})
	require.NotZero(t, a.Model.Loss(x).Item())
}

func TestBatchesRefuse(t *testing.T) {
	a := assistant(t, plain)
	set := data.Memory{about("a", "30x20", "What is this?", "A cat."), about("b", "gone", "What?", "No."),
		about("c", "30x20", strings.Repeat("Why? ", 300), "So."), about("d", "", strings.Repeat("Why? ", 300), "So."),
		about("e", "", "Who?", " "), about("f", "30x20", "What?", "So.")}
	set[5].Turns = append(slices.Clone(set[3].Turns), set[5].Turns...) // its image is behind the limit
	want := map[data.Kind]int{data.FileMissing: 1, data.NothingToLearn: 2, data.BlankAnswer: 1, data.ImageCutOff: 1}
	o := connector.BatchOptions{Batch: 6, MaxLength: 200, Skip: true}
	b, err := a.Batches(set, squares{}, o)
	require.NoError(t, err)
	x, err := b.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, x.Names)
	require.Equal(t, want, b.Report().Kinds)
	for i, s := range set[1:] {
		o := connector.BatchOptions{Batch: 1, MaxLength: 200}
		b, err := a.Batches(data.Memory{set[0], s}, squares{}, o)
		require.NoError(t, err)
		_, err = b.Batch(context.Background(), 1)
		var f *data.Fault
		require.ErrorAs(t, err, &f, "%d", i)
		require.Equal(t, []any{1, s.ID}, []any{f.Record, f.ID})
		o.Skip = true
		b, err = a.Batches(data.Memory{s}, squares{}, o)
		require.NoError(t, err)
		_, err = b.Batch(context.Background(), 0)
		require.ErrorContains(t, err, "every sample of batch 0 is faulty")
	}
	video := about("v", "", "<image>\nWhat moves?", "A cat.")
	video.Videos = []string{"cat.gif"}
	b, err = a.Batches(data.Memory{video}, squares{}, connector.BatchOptions{Batch: 1})
	require.NoError(t, err)
	_, err = b.Batch(context.Background(), 0)
	require.ErrorContains(t, err, `"cat.gif": video_unsupported: a video: a model of type llava takes images`)
	require.ErrorContains(t, err, "record 0 (v)")
	_, err = a.Batches(set, squares{}, connector.BatchOptions{Batch: 1, MaxLength: -1})
	require.ErrorContains(t, err, "MaxLength is -1")
	_, err = a.Batches(set, squares{}, connector.BatchOptions{})
	require.ErrorContains(t, err, "Batch is 0")
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_, err = b.Batch(ctx, 0)
	require.True(t, errors.Is(err, context.Canceled))
	b, err = a.Batches(set, nil, connector.BatchOptions{Batch: 1})
	require.NoError(t, err)
	_, err = b.Batch(context.Background(), 0)
	require.ErrorIs(t, err, data.FileMissing)
	a.Processor = imaging.CLIP(20)
	_, err = a.Batches(set, squares{}, connector.BatchOptions{Batch: 1})
	require.ErrorContains(t, err, "the image processor does not fit the model: 1 views of 20×20 pixels")
}

// Any number of goroutines may ask for batches, and each gets what it would alone.
func TestBatchesConcurrently(t *testing.T) {
	a := assistant(t, plain)
	set := data.Memory{}
	for i := range 24 {
		size, answer := fmt.Sprintf("%dx%d", 9+i, 30-i), strings.Repeat("A cat. ", 1+i%3)
		set = append(set, about(fmt.Sprint(i), size, "What is this?", answer))
	}
	b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 4, Order: data.Shuffled(len(set), 3)})
	require.NoError(t, err)
	want := make([]connector.Batch, 2*b.Len())
	for n := range want {
		want[n], err = b.Batch(t.Context(), n)
		require.NoError(t, err)
	}
	got := make([]connector.Batch, len(want))
	failed := make([]error, len(want))
	var all sync.WaitGroup
	for n := range got {
		all.Go(func() { got[n], failed[n] = b.Batch(t.Context(), n) })
	}
	all.Wait()
	for n := range got {
		require.NoError(t, failed[n])
		require.Equal(t, want[n].Names, got[n].Names)
		require.Equal(t, want[n].IDs.IntData(), got[n].IDs.IntData())
		require.Equal(t, want[n].Labels.IntData(), got[n].Labels.IntData())
		require.Equal(t, want[n].Pixels.Data(), got[n].Pixels.Data())
	}
	require.Equal(t, 2*2*len(set), b.Report().Samples)
}
