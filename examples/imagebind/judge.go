package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit/imagebind"
)

// embed are the unit vectors of scenes in a modality, a few at a time: [n, 64].
func (b *binder) embed(kind imagebind.Modality, scenes []shapes.Scene) (*tensor.Tensor, error) {
	const few = 50
	var all []float32
	for from := 0; from < len(scenes); from += few {
		some := scenes[from:min(from+few, len(scenes))]
		var x *tensor.Tensor
		switch kind {
		case imagebind.Vision:
			x = pictures(some)
		case imagebind.Text:
			captions := make([]string, len(some))
			for i, s := range some {
				captions[i] = s.Caption()
			}
			x = b.texts(captions)
		default:
			var err error
			if x, err = b.senses(kind, some); err != nil {
				return nil, err
			}
		}
		tensor.Scope(func(s *tensor.Arena) { all = append(all, b.Embed(kind, x.In(s)).Detach().Data()...) })
	}
	return tensor.Wrap(all, len(scenes), len(all)/len(scenes)), nil
}

// recall is the share of queries whose own partner is among the k nearest of the gallery, in %.
func recall(queries, gallery *tensor.Tensor, k int) float64 {
	scores := queries.MatMulT(gallery)
	n, _ := scores.Dims2()
	hits := 0
	for i := range n {
		better := 0
		for j := range n {
			if scores.Data()[i*n+j] > scores.Data()[i*n+i] {
				better++
			}
		}
		if better < k {
			hits++
		}
	}
	return 100 * float64(hits) / float64(n)
}

// scores are results in %, by name.
type scores map[string]float64

// limits are the goals of the default preset. Not all are reached, see docs/embed-and-segment.md.
var limits = []study.Limit{
	{Score: "audio → text, 1", Least: 75},
	{Score: "audio → text, 2", Least: 55},
	{Score: "audio both", Least: 97},
	{Score: "depth shape", Least: 85},
	{Score: "depth color", Least: -30}, // at most: more would be a leak, as depth maps show no colour
}

// gate is an error that names what falls short.
func (s scores) gate() error {
	if short := study.Short(s, limits); short != nil {
		return fmt.Errorf("the gate: %s", strings.Join(short, "; "))
	}
	return nil
}

// judge prints how often the partner of a scene in one modality is found by another among scenes of different captions,
// and how often a colour and shape is named by the nearest prompt.
func (b *binder) judge(p preset, out io.Writer) (scores, error) {
	got := scores{}
	ways := [][2]imagebind.Modality{{imagebind.Vision, imagebind.Text}, {imagebind.Vision, imagebind.Audio},
		{imagebind.Vision, imagebind.Depth},
		{imagebind.Audio, imagebind.Text}, {imagebind.Text, imagebind.Audio}, {imagebind.Depth, imagebind.Text},
		{imagebind.Text, imagebind.Depth},
		{imagebind.Audio, imagebind.Depth}, {imagebind.Depth, imagebind.Audio}}
	fmt.Fprintf(out, "%-18s %20s %20s\n", "R@1 / R@5 in %", "1 object", "2 objects")
	found := map[int]map[imagebind.Modality]*tensor.Tensor{}
	for objects := 1; objects <= 2; objects++ {
		scenes := b.gallery(p.gallery, objects)
		found[objects] = map[imagebind.Modality]*tensor.Tensor{}
		for _, kind := range b.Has() {
			z, err := b.embed(kind, scenes)
			if err != nil {
				return nil, err
			}
			found[objects][kind] = z
		}
	}
	for _, way := range ways {
		fmt.Fprintf(out, "%-18s", way[0]+" → "+way[1])
		for objects := 1; objects <= 2; objects++ {
			z := found[objects]
			first := recall(z[way[0]], z[way[1]], 1)
			got[fmt.Sprintf("%s → %s, %d", way[0], way[1], objects)] = first
			fmt.Fprintf(out, " %13.0f / %4.0f", first, recall(z[way[0]], z[way[1]], 5))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%-18s %13.0f / %4.0f %13.0[2]f / %4.0[3]f\n", "by chance", 100/float64(p.gallery),
		500/float64(p.gallery))
	return got, b.name(p, got, out)
}

// gallery is test scenes with different captions.
func (b *binder) gallery(n, objects int) (scenes []shapes.Scene) {
	seen := map[string]bool{}
	for i := 0; len(scenes) < n; i++ {
		s := b.world.Scene(shapes.Test, i, shapes.Options{MinObjects: objects, MaxObjects: objects,
			Sign: shapes.NoSign})
		if !seen[s.Caption()] {
			seen[s.Caption()] = true
			scenes = append(scenes, s)
		}
	}
	return scenes
}

// name tells colour and shape of single objects by the nearest prompt, each pair's averaged over all places.
func (b *binder) name(p preset, into scores, out io.Writer) error {
	seen := b.world.SeenPairs()
	var sums *tensor.Tensor
	for _, place := range b.world.Places() {
		prompts := make([]string, len(seen))
		for i, pair := range seen {
			prompts[i] = fmt.Sprintf("a %v %v at the %s", pair.Color, pair.Shape, place)
		}
		z := b.Embed(imagebind.Text, b.texts(prompts)).Detach()
		if sums != nil {
			z = sums.Add(z)
		}
		sums = z
	}
	prompts := sums.L2Normalize(1e-12)
	scenes := make([]shapes.Scene, 5*p.gallery)
	for i := range scenes {
		scenes[i] = b.world.Scene(shapes.Test, 1<<20+i, shapes.Options{MinObjects: 1, MaxObjects: 1,
			Sign: shapes.NoSign})
	}
	for _, kind := range []imagebind.Modality{imagebind.Vision, imagebind.Audio, imagebind.Depth} {
		z, err := b.embed(kind, scenes)
		if err != nil {
			return err
		}
		var both, color, shape float64
		for i, k := range z.MatMulT(prompts).ArgMax(1).IntData() {
			want, got := scenes[i].Objects[0].Pair(), seen[k]
			n := 100 / float64(len(scenes))
			if got == want {
				both += n
			}
			if got.Color == want.Color {
				color += n
			}
			if got.Shape == want.Shape {
				shape += n
			}
		}
		into[string(kind)+" both"], into[string(kind)+" color"], into[string(kind)+" shape"] = both, color, shape
		fmt.Fprintf(out, "%-18s %.1f %% of the %d pairs; colour %.1f, shape %.1f; by chance %.0f, 17, 20\n",
			"named by "+string(kind), both, len(seen), color, shape,
			100/float64(len(seen)))
	}
	return nil
}
