package main

import (
	"fmt"
	"io"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// shortest is the time that the fastest connector takes for all its steps.
func shortest(all []*result) float64 {
	t := math.Inf(1)
	for _, r := range all {
		if len(r.added) > 0 && len(r.steps) > 0 {
			t = min(t, r.seconds*float64(r.steps[len(r.steps)-1]))
		}
	}
	return t
}

// after is the score after some seconds, between the two nearest exams.
func (r *result) after(seconds float64) float64 {
	for i, n := range r.steps {
		t := r.seconds * float64(n)
		if t < seconds && i+1 < len(r.steps) {
			continue
		}
		if t <= seconds || i == 0 {
			return r.scores[i]
		}
		before := r.seconds * float64(r.steps[i-1])
		return r.scores[i-1] + (r.scores[i]-r.scores[i-1])*(seconds-before)/(t-before)
	}
	return r.end
}

// table prints a row for each result, in Markdown.
func table(out io.Writer, all []*result) {
	t := shortest(all)
	fmt.Fprintf(out, "\n| connector | parameters | tokens | GFLOP/step | s/step | %% right at the end | after %.0f s | "+
		"another image | mean image |\n|---|---|---|---|---|---|---|---|---|\n", t)
	for _, r := range all {
		fmt.Fprintf(out, "| %s | %d | %d | %.2f | %.4f | %.1f | %.1f | %.1f | %.1f |\n", r.name, r.parameters, r.tokens,
			r.flops/1e9, r.seconds, 100*r.end, 100*r.after(t), 100*r.shuffled, 100*r.average)
	}
}

// picture draws the scores against steps and against time.
func picture(path string, all []*result) error {
	panels := []*plot.Plot{plot.New(), plot.New()}
	panels[0].X.Label.Text, panels[1].X.Label.Text = "steps", "seconds"
	for k, p := range panels {
		p.Y.Label.Text, p.Y.Min, p.Y.Max = "% right", 0, 100
		p.Add(plotter.NewGrid())
		for i, r := range all {
			var points plotter.XYs
			for e, n := range r.steps {
				points = append(points, plotter.XY{X: float64(n) * []float64{1, r.seconds}[k], Y: 100 * r.scores[e]})
			}
			if len(points) == 0 {
				continue
			}
			l, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			l.Color, l.Width = plotutil.Color(i), vg.Points(1.5)
			p.Add(l)
			p.Legend.Add(r.name, l)
		}
		p.Legend.YOffs = vg.Points(12)
	}
	c := vgimg.New(10*vg.Inch, 4*vg.Inch)
	grid := [][]*plot.Plot{panels}
	for i, to := range plot.Align(grid, draw.Tiles{Rows: 1, Cols: 2, PadX: vg.Points(20), PadRight: vg.Points(10)},
		draw.New(c))[0] {
		panels[i].Draw(to)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}
