package data_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
)

// records is a set in memory.
type records []data.Sample

func (r records) Len() int { return len(r) }
func (r records) Sample(i int) (data.Sample, error) {
	if r[i].ID == "unreadable" {
		return data.Sample{}, errors.New("cannot be read")
	}
	return r[i], nil
}

// pictures is a source in memory: picture "3x2" is of that size, its colour the sum of its name's bytes.
type pictures struct{}

func (pictures) Close() error { return nil }
func (pictures) Load(name string) ([]byte, error) {
	var w, h int
	if _, err := fmt.Sscanf(name, "%dx%d", &w, &h); err != nil {
		return nil, &data.Fault{Kind: data.FileMissing, Severity: data.Error, Record: -1, Turn: -1, Image: name}
	}
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.NRGBA{uint8(10 * w), uint8(10 * h), uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

func sample(id string, image string, answer string) data.Sample {
	s := data.Sample{ID: id, Turns: []data.Turn{{Role: "human", Value: "What?"}, {Role: "gpt", Value: answer}}}
	if image != "" {
		s.Images = []string{image}
		s.Turns[0].Value = "<image>\nWhat?"
	}
	return s
}

// letters makes ids of bytes: a question does not train, an answer does.
func letters(s data.Sample) (ids, labels []int32, err error) {
	if s.ID == "untellable" {
		return nil, nil, errors.New("no words for it")
	}
	for _, t := range s.Turns {
		text := t.Value
		if rest, ok := strings.CutPrefix(text, data.ImageToken); ok {
			ids, labels, text = append(ids, data.ImageID), append(labels, data.Ignore), rest
		}
		for _, b := range []byte(text) {
			ids = append(ids, int32(b))
			if t.Role == "gpt" {
				labels = append(labels, int32(b))
			} else {
				labels = append(labels, data.Ignore)
			}
		}
	}
	return ids, labels, nil
}

func config(batch int) data.LoaderConfig {
	return data.LoaderConfig{Batch: batch, Text: letters, Pad: 7, Images: pictures{}, Processor: imaging.CLIP(4),
		Picture: func(imaging.Size) data.Picture { return data.Flat(1, 3) }}
}

func many(n int) records {
	var r records
	for i := range n {
		image := ""
		if i%3 > 0 {
			image = fmt.Sprintf("%dx%d", 1+i%5, 1+i%4)
		}
		r = append(r, sample(fmt.Sprint("s", i), image, strings.Repeat("a", 1+i%7)))
	}
	return r
}

func TestLoaderMakesBatches(t *testing.T) {
	set := records{sample("a", "3x2", "yes"), sample("b", "", "no")}
	l, err := data.NewLoader(set, config(2))
	require.NoError(t, err)
	require.Equal(t, 1, l.Len())
	b, err := l.Batch(context.Background(), 0)
	require.NoError(t, err)
	const ignore, image, pad = data.Ignore, data.ImageID, int32(7)
	require.Equal(t, [2]int{2, 12}, [2]int{b.B, b.T}) // 3 features, "\nWhat?", "yes"
	require.Equal(t, []int32{image, image, image, '\n', 'W', 'h', 'a', 't', '?', 'y', 'e', 's',
		'W', 'h', 'a', 't', '?', 'n', 'o', pad, pad, pad, pad, pad}, b.IDs)
	require.Equal(t, []int32{ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, 'y', 'e', 's',
		ignore, ignore, ignore, ignore, ignore, 'n', 'o', ignore, ignore, ignore, ignore, ignore}, b.Labels)
	require.Equal(t, []int32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, b.Mask)
	require.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0}, b.Positions)
	require.Equal(t, 5, b.Supervised())
	require.Equal(t, []string{"a", "b"}, b.Names)
	require.Equal(t, []imaging.Size{{W: 3, H: 2}}, b.Sizes())
	p := b.Pixels()
	require.Equal(t, [3]int{1, 4, 4}, [3]int{p.N, p.H, p.W})
	require.Len(t, p.Data, 3*4*4)
	require.Empty(t, b.Images[1], "text alone has no dummy")

	c := config(2)
	c.Left = true
	l, err = data.NewLoader(set, c)
	require.NoError(t, err)
	b, err = l.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.Equal(t, []int32{pad, pad, pad, pad, pad, 'W', 'h', 'a', 't', '?', 'n', 'o'}, b.IDs[12:])
	require.Equal(t, []int32{0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}, b.Positions[12:])
}

