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
	"github.com/gollava/gollava/data/chat"
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
	s := data.Sample{ID: id, Turns: []chat.Turn{{From: "human", Value: "What?"}, {From: "gpt", Value: answer}}}
	if image != "" {
		s.Images = []string{image}
		s.Turns[0].Value = "<image>\nWhat?"
	}
	return s
}

// prepared is a sample on its way into a batch.
type prepared struct{ id, text string }

// prepare fails for some samples.
func prepare(_ context.Context, s data.Sample) (prepared, error) {
	for _, name := range s.Images {
		if _, err := data.LoadImage(pictures{}, name, imaging.Options{}); err != nil {
			return prepared{}, err
		}
	}
	if s.ID == "untellable" {
		return prepared{}, errors.New("no words for it")
	}
	return prepared{s.ID, s.Turns[1].Value}, nil
}

func config(batch int) data.LoaderConfig[prepared] {
	return data.LoaderConfig[prepared]{Batch: batch, Prepare: prepare}
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

func TestLoaderPrepares(t *testing.T) {
	set := records{sample("a", "3x2", "yes"), sample("b", "", "no"), sample("c", "", "no")}
	l, err := data.NewLoader(set, config(2))
	require.NoError(t, err)
	require.Equal(t, 2, l.Len())
	for n, want := range [][]prepared{{{"a", "yes"}, {"b", "no"}}, {{"c", "no"}}, {{"a", "yes"}, {"b", "no"}}} {
		got, err := l.Batch(context.Background(), n)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestImages(t *testing.T) {
	m, err := data.LoadImage(pictures{}, "3x2", imaging.Options{})
	require.NoError(t, err)
	size, err := data.ImageSize(pictures{}, "3x2", imaging.Options{})
	require.NoError(t, err)
	require.Equal(t, imaging.Size{W: 3, H: 2}, size)
	require.Equal(t, size, imaging.Size{W: m.W, H: m.H})
	for _, s := range []data.Source{nil, pictures{}} {
		_, err = data.LoadImage(s, "gone", imaging.Options{})
		require.ErrorIs(t, err, data.FileMissing)
		require.ErrorContains(t, err, `"gone"`)
		_, err = data.ImageSize(s, "gone", imaging.Options{})
		require.ErrorIs(t, err, data.FileMissing)
	}
	_, err = data.LoadImage(pictures{}, "3x2", imaging.Options{Limits: imaging.Limits{Pixels: 5}})
	require.ErrorIs(t, err, data.ImageTooLarge)
}

// TestEverySampleOncePerEpoch: and a run that resumes at batch n sees what an unbroken one sees.
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
		l, err := data.NewLoader(set, c)
		require.NoError(t, err)
		require.Equal(t, 14, l.Len())
		seen := map[string]int{}
		var unbroken [][]prepared
		for k := range 2 * l.Len() {
			b, err := l.Batch(context.Background(), k)
			require.NoError(t, err)
			for _, x := range b {
				seen[x.id] += 1 + 1000*(k/l.Len())
			}
			unbroken = append(unbroken, b)
		}
		require.Len(t, seen, n, name)
		for r, times := range seen {
			require.Equal(t, 1+1001, times, "%s: record %s", name, r)
		}
		again, err := data.NewLoader(set, c)
		require.NoError(t, err)
		for _, k := range []int{17, 9, 18, 1} {
			b, err := again.Batch(context.Background(), k)
			require.NoError(t, err)
			require.Equal(t, unbroken[k], b, "%s, resumed at %d", name, k)
		}
	}
	a, b := data.Shuffled(n, 1)(0), data.Shuffled(n, 2)(0)
	require.NotEqual(t, a, b)
	require.NotEqual(t, a, data.Shuffled(n, 1)(1))
}

func TestLoaderSkipsAndCounts(t *testing.T) {
	set := records{sample("a", "3x2", "yes"), sample("b", "gone", "no"), sample("unreadable", "", "x"), sample("untellable", "", "x"),
		sample("blank", "", " "), sample("fine", "", "ok")}
	want := map[data.Kind]int{data.FileMissing: 1, data.FileUnreadable: 1, data.TextFailed: 1, data.BlankAnswer: 1}
	c := config(3)
	c.Skip = true
	l, err := data.NewLoader(set, c)
	require.NoError(t, err)
	var names []string
	for k := range 2 * l.Len() { // a second epoch counts no record again
		b, err := l.Batch(context.Background(), k)
		require.NoError(t, err)
		for _, x := range b {
			names = append(names, x.id)
		}
	}
	require.Equal(t, []string{"a", "fine", "a", "fine"}, names)
	r := l.Report()
	require.Equal(t, want, r.Kinds)
	require.Equal(t, 4, r.Skipped)
	require.Equal(t, 4, r.Samples)
	require.Len(t, r.Faults, 4)
	require.Contains(t, r.String(), "4 samples, 4 skipped: 1 ")

	c.Skip = false
	for i, s := range set {
		c := c
		c.Batch = 1
		l, err := data.NewLoader(records{set[0], s}, c)
		require.NoError(t, err)
		_, err = l.Batch(context.Background(), 1)
		if s.ID == "a" || s.ID == "fine" {
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
	for want, change := range map[string]func(*data.LoaderConfig[prepared]){
		"Batch is 0":     func(c *data.LoaderConfig[prepared]) { c.Batch = 0 },
		"Prepare is nil": func(c *data.LoaderConfig[prepared]) { c.Prepare = nil },
		"do not make a batch": func(c *data.LoaderConfig[prepared]) {
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
}
