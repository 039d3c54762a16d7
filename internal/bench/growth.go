package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// growthCases measure how time grows with one size, which stands at the end of their names; see [growths].
func growthCases() []Case {
	var all []Case
	add := func(name string, share bound, sizes []int, setup func(n int) func()) {
		for _, n := range sizes {
			all = append(all, Case{Name: fmt.Sprintf("growth/%s=%d", name, n), Op: "growth", Unit: "ms", Share: share,
				Setup: func() func() { return setup(n) }})
		}
	}
	add("attention/T", unbounded, []int{256, 512, 1024, 2048}, func(n int) func() {
		return attentionCase("causal", 1, n, 16, 64, true).Setup()
	})
	add("llama/T", byArithmetic, []int{128, 256, 512, 1024}, func(n int) func() {
		return llamaLoss(llamaConfig(2, 512, 8, 1376, 1024), 1, n, false)
	})
	add("llama/batch", byArithmetic, []int{1, 2, 4, 8}, func(n int) func() {
		return llamaLoss(llamaConfig(2, 512, 8, 1376, 1024), n, 128, false)
	})
	add("vit-l-336/pictures", byArithmetic, []int{1, 2, 4}, func(n int) func() {
		tower := must(vit.NewCLIPVision(seeded(), vit.CLIPLarge336()))
		pixels := uniform(n, 3, 336, 336).NoGrad()
		return func() { scope(func(s *tensor.Arena) { tower.HiddenStates(pixels.In(s), 4) }) }
	})
	add("vit-b-32/pictures", byArithmetic, []int{1, 2, 4, 8}, func(n int) func() {
		tower := must(vit.NewCLIPVision(seeded(), vit.CLIPBase32()))
		pixels := uniform(n, 3, 224, 224).NoGrad()
		return func() { scope(func(s *tensor.Arena) { tower.HiddenStates(pixels.In(s), 4) }) }
	})
	add("index/records", unbounded, []int{1_000, 10_000, 100_000}, openFirst)
	return all
}

// openFirst indexes a file of the first n records of [records].
func openFirst(n int) func() {
	b := must(os.ReadFile(records()))[:2+n*recordBytes]
	b = append(bytes.TrimRight(b, ",\n"), "\n]"...)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("gollava-bench-records-%d.json", n))
	if err := os.WriteFile(path, b, 0o666); err != nil {
		panic(err)
	}
	return func() {
		f := must(data.Open(path, data.Options{}))
		if f.Len() != n {
			panic(fmt.Sprintf("%d records", f.Len()))
		}
		f.Close()
	}
}

// growth is how the time of a family of cases grows with the size at the end of their names.
type growth struct {
	Family   string // growth/llama/T
	Threads  int
	From, To int
	Exponent float64 // of the size, to which the time is proportional: by least squares of the logarithms
	Last     float64 // the same from the last size but one to the last
}

func (g growth) String() string {
	return fmt.Sprintf("%s, threads %d, %d to %d: time as %s^%.2f, at the end ^%.2f", g.Family, g.Threads, g.From, g.To,
		g.Family[strings.LastIndexByte(g.Family, '/')+1:], g.Exponent, g.Last)
}

// growths finds the families among rows that have at least two sizes.
func growths(rows []Row) []growth {
	type point struct {
		size int
		time float64
	}
	type key struct {
		family  string
		threads int
	}
	points := map[key][]point{}
	var order []key
	for _, r := range rows {
		family, size, ok := strings.Cut(r.Case, "=")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || !strings.HasPrefix(family, "growth/") {
			continue
		}
		k := key{family, r.Threads}
		if points[k] == nil {
			order = append(order, k)
		}
		points[k] = append(points[k], point{n, r.Ours})
	}
	var out []growth
	for _, k := range order {
		ps := points[k]
		slices.SortFunc(ps, func(a, b point) int { return a.size - b.size })
		n := len(ps)
		if n < 2 || ps[0].size == ps[n-1].size {
			continue
		}
		var x, y, xx, xy float64
		for _, p := range ps {
			u, v := math.Log(float64(p.size)), math.Log(p.time)
			x, y, xx, xy = x+u, y+v, xx+u*u, xy+u*v
		}
		a, b := ps[n-2], ps[n-1]
		out = append(out, growth{k.family, k.threads, ps[0].size, b.size,
			(float64(n)*xy - x*y) / (float64(n)*xx - x*x),
			math.Log(b.time/a.time) / math.Log(float64(b.size)/float64(a.size))})
	}
	return out
}