// TestEverySampleOncePerEpoch holds for any number of workers, and a run that goes on from batch n sees what an unbroken one sees.
func TestEverySampleOncePerEpoch(t *testing.T) {
	const n, size = 53, 4
	set := many(n)
	lengths, err := data.Lengths(context.Background(), set)
	require.NoError(t, err)
	for name, order := range map[string]data.Order{
		"in order": nil, "shuffled": data.Shuffled(n, 1), "length": data.LengthGrouped(lengths, size, 2, 1), "modality": data.ModalityGrouped(lengths, size, 2, 1),
	} {
		c := config(size)
		c.Order = order
		var unbroken []data.Batch
		for _, workers := range []int{1, 3, 8} {
			l, err := data.NewLoader(set, c)
			require.NoError(t, err)
			require.Equal(t, 14, l.Len())
			p := data.Prefetch(l.Batch, workers, 5)
			seen := map[int]int{}
			var all []data.Batch
			for k := range 2 * l.Len() {
				b, err := p.Batch(context.Background(), k)
				require.NoError(t, err)
				require.Equal(t, k, b.N)
				require.Equal(t, k/l.Len(), b.Epoch)
				for _, r := range b.Records {
					seen[r] += 1 + 1000*b.Epoch
				}
				all = append(all, b)
			}
			p.Close()
			require.Len(t, seen, n, name)
			for r, times := range seen {
				require.Equal(t, 1+1001, times, "%s: record %d", name, r)
			}
			if unbroken == nil {
				unbroken = all
			}
			require.Equal(t, unbroken, all, "%s, %d workers", name, workers)
		}
		for _, from := range []int{1, 9, 17} {
			l, err := data.NewLoader(set, c)
			require.NoError(t, err)
			p := data.Prefetch(l.Batch, 2, 3)
			for k := from; k < from+5; k++ {
				b, err := p.Batch(context.Background(), k)
				require.NoError(t, err)
				require.Equal(t, unbroken[k], b, "%s, resumed at %d", name, from)
			}
			p.Close()
		}
	}
	a, b := data.Shuffled(n, 1)(0), data.Shuffled(n, 2)(0)
	require.NotEqual(t, a, b)
	require.NotEqual(t, a, data.Shuffled(n, 1)(1))
}

func TestLoaderSkipsAndCounts(t *testing.T) {
	set := records{sample("a", "3x2", "yes"), sample("b", "gone", "no"), sample("unreadable", "", "x"), sample("untellable", "", "x"),
		sample("blank", "", " "), sample("long", "3x2", strings.Repeat("x", 90)), sample("cut", "", "x"), sample("late", "1x1", "x"), sample("fine", "", "ok")}
	set[6].Turns[0].Value = strings.Repeat("q", 60)
	set[7].Turns = append([]data.Turn{{Role: "human", Value: strings.Repeat("q", 58)}, {Role: "gpt", Value: "a"}}, set[7].Turns...)
	want := map[data.Kind]int{data.FileMissing: 1, data.FileUnreadable: 1, data.TextFailed: 1, data.BlankAnswer: 1, data.NothingToLearn: 1, data.ImageCutOff: 1}
	c := config(3)
	c.MaxLength = 60
	c.Skip = true
	l, err := data.NewLoader(set, c)
	require.NoError(t, err)
	var names []string
	for k := range 2 * l.Len() { // a second epoch counts no record again
		b, err := l.Batch(context.Background(), k)
		require.NoError(t, err)
		require.LessOrEqual(t, b.T, 60)
		names = append(names, b.Names...)
	}
	require.Equal(t, []string{"a", "long", "fine", "a", "long", "fine"}, names)
	r := l.Report()
	require.Equal(t, want, r.Kinds)
	require.Equal(t, 6, r.Skipped)
	require.Equal(t, 6, r.Samples)
	require.Len(t, r.Faults, 6)
	require.Contains(t, r.String(), "6 samples, 6 skipped: 1 ")

	c.Skip = false
	for i, s := range set {
		c := c
		c.Batch = 1
		l, err := data.NewLoader(records{set[0], s}, c)
		require.NoError(t, err)
		_, err = l.Batch(context.Background(), 1)
		if slices.Contains([]string{"a", "long", "fine"}, s.ID) {
			require.NoError(t, err)
			continue
		}
		var f *data.Fault
		require.ErrorAs(t, err, &f, "%d", i)
		require.Equal(t, 1, f.Record)
		require.Contains(t, slices.Collect(maps.Keys(want)), f.Kind)
	}
}

func TestLoaderConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*data.LoaderConfig){
		"Batch is 0":      func(c *data.LoaderConfig) { c.Batch = 0 },
		"Text is nil":     func(c *data.LoaderConfig) { c.Text = nil },
		"Picture is nil":  func(c *data.LoaderConfig) { c.Picture = nil },
		"MaxLength is -1": func(c *data.LoaderConfig) { c.MaxLength = -1 },
		"do not make a batch": func(c *data.LoaderConfig) {
			c.Batch, c.Drop = 9, true
		},
	} {
		c := config(2)
		change(&c)
		_, err := data.NewLoader(many(3), c)
		require.ErrorContains(t, err, want)
	}
	c := config(2)
	c.Drop = true
	l, err := data.NewLoader(many(5), c)
	require.NoError(t, err)
	require.Equal(t, 2, l.Len())
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_, err = l.Batch(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	c.Images = nil
	l, err = data.NewLoader(many(5), c)
	require.NoError(t, err)
	_, err = l.Batch(context.Background(), 0)
	require.ErrorIs(t, err, data.FileMissing)
}
