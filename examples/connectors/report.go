package main

import (
	"fmt"
	"image/color"
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
		if len(r.added) > 0 && len(r.exams) > 0 {
			t = min(t, r.at(len(r.exams)-1))
		}
	}
	return t
}

// at is how many seconds of training exam i comes after.
func (r *result) at(i int) float64 { return r.seconds * float64(r.exams[i].Step) }

// after is the score after some seconds of training, between those of the two nearest exams.
func (r *result) after(seconds float64) float64 {
	last := len(r.exams) - 1
	for i, e := range r.exams {
		switch score := e.Scores["right"]; {
		case r.at(i) >= seconds && i == 0 || r.at(i) <= seconds && i == last:
			return score
		case r.at(i) >= seconds:
			before, from := r.exams[i-1].Scores["right"], r.at(i-1)
			return before + (score-before)*(seconds-from)/(r.at(i)-from)
		}
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
		p.Y.Label.Text, p.Y.Max = "% right", 100
		p.Add(plotter.NewGrid())
		for i, r := range all {
			var points plotter.XYs
			for n, e := range r.exams {
				x := []float64{float64(e.Step), r.at(n)}[k]
				points = append(points, plotter.XY{X: x, Y: 100 * e.Scores["right"]})
			}
			if len(points) == 0 {
				continue
			}
			l, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			l.Color, l.Width = plotutil.Color(i), vg.Points(1.5)
			if len(r.added) == 0 {
				l.Color, l.Dashes = color.Black, []vg.Length{vg.Points(4), vg.Points(3)}
			}
			p.Add(l)
			p.Legend.Add(r.name, l)
		}
		p.X.Min, p.Y.Min = 0, 0
		p.Legend.XOffs, p.Legend.YOffs = -vg.Points(6), vg.Points(12)
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
